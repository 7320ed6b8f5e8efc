"""EROFS indexes over archives: the kernel mounts what our writer made, and shows what other programs
unpack. Fuzzing and unit tests check the structure; these, the meaning."""

import io
import os
import random
import stat
import struct
import subprocess
import tarfile

import erofs
import images
import kit
import pytest
from images import block, char, dir, fifo, file, hardlink, opaque, symlink, whiteout

OPAQUE = "trusted.overlay.opaque"


@pytest.fixture(autouse=True)
def kernel(base):
    version = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
    if version < (6, 12):
        pytest.skip("EROFS is mounted from files since Linux 6.12")


@pytest.fixture
def index(tmp_path):
    """index(entries or bytes): an Index over such an archive."""
    def make(entries):
        path = tmp_path / "layer.tar"
        path.write_bytes(entries if isinstance(entries, bytes) else images.tar(entries))
        return erofs.Index(path)

    return make


def same(index, tmp_path):
    """The mounted index is, entry by entry, what GNU tar unpacks."""
    assert index.ok, index.problem
    oracle = kit.tree(erofs.unpacked(index.tar, tmp_path / "oracle"))
    with index.mounted(tmp_path / "mnt") as at:
        mine = kit.tree(at)
        for path in [p for kind, p, *_ in index.leans] + ["."] * index_lacks_root(index):
            oracle[path] = mine[path]
        assert kit.tree_differs(oracle, mine) == []


def index_lacks_root(index):
    with tarfile.open(index.tar) as t:
        return not any(m.name in (".", "", "/") for m in t)


CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ACL = struct.pack("<I" + "HHI" * 4, 2, 1, 7, 0xFFFFFFFF, 2, 5, 1000, 4, 5, 0xFFFFFFFF, 0x20, 4, 0xFFFFFFFF)


@pytest.mark.fast
def test_every_type_and_attribute(index, tmp_path):
    same(index([
        dir(".", mode=0o751, uid=3, mtime=1_500_000_000),
        dir("bin", mtime=12.5),
        file("bin/tool", b"x" * 10, mode=0o4755, uid=70000, gid=80000, mtime=1_234_567_890.123456789),
        file("bin/page", os.urandom(4096)), file("bin/more", os.urandom(4097)),
        file("bin/large", os.urandom(300_000)), file("empty"),
        hardlink("bin/again", "bin/tool"), hardlink("third", "./bin/../bin/tool".replace("bin/../", "")),
        symlink("short", "bin/tool"), symlink("long", "a/" * 400 + "b"), symlink("exact", "x" * 512),
        symlink("two", "x" * 1024), symlink("nearly", "y" * 4000),
        fifo("pipe", mode=0o622), char("null", 1, 3, mode=0o666), block("disk", 259, 70000, gid=6),
        dir("deep/" * 60, mode=0o700), file("deep/" * 60 + "file", b"at the bottom"),
        file("capable", b"#!", mode=0o755, xattrs={"security.capability": CAPABILITY}),
        file("attributes", b"", xattrs={"user.a": b"1", "user.b": b"", "trusted.c": b"\0\xff" * 2000}),
        dir("attributes.d", xattrs={"user.a": b"1"}),
        file("n" * 255, b"long name"), file("with\nnewline and \xff", b""),
    ]), tmp_path)


def test_acl(index, tmp_path):
    made = index([file("f", xattrs={"system.posix_acl_access": ACL})])
    with made.mounted(tmp_path / "mnt") as at:
        assert os.getxattr(at / "f", "system.posix_acl_access") == ACL


@pytest.mark.fast
@pytest.mark.parametrize("names", [1, 2, 20, 21, 40, 700, 9000])
def test_directories_of_any_size(index, tmp_path, names):
    rng = random.Random(names)
    chosen = {"".join(rng.choices("!+-.aAzZ~_0", k=rng.randint(1, 60))) for _ in range(names)} - {".", ".."}
    made = index([dir("d"), *(file(f"d/{n}", n.encode()) for n in chosen)])
    assert made.ok, made.problem
    with made.mounted(tmp_path / "mnt") as at:
        assert set(os.listdir(at / "d")) == chosen
        for n in chosen:  # by lookup, which searches by halves
            assert (at / "d" / n).read_bytes() == n.encode()
        assert not (at / "d" / "absent").exists() and not (at / "d" / "~~~~").exists()


def test_random_trees(index, tmp_path):
    rng = random.Random(7)
    dirs, entries = [""], [dir(".")]
    for i in range(3000):
        where, name = rng.choice(dirs), f"{rng.randrange(10**rng.randint(1, 30)):x}-{i}"
        kind, mtime = rng.random(), rng.choice([images.EPOCH, images.EPOCH + i + 0.5])
        if kind < 0.15:
            entries.append(dir(where + name, mode=rng.choice([0o755, 0o700, 0o1777]), mtime=mtime))
            dirs.append(where + name + "/")
        elif kind < 0.3:
            entries.append(symlink(where + name, "t" * rng.randint(1, 700), mtime=mtime))
        else:
            data = rng.randbytes(int(rng.expovariate(1 / 3000)))
            xattrs = {"user.x": rng.randbytes(rng.randint(0, 300))} if kind < 0.4 else {}
            entries.append(file(where + name, data, mtime=mtime, xattrs=xattrs, uid=rng.choice([0, 99999])))
    same(index(entries), tmp_path)


def sparse_tar(pieces, size, name="sparse"):
    """GNU's sparse format 1.0: pieces as (offset, data)."""
    numbers = [len(pieces)] + [n for at, data in pieces for n in (at, len(data))]
    text = "".join(f"{n}\n" for n in numbers).encode()
    body = images.padded(text) + b"".join(data for _, data in pieces)
    entry = file("GNUSparseFile.0/x", body)
    entry.pax = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", name),
                 ("GNU.sparse.realsize", str(size))]
    return entry


@pytest.mark.parametrize("pieces,size", [
    ([], 10 << 30),
    ([(0, b"a" * 512)], 1 << 20),
    ([(4096, b"a" * 4096), (1 << 20, b"b" * 8192)], 2 << 20),
    ([(512, b"a" * 1024), (5120, b"b" * 700)], 5820),
    ([(100, b"a" * 100), (300, b"b")], 1000),
    ([(1, b"a"), (70000, b"b" * 100_001), (200_000, b"c")], 200_001),
    ([(0, b"a" * 700), (1 << 33, b"b" * 3)], (1 << 33) + 3),
])
def test_sparse(index, tmp_path, pieces, size):
    made = index([file("before", b"1"), sparse_tar(pieces, size), file("after", b"2" * 600)])
    assert made.ok, made.problem
    with made.mounted(tmp_path / "mnt") as at:
        assert (at / "sparse").stat().st_size == size
        with open(at / "sparse", "rb") as f:
            for offset, data in pieces:
                f.seek(offset)
                assert f.read(len(data)) == data
            if size < 1 << 24:
                f.seek(0)
                want = bytearray(size)
                for offset, data in pieces:
                    want[offset:offset + len(data)] = data
                assert f.read() == want
        assert (at / "before").read_bytes() == b"1" and (at / "after").read_bytes() == b"2" * 600


def test_sparse_files_of_gnu_tar(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    rng = random.Random(3)
    for n in range(5):
        with open(source / f"f{n}", "wb") as f:
            for _ in range(rng.randint(1, 8)):
                f.seek(rng.randrange(0, 1 << 22))
                f.write(rng.randbytes(rng.randint(1, 9000)))
    for form in "gnu", "pax":
        subprocess.run(["tar", "-cSf", tmp_path / f"{form}.tar", f"--format={form}", "-C", source, "."], check=True)
        made = erofs.Index(tmp_path / f"{form}.tar")
        assert made.ok, made.problem
        with made.mounted(tmp_path / "mnt") as at:
            for n in range(5):
                assert (at / f"f{n}").read_bytes() == (source / f"f{n}").read_bytes()


def is_whiteout(path):
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(path):
    return OPAQUE in os.listxattr(path) and os.getxattr(path, OPAQUE) == b"y"


@pytest.mark.fast
@pytest.mark.parametrize("turned", [False, True])
def test_whiteouts_in_either_order(index, tmp_path, turned):
    """They hide what is below, and nothing of their own layer (image-spec layer.md)."""
    entries = [dir("d"), file("d/kept", b"1"), whiteout("d/kept"), whiteout("d/gone"),
               dir("new"), file("new/f", b"2"), whiteout("new"), dir("o"), opaque("o"), file("o/x", b"3")]
    entries = entries[::-1] if turned else entries
    with index(entries).mounted(tmp_path / "mnt") as at:
        assert (at / "d/kept").read_bytes() == b"1"
        assert is_whiteout(at / "d/gone")
        assert is_opaque(at / "new") and (at / "new/f").read_bytes() == b"2"
        assert is_opaque(at / "o") and (at / "o/x").read_bytes() == b"3"
        assert not is_opaque(at / "d")
        assert sorted(os.listdir(at)) == ["d", "new", "o"]
        assert sorted(os.listdir(at / "o")) == ["x"]


@pytest.mark.fast
def test_later_entries_replace_earlier_ones(index, tmp_path):
    with index([
        file("a", b"1"), file("a", b"22", mode=0o600),
        dir("b"), file("b/inside", b"x"), file("b", b"now a file"),
        file("c", b"x"), dir("c", mode=0o700), file("c/in", b"y"),
        dir("d"), file("d/stays", b"x"), dir("d", mode=0o711, uid=5),
        file("e", b"first"), hardlink("e2", "e"), file("e", b"second"),
        symlink("l", "a"), file("l", b"no link"),
    ]).mounted(tmp_path / "mnt") as at:
        assert (at / "a").read_bytes() == b"22" and (at / "a").stat().st_mode & 0o777 == 0o600
        assert (at / "b").read_bytes() == b"now a file"
        assert (at / "c/in").read_bytes() == b"y"
        assert (at / "d/stays").exists() and (at / "d").stat().st_uid == 5
        assert (at / "e").read_bytes() == b"second" and (at / "e2").read_bytes() == b"first"
        assert (at / "e").stat().st_nlink == (at / "e2").stat().st_nlink == 1
        assert (at / "l").read_bytes() == b"no link" and not (at / "l").is_symlink()


@pytest.mark.fast
def test_links_count(index, tmp_path):
    with index([file("a", b"1"), hardlink("b", "/a"), hardlink("d/c", "./b"), dir("e"), dir("e/f"), dir("e/g"),
                symlink("s", "x"), hardlink("s2", "s"), fifo("p"), hardlink("p2", "p")]).mounted(tmp_path / "mnt") as at:
        assert {(at / n).stat().st_nlink for n in ("a", "b", "d/c")} == {3}
        assert len({(at / n).stat().st_ino for n in ("a", "b", "d/c")}) == 1
        assert (at / "e").stat().st_nlink == 4
        assert os.readlink(at / "s2") == "x" and os.lstat(at / "s2").st_nlink == 2
        assert stat.S_ISFIFO(os.lstat(at / "p2").st_mode)


@pytest.mark.fast
def test_parents_that_are_symlinks(index, tmp_path):
    """Followed inside the root, whatever they say."""
    with index([
        dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/a", b"1"),
        symlink("out", "../../../../etc"), file("out/passwd", b"2"),
        symlink("abs", "/usr/lib"), file("abs/b", b"3"),
        symlink("late", "made/later"), file("late/c", b"4"),
    ]).mounted(tmp_path / "mnt") as at:
        assert (at / "usr/lib/a").read_bytes() == b"1"
        assert (at / "etc/passwd").read_bytes() == b"2"
        assert (at / "usr/lib/b").read_bytes() == b"3"
        assert (at / "made/later/c").read_bytes() == b"4"
        assert (at / "lib").is_symlink()


@pytest.mark.fast
@pytest.mark.parametrize("entries,words", [
    ([file("../x")], "'..'"), ([file("a/../../x")], "'..'"), ([file("/../x")], "'..'"),
    ([dir("d"), hardlink("x", "../../etc/passwd")], "target"),
    ([dir("d"), hardlink("x", "d")], "hard link to a directory"),
    ([file(".")], "replace the root"), ([symlink("./", "etc")], "replace the root"),
    ([file("a"), file("a/b")], "no directory"), ([char("a", 1, 3), file("a/b")], "no directory"),
    ([file(".wh.")], "whiteout of no name"), ([file("d/.wh...")], "whiteout of no name"),
    ([file(".wh.x/y")], "whiteout's name"), ([symlink("a", "b"), symlink("b", "a"), file("a/x")], "symlinks"),
    ([file("x" * 256)], "longer than 255"),
])
def test_refused(index, entries, words):
    made = index(entries)
    assert not made.ok and words in made.problem


@pytest.mark.fast
def test_aufs_leftovers_and_overlay_attributes_are_dropped(index, tmp_path):
    with index([file(".wh..wh.aufs"), dir(".wh..wh.plnk"), file(".wh..wh.plnk/12.34", b"x"),
                dir("d", xattrs={"trusted.overlay.redirect": b"/etc", "user.mine": b"1", "odd.space": b"2"})
                ]).mounted(tmp_path / "mnt") as at:
        assert os.listdir(at) == ["d"] and os.listxattr(at / "d") == ["user.mine"]


@pytest.mark.fast
def test_what_leans_on_lower_layers(index):
    made = index([file("a/b/c", b"1"), dir("a/b"), file("x/y", b"2"), hardlink("l1", "etc/lower"),
                  hardlink("l2", "etc/lower"), whiteout("w"), file("w/in", b"3"), hardlink("early", "late"),
                  file("late", b"4")])
    assert not made.ok and "No such file" in made.problem  # links without an answer
    assert made.leans == [["d", "a"], ["d", "x"], ["l", "l1", "etc/lower"]]


def test_epoch_makes_inodes_compact(index, tmp_path):
    """Where most files have one time, as in reproducible builds, they take half of the space."""
    plain = index([file(f"f{n}", b"1", mtime=n) for n in range(1000)]).image.stat().st_size
    small = index([file(f"f{n}", b"1") for n in range(1000)]).image.stat().st_size
    assert small < plain * 0.75
    same(index([dir("."), *(file(f"f{n}", b"1", mtime=images.EPOCH + (n == 7)) for n in range(100))]), tmp_path)


def test_same_archive_same_image(tmp_path):
    data = images.tar([dir("d"), file("d/a", b"1"), *(file(f"d/{n}") for n in range(500))])
    for name in "one", "two":
        (tmp_path / name).write_bytes(data)
        erofs.Index(tmp_path / name)
    assert (tmp_path / "one.erofs").read_bytes() == (tmp_path / "two.erofs").read_bytes()


def test_this_system(tmp_path):
    """Real trees, with whatever real programs put there."""
    tar = tmp_path / "real.tar"
    with open(tar, "wb") as out:
        subprocess.run(["tar", "--xattrs", "--xattrs-include=*", "--format=pax", "-c", "--one-file-system", "-C", "/",
                        "etc", "usr/lib/python3", "var/lib/dpkg"], stdout=out, stderr=subprocess.DEVNULL)
    same(erofs.Index(tar), tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_concurrent_readers(index, tmp_path, cut):
    """Mapped and read at once: pages beyond the end of the file are zeroes."""
    size = 5000 + 4096 * cut
    with index([file("f", b"z" * size)]).mounted(tmp_path / "mnt") as at:
        import mmap
        with open(at / "f", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            assert m[:] == b"z" * size


def test_tarfile_agrees(tmp_path):
    """Python's reader as a second oracle of names, owners and content."""
    tar = tmp_path / "t.tar"
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as t:
        for name in ("p/" * 70 + "long", "short", "ü/ö"):
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.mtime = 3000, 3_000_000, 1e9
            t.addfile(info, io.BytesIO(name.encode() * 3000))
    made = erofs.Index(tar)
    with made.mounted(tmp_path / "mnt") as at, tarfile.open(tar) as t:
        for member in t:
            found = at / member.name
            assert found.stat().st_uid == member.uid and found.stat().st_mtime == member.mtime
            assert found.read_bytes() == t.extractfile(member).read()
