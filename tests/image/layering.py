"""berth-layer called as berth calls it, for tests of unpacking alone: no store, no registry."""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import threading

import erofs
import images
import kit

INPUT, OUTPUT, ERROR, DIR, RESULT, LOWER = range(6)
RECORD = struct.Struct("=IIiBB480s160s136s136s2xQQQ")  # struct layer_wire
CODES = ("NONE", "INVALID", "NOT_FOUND", "EXISTS", "STATE", "DENIED", "UNSUPPORTED", "LIMIT", "UNAVAILABLE",
         "SYSTEM", "INTERNAL")
BACKENDS = ("erofs", "directory")


def program():
    """BERTH_LAYER, or the one of the build tree that BERTH is of."""
    return os.environ.get("BERTH_LAYER") or str(pathlib.Path(kit.BERTH).parent / "src/libexec/berth-layer")


@dataclasses.dataclass
class Answer:
    status: int
    code: str = "DIED"
    text: str = ""
    corrupt_spool: bool = False
    leans: bool = False
    digest: str = ""
    diff_id: str = ""
    size: int = 0
    tar_size: int = 0
    entries: int = 0
    stderr: str = ""

    def ok(self):
        assert self.code == "NONE" and self.status == 0, self
        return self

    def failed(self, code, *phrases):
        assert self.code == code and self.status != 0, self
        for phrase in phrases:
            assert phrase in self.text, (phrase, self)
        return self


def answer(status, data, stderr):
    if len(data) != RECORD.size:
        return Answer(status, stderr=stderr)
    _, code, _, spool, leans, chain, hint, digest, diff_id, size, tar_size, entries = RECORD.unpack(data)
    text = [b.split(b"\0")[0].decode(errors="replace") for b in (chain, digest, diff_id)]
    return Answer(status, CODES[code], text[0], bool(spool), bool(leans), text[1], text[2], size, tar_size,
                  entries, stderr)


def pour(blob, fd):
    """Feeds bytes, or an iterator of them, to a pipe."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(fd, "wb", buffering=0) as pipe:
        for piece in [blob] if isinstance(blob, bytes) else blob:
            view = memoryview(piece)
            while view:
                view = view[pipe.write(view):]


def call(mode, dir=None, blob=b"", output=None, lower=None, timeout=kit.TIMEOUT, wrap=(), **keys):
    """Runs one mode; blob is bytes or an iterator of bytes, or an open file. wrap: a command in front."""
    opened, feeder = [], None

    def own(fd):
        opened.append(fd)
        return fd

    if hasattr(blob, "fileno"):
        source = own(os.dup(blob.fileno()))
    else:
        source, into = os.pipe()
        own(source)
        feeder = threading.Thread(target=pour, args=(blob, into))
    sink = own(os.open(output or "/dev/null", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    out, into_out = os.pipe()
    want = {INPUT: source, OUTPUT: sink, RESULT: own(into_out)}
    if dir is not None:
        want[DIR] = own(os.open(dir, os.O_RDONLY | os.O_DIRECTORY))
    if lower is not None:
        want[LOWER] = own(os.open(lower, os.O_PATH))
    argv = [*wrap, program(), mode] + [f"{k.replace('_', '-')}={v}" for k, v in keys.items() if v is not None]
    # All of them out of the way first: a source may stand where another belongs.
    high = {to: own(os.dup2(fd, 200 + i, inheritable=False)) for i, (to, fd) in enumerate(want.items())}
    spawn = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in high.items()]
    spawn += [(os.POSIX_SPAWN_CLOSE, to) for to in (DIR, LOWER) if to not in want]
    with tempfile.TemporaryFile() as errors:
        spawn.append((os.POSIX_SPAWN_DUP2, errors.fileno(), ERROR))
        # What stands at 3 or 5 here may be ours: closing what is not open is an error of posix_spawn.
        spawn = [s for s in spawn if s[0] != os.POSIX_SPAWN_CLOSE or is_open(s[1])]
        pid = os.posix_spawnp(argv[0], argv, {**os.environ, "BERTH_CONFINE_TELL": "1"}, file_actions=spawn)
        for fd in opened:
            os.close(fd)
        if feeder:
            feeder.start()
        with os.fdopen(out, "rb") as results:
            data = results.read()
        _, status = os.waitpid(pid, 0)
        if feeder:
            feeder.join(timeout)
        errors.seek(0)
        return answer(os.waitstatus_to_exitcode(status), data, errors.read().decode(errors="replace"))


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class Stage:
    """A staged layer: stage("erofs").unpack(entries).ok(); with stage.tree() as path: ..."""

    def __init__(self, base, backend):
        self.base, self.backend = pathlib.Path(base), backend
        self.dir = self.base / "stage"
        self.dir.mkdir(parents=True)
        self.diff_id, self.tar_size = None, None

    def unpack(self, blob, compress=gzip.compress, **keys):
        """blob: a list of entries, the bytes of a tar, or with compress=None of the blob itself."""
        if isinstance(blob, list):
            blob = images.tar(blob)
        if compress:
            blob = compress(blob)
        if isinstance(blob, bytes):
            keys.setdefault("digest", images.digest(blob))
            keys.setdefault("size", len(blob))
            blob = blob[int(keys.get("resume", 0)):]
        self.answer = call("unpack", self.dir, blob, backend=self.backend, **keys)
        self.diff_id, self.tar_size = self.answer.diff_id, self.answer.tar_size
        return self.answer

    def settle(self, lower=None):
        return call("settle", self.dir, lower=lower, backend=self.backend)

    def tar(self, path, mode="tar", **keys):
        return call(mode, self.dir, output=path, backend=self.backend, diff_id=self.diff_id, size=self.tar_size,
                    **keys)

    @contextlib.contextmanager
    def tree(self):
        """The unpacked tree's path, mounted where it has to be."""
        if self.backend == "directory":
            yield self.dir / "fs"
            return
        index = object.__new__(erofs.Index)
        index.tar, index.image = self.dir / "layer.tar", self.dir / "layer.erofs"
        with index.mounted(self.base / "mnt") as at:
            yield at

    def entries(self, **kw):
        """kit.tree() of it."""
        with self.tree() as at:
            return kit.tree(at, **kw)

    def clear(self):
        shutil.rmtree(self.dir)
        self.dir.mkdir()


def gnu_tar(data, at):
    """The archive as GNU tar unpacks it."""
    at.mkdir()
    path = at.parent / (at.name + ".tar")
    path.write_bytes(data)
    subprocess.run(["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--delay-directory-restore", "-xpf",
                    path, "-C", at], check=True)
    return at
