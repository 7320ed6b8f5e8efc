"""Layers that nobody means well with: for each what is wrong, and what berth must say or make of it.

REFUSED: archives that must not become a layer. HARMLESS: such as look dangerous and are unpacked, with
nothing outside the root touched. BOMBS: small blobs of much content, as streams.
"""

import dataclasses
import gzip
import struct
import zlib

import images
from images import Entry, char, dir, file, hardlink, header, octal, opaque, pax, symlink, whiteout


@dataclasses.dataclass
class Case:
    """rule: phrases of the message; entry: the name that it must show. lean: refused only when it is
    settled, for a lower layer could have made it right."""

    name: str
    entries: object
    rule: tuple = ()
    entry: str = ""
    code: str = "INVALID"
    lean: bool = False
    backends: tuple = ("erofs", "directory")


ROOT = dir("./")


def refused(name, entries, *rule, entry="", **kw):
    return Case(name, entries, rule, entry, **kw)


def sparse(*records, data=b"x" * 512):
    return [ROOT, pax(records) + header("sparse", "0", len(data)) + images.padded(data)]


REFUSED = [
    # Out of the root.
    refused("parent first", [ROOT, file("../escape", b"x")], "'..' component", entry="../escape"),
    refused("parent inside", [ROOT, dir("a"), file("a/../../escape", b"x")], "'..' component",
            entry="a/../../escape"),
    refused("parent alone", [ROOT, dir("..")], "'..' component", entry="../"),
    refused("parent last", [ROOT, dir("a"), dir("a/..")], "'..' component", entry="a/../"),
    refused("parent in a pax path", [ROOT, pax([("path", "x/../../y")]) + header("fine", "0")], "'..' component",
            entry="x/../../y"),
    refused("hard link to a parent", [ROOT, hardlink("l", "../../etc/passwd")], "target", "forbidden", entry="l"),
    refused("hard link to the host's file", [ROOT, hardlink("l", "/etc/shadow")], "hard link to 'etc/shadow'",
            entry="l", lean=True),
    refused("hard link through a symlink", [ROOT, symlink("s", "/etc"), hardlink("l", "s/shadow")],
            "hard link to 's/shadow'", entry="l", lean=True),
    refused("hard link to a directory", [ROOT, dir("d"), hardlink("l", "d")], "hard link to a directory", entry="l"),
    refused("hard link to the root", [ROOT, hardlink("l", ".")], "hard link to no file", entry="l"),
    refused("hard link to itself", [ROOT, hardlink("l", "l")], "hard link to 'l'", entry="l", lean=True),
    refused("hard links in a circle", [ROOT, hardlink("a", "b"), hardlink("b", "a")], "hard link", lean=True),
    refused("hard link to a whiteout", [ROOT, whiteout("w"), hardlink("l", ".wh.w")], "hard link to no file", entry="l"),
    # The root itself.
    refused("root a symlink", [symlink("./", "/etc")], "replace the root", entry="./"),
    refused("root a symlink, later", [ROOT, file("f"), symlink(".", "/")], "replace the root", entry="."),
    refused("root a file", [file(".", b"x")], "replace the root"),
    refused("root a file, by slashes", [file("///", b"x")], "replace the root", entry="///"),
    refused("root a device", [char("./.", 1, 3)], "replace the root", entry="./."),
    refused("root a hard link", [ROOT, file("f"), hardlink(".", "f")], "replace the root"),
    # Paths.
    refused("a file as a parent", [ROOT, file("f", b"x"), file("f/below", b"x")], "'f' in its path is no directory",
            entry="f/below"),
    refused("a device as a parent", [ROOT, char("c", 1, 3), file("c/below")], "'c' in its path is no directory"),
    refused("a circle of symlinks", [ROOT, symlink("a", "b"), symlink("b", "a"), file("a/f")],
            "more than 40 symlinks", entry="a/f"),
    refused("a symlink to itself", [ROOT, symlink("a", "a"), file("a/f")], "more than 40 symlinks"),
    refused("a chain of symlinks", [ROOT, dir("s0")] + [symlink(f"s{n + 1}", f"s{n}") for n in range(41)] +
            [file("s41/f")], "more than 40 symlinks", entry="s41/f"),
    refused("a long component", [ROOT, file("x" * 256)], "longer than 255 bytes"),
    refused("a long component behind a symlink", [ROOT, symlink("s", "y" * 256), file("s/f")], "longer than 255"),
    refused("a long path", [ROOT, file("/".join("p" * 99 for _ in range(50)))], "4096 bytes or more", code="LIMIT"),
    refused("a long target", [ROOT, symlink("l", "t" * 4096)], "4096 bytes or more", code="LIMIT"),
    refused("no name", [ROOT, Entry("", "0")], "no name"),
    refused("no target", [ROOT, Entry("l", "2")], "link without a target", entry="l"),
    refused("a NUL in a path", [ROOT, pax([("path", "a\0b")]) + header("f", "0")], "'path' has an invalid value"),
    refused("a NUL in a target", [ROOT, pax([("linkpath", "a\0b")]) + header("f", "2")], "'linkpath'"),
    refused("a terminal's language", [ROOT, file("../\33[2J\n\r\0177".replace("\0177", "\x7f"))],
            "'../?[2J???'", "'..' component"),
    # Whiteouts.
    refused("a whiteout of nothing", [ROOT, file(".wh.")], "whiteout of no name", entry=".wh."),
    refused("a whiteout of the directory", [ROOT, dir("d"), file("d/.wh..")], "whiteout of no name"),
    refused("a whiteout of the parent", [ROOT, dir("d"), file("d/.wh...")], "whiteout of no name"),
    refused("below a whiteout", [ROOT, file(".wh.d/f")], "below a whiteout's name", entry=".wh.d/f"),
    # Numbers.
    refused("a negative size", [ROOT, Entry("f", "0", fields={124: octal(-512, 12)})], "size is no number"),
    refused("a size that is none", [ROOT, Entry("f", "0", fields={124: b"12garbage!!"})], "size is no number"),
    refused("a huge size", [ROOT, Entry("f", "0", fields={124: b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7})],
            "file of more than", code="LIMIT"),
    refused("a size beyond numbers", [ROOT, Entry("f", "0", fields={124: b"\x80" + b"\xff" * 11})],
            "size is no number"),
    refused("a huge pax size", [ROOT, pax([("size", str(1 << 62))]) + header("f", "0")], "file of more than",
            code="LIMIT"),
    refused("a negative pax size", [ROOT, pax([("size", "-1")]) + header("f", "0")], "'size' has an invalid value"),
    refused("a size that overflows", [ROOT, pax([("size", str((1 << 64) + 5))]) + header("f", "0")], "'size'"),
    refused("a negative owner", [ROOT, Entry("f", "0", fields={108: octal(-1, 8)})], "user ID", entry="f"),
    refused("no owner", [ROOT, pax([("uid", str(0xFFFFFFFF))]) + header("f", "0")], "'uid'"),
    refused("a huge group", [ROOT, pax([("gid", "99999999999")]) + header("f", "0")], "'gid'"),
    refused("a mode of letters", [ROOT, Entry("f", "0", fields={100: b"rwxr-xr-"})], "mode is no number"),
    refused("a time of letters", [ROOT, pax([("mtime", "yesterday")]) + header("f", "0")], "'mtime'"),
    refused("a device out of range", [ROOT, char("c", 4096, 0)], "device number", entry="c"),
    # Headers.
    refused("a wrong checksum", [ROOT, Entry("f", "0", checksum=False)], "checksum is wrong"),
    refused("no archive", b"#!/bin/sh\n" * 200, "checksum is wrong"),
    refused("an unknown type", [ROOT, Entry("f", "V")], "unknown type 'V'", entry="f"),
    refused("a multi-volume part", [ROOT, Entry("f", "M", size=512, data=b"x" * 512)], "unknown type 'M'"),
    refused("an entry behind the first zeros", [ROOT, b"\0" * 512, file("hidden", b"x")], "single block of zeros"),
    refused("a malformed record", [ROOT, header("p", "x", 6) + images.padded(b"6 ab=c"), file("f")], "malformed"),
    refused("a record that is too long", [ROOT, header("p", "x", 10) + images.padded(b"99 ab=cdef"), file("f")],
            "malformed"),
    refused("a huge extended header", [ROOT, pax([("comment", "c" * (2 << 20))]) + header("f", "0")],
            "extended header of more than", code="LIMIT"),
    refused("a huge long name", [ROOT, header("././@LongLink", "L", 2 << 20) + b"n" * (2 << 20), file("f")],
            "extended header of more than", code="LIMIT"),
    refused("a huge attribute", [ROOT, file("f", xattrs={"user.a": b"v" * 65537})], "over 65536 bytes", code="LIMIT"),
    refused("a long attribute's name", [ROOT, file("f", xattrs={"user." + "n" * 251: b""})], "over 255 bytes",
            code="LIMIT"),
    refused("many attributes", [ROOT, file("f", xattrs={f"user.{n}": b"" for n in range(129)})],
            "more than 128 extended attributes", code="LIMIT"),
    refused("an attribute without a name", [ROOT, file("f", xattrs={"": b"v"})], "without a name"),
    # Sparse files.
    refused("pieces in disorder", sparse(("GNU.sparse.size", "4096"), ("GNU.sparse.map", "1024,256,0,256")), "ascending"),
    refused("pieces that overlap", sparse(("GNU.sparse.size", "4096"), ("GNU.sparse.map", "0,256,255,256")), "ascending"),
    refused("pieces beyond the end", sparse(("GNU.sparse.size", "600"), ("GNU.sparse.map", "0,256,512,256")),
            "beyond its size"),
    refused("pieces without data", sparse(("GNU.sparse.size", "4096"), ("GNU.sparse.map", "0,4096")), "does not match"),
    refused("pieces that overflow", sparse(("GNU.sparse.size", str((1 << 63) - 1)),
                                           ("GNU.sparse.map", f"{(1 << 63) - 1},{(1 << 63) - 1}")), "ascending"),
    refused("half a piece", sparse(("GNU.sparse.size", "4096"), ("GNU.sparse.offset", "0")), "incomplete"),
    refused("a map of letters", sparse(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "s"),
                                       ("GNU.sparse.realsize", "4096"), data=b"one\n" + b"\0" * 508), "no numbers"),
    refused("a map without an end", sparse(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "s"),
                                           ("GNU.sparse.realsize", "4096"), data=b"200\n" + b"0\n" * 254),
            "cut off"),
    refused("a map of too many pieces", sparse(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"),
                                               ("GNU.sparse.name", "s"), ("GNU.sparse.realsize", "4096"),
                                               data=images.padded(b"999999999\n")), "more than", code="LIMIT"),
    refused("a version from the future", sparse(("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "1")),
            "unknown version"),
    refused("an old map in disorder", [ROOT, Entry("s", "S", b"x" * 512, fields={
        386: b"%011o\0%011o\0" % (512, 256), 410: b"%011o\0%011o\0" % (0, 256), 483: b"%011o\0" % 4096})], "ascending"),
]


def harmless(outside):
    """(name, entries, {path: expected content or None}). outside: a directory with a file canary."""
    canary = f"{outside}/canary"
    return [
        ("an absolute path", [ROOT, file(canary, b"new")], {canary[1:]: b"new"}),
        ("a symlinked parent", [ROOT, symlink("s", outside), file("s/canary", b"new")], {canary[1:]: b"new"}),
        ("a relative way out", [ROOT, symlink("s", "../" * 30 + outside[1:]), file("s/canary", b"new")],
         {canary[1:]: b"new"}),
        ("a symlink to the root", [ROOT, symlink("s", "/"), file("s/top", b"new")], {"top": b"new"}),
        ("a file over a symlink", [ROOT, symlink("f", canary), file("f", b"new", 0o777)], {"f": b"new"}),
        ("a directory over a symlink", [ROOT, symlink("d", outside), dir("d", 0o777), file("d/canary", b"new")],
         {"d/canary": b"new"}),
        ("a device over a symlink", [ROOT, symlink("c", canary), char("c", 1, 3, 0o777)], {"c": None}),
        ("a hard link to a symlink, then a file over it",
         [ROOT, symlink("s", canary), hardlink("h", "s"), file("h", b"new", uid=1, mode=0o777)], {"h": b"new"}),
        ("a directory that becomes a symlink", [ROOT, dir("d"), file("d/canary", b"old"), symlink("d", outside),
                                                file("d/canary", b"new")], {canary[1:]: b"new"}),
        ("a deep directory that becomes a symlink",
         [ROOT, dir("a"), dir("a/b", 0o700, uid=7, mtime=7), symlink("a", outside), dir("c")], {"a": None}),
        ("a mode for a symlink", [ROOT, symlink("l", canary, fields={100: b"0004777\0"})], {"l": None}),
        ("a whiteout of the canary", [ROOT, whiteout(canary[1:])], {canary[1:]: None}),
        ("an opaque outside", [ROOT, symlink("s", outside), opaque("s")], {outside[1:]: None}),
        ("a global header", [ROOT, pax([("path", canary)], type="g") + header("f", "0")], {"f": b""}),
        ("overlay's own attributes", [ROOT, dir("d", xattrs={"trusted.overlay.redirect": b"/etc",
                                                              "trusted.overlay.opaque": b"y"}),
                                      file("f", b"x", xattrs={"trusted.overlay.metacopy": b""})], {"f": b"x"}),
        ("hundreds of directories deep", [ROOT] + [dir("/".join("d" * n)) for n in range(1, 200)], {"/".join("d" * 199): None}),
        ("a maze of symlinks", [ROOT, dir("d")] + [symlink(f"d/s{n}", f"s{n - 1}/.." if n else ".") for n in range(30)] +
         [file("d/s29/f", b"new")], {"f": b"new"}),
    ]


# ---- bombs ----


def member(data):
    return gzip.compress(data, 9, mtime=0)


def repeated(first, again, times):
    """A stream of gzip members: what is small is made once."""
    yield member(first)
    packed, batch = member(again), 50
    for _ in range(times // batch):
        yield packed * batch


def zeros(gigabytes):
    """One file of zeros."""
    size = gigabytes << 30
    head = images.tar([ROOT], end=b"") + header("zeros", "0", 0, fields={124: octal(size, 12)})
    return repeated(head, bytes(64 << 20), size >> 26)


def zeros_zstd(gigabytes):
    size = gigabytes << 30
    yield images.zstd(images.tar([ROOT], end=b"") + header("zeros", "0", 0, fields={124: octal(size, 12)}))
    packed = images.zstd(bytes(64 << 20))
    for _ in range(size >> 26):
        yield packed


def entries(millions):
    """Empty files, all of different names."""
    block = bytearray(header("n" * 20, "0"))
    count, per = millions * 1_000_000, 20_000
    yield member(images.tar([ROOT], end=b""))
    base = sum(block) - sum(block[148:156]) + 8 * 32
    for at in range(0, count, per):
        out = bytearray()
        for n in range(at, at + per):
            name = b"%020d" % n
            block[0:20] = name
            block[148:156] = b"%06o\0 " % (base - 20 * ord("n") + sum(name))
            out += block
        yield zlib_member(bytes(out))


def zlib_member(data):
    z = zlib.compressobj(1, zlib.DEFLATED, 31)
    return z.compress(data) + z.flush()


def window_of_two_gigabytes():
    """A zstd frame whose header asks for a window of 2 GiB."""
    return b"\x28\xb5\x2f\xfd\0\xa8\1\0\0" + struct.pack("<I", 0)
