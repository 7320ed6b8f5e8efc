"""Indexes over archives, made by the writer that berth-layer links, and mounted by the kernel."""

import contextlib
import ctypes
import os
import pathlib
import subprocess

import kit
import pytest

libc = ctypes.CDLL(None, use_errno=True)
FSOPEN, FSCONFIG, FSMOUNT, MOVE_MOUNT = 430, 431, 432, 429
SET_FLAG, SET_STRING, CREATE = 0, 1, 6
RDONLY, EMPTY_PATH = 1, 4


def tool():
    path = pathlib.Path(kit.BERTH).parent / "src/codec/erofs-index"
    if not path.exists():
        pytest.skip(f"needs the build tree's {path}")
    return path


def call(number, *args):
    args = [a.encode() if isinstance(a, str) else a for a in args]
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(args))
    return result


class Index:
    """index(tar): .leans is what it leans on, as [kind, path, target?]; .problem what was refused."""

    def __init__(self, tar, image=None):
        self.tar, self.image = pathlib.Path(tar), pathlib.Path(image or f"{tar}.erofs")
        done = subprocess.run([tool(), self.tar, self.image], capture_output=True, text=True, timeout=120)
        self.ok, self.problem = done.returncode == 0, done.stderr
        self.leans = [line.split(" ") for line in done.stdout.splitlines()]

    @contextlib.contextmanager
    def mounted(self, at):
        """The index over its archive, mounted from the two files."""
        at = pathlib.Path(at)
        at.mkdir(exist_ok=True)
        context = call(FSOPEN, "erofs", 1)
        try:
            for key, value in ("source", self.image), ("device", self.tar):
                call(FSCONFIG, context, SET_STRING, key, str(value), 0)
            call(FSCONFIG, context, SET_FLAG, "ro", None, 0)
            call(FSCONFIG, context, CREATE, None, None, 0)
            mount = call(FSMOUNT, context, 1, RDONLY)
        finally:
            os.close(context)
        try:
            call(MOVE_MOUNT, mount, "", -100, str(at), EMPTY_PATH)
        finally:
            os.close(mount)
        try:
            yield at
        finally:
            subprocess.run(["umount", at], check=True)


def unpacked(tar, at):
    """The archive as GNU tar unpacks it: the oracle."""
    at.mkdir()
    subprocess.run(["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--delay-directory-restore", "-xpf",
                    tar, "-C", at], check=True)
    return at
