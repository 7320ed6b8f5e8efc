"""A command struck at one of its system calls, by tests/faults/killer.c: killed there, or that call made to fail.

    killer = Killer(folder)                    # compiles it
    berth("load", "-i", tar, prefix=killer.argv(17))
    what, call = killer.struck()
"""

import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent / "faults" / "killer.c"
SYS_WRITE = 1

only_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="killer.c knows x86_64 registers only")


class Killer:
    def __init__(self, folder):
        self.program, self.report = pathlib.Path(folder) / "killer", pathlib.Path(folder) / "report"
        if not self.program.exists():
            subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-o", self.program, SOURCE], check=True)

    def argv(self, n, child=0, error=0, sig=signal.SIGKILL):
        """What goes before the command: strikes at its n-th call, or its child's; with an error that call fails."""
        words = ["-k", child, "-s", int(sig), "-o", self.report, *(["-e", error] if error else []), n]
        return [str(self.program), *map(str, words)]

    def struck(self):
        """What happened ("killed", "failed", "completed") and the number of the call."""
        what, _, call = self.report.read_text().split()
        assert what != "hung"
        return what, int(call)


def go_on(pids):
    """The killer leaves a child of what it killed stopped, where that one had just been made."""
    for pid in pids:
        with contextlib.suppress(OSError):
            if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] in "tT":
                os.kill(pid, signal.SIGCONT)
