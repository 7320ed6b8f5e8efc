"""Speaks to berth-fetch over its socket, in berth's place (image/fetch-protocol.h).

    f = Fetch("127.0.0.1:5000", "team/app", retry_delay_ms=10)
    f.manifest("latest")["digest"]
    data, answer = f.blob(digest, size)
"""

import array
import json
import os
import pathlib
import select
import socket
import subprocess
import time

from kit import BERTH, die_along

HELPER = next((str(p) for p in (pathlib.Path(os.environ.get("BERTH_LIBEXEC") or "/nowhere") / "berth-fetch",
                                pathlib.Path(BERTH).parent / "src/libexec/berth-fetch",
                                pathlib.Path(BERTH).parent / "../libexec/berth/berth-fetch") if p.exists()), None)
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


class Failed(Exception):
    def __init__(self, message):
        super().__init__(message["text"] + " / " + message["hint"])
        self.code, self.sys, self.text, self.hint = (message[k] for k in ("code", "sys", "text", "hint"))


class Fetch:
    """One berth-fetch for one repository. Options are those of fetch_options, and stall_s."""

    def __init__(self, host, path, root=None, env=None, user=None, **options):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {k: v for k, v in os.environ.items() if k not in PROXIES}
        environment.update({"BERTH_CONFINE_TELL": "1", "HOME": "/nowhere", **(env or {})})
        self.stderr = os.memfd_create("stderr")

        def place():
            die_along()
            os.dup2(theirs.fileno(), 3)  # also where it is 3 already: made inheritable
            os.set_inheritable(3, True)
            if user:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)

        self.process = subprocess.Popen([HELPER], preexec_fn=place, close_fds=False, env=environment,
                                        stdin=subprocess.DEVNULL, stderr=self.stderr)
        theirs.close()
        self.socket, self.last, self.events = ours, 0, []
        self.send({"op": "open", "id": 0, "host": host, "path": path, "root": root or "/nowhere", **options})
        try:
            self.wait(0)
        except Exception:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *args):
        said = self.said()
        self.close()
        assert "not allowed here" not in said, said

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        """What it printed."""
        return os.pread(self.stderr, 1 << 20, 0).decode(errors="replace")

    def close(self):
        self.socket.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            if self.stderr is not None:
                os.close(self.stderr)
                self.stderr = None

    def send(self, message, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([json.dumps(message).encode()], ancillary)

    def receive(self, timeout=60):
        if not select.select([self.socket], [], [], timeout)[0]:
            raise TimeoutError(f"berth-fetch says nothing; so far: {self.events} {self.said()}")
        data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
        if not data:
            raise EOFError(f"berth-fetch ended with {self.process.wait()}: {self.said()}")
        message = json.loads(data)
        for fd in fds:
            message["data"] = os.pread(fd, message["size"], 0)
            os.close(fd)
        self.events.append(message)
        return message

    def answered(self, id):
        return next((m for m in self.events if m["id"] == id and m["event"] in ("done", "failed")), None)

    def wait(self, id, timeout=60):
        end = time.monotonic() + timeout
        while not (found := self.answered(id)):
            self.receive(max(0, end - time.monotonic()))
        if found["event"] == "failed":
            raise Failed(found)
        return found

    def start(self, op, fds=(), **members):
        self.last += 1
        self.send({"op": op, "id": self.last, **members}, fds)
        return self.last

    def call(self, op, fds=(), timeout=60, **members):
        return self.wait(self.start(op, fds, **members), timeout)

    def manifest(self, reference="latest", head=False):
        return self.call("manifest", reference=reference, head=head)

    def blob_start(self, digest, size, offset=0):
        """(id, the pipe's read end)"""
        r, w = os.pipe()
        try:
            return self.start("blob", [w], digest=digest, size=size, offset=offset), r
        finally:
            os.close(w)

    def blob(self, digest, size, offset=0, timeout=60):
        """(bytes, answer), reading as fast as it comes."""
        id, r = self.blob_start(digest, size, offset)
        parts, end = [], time.monotonic() + timeout
        try:
            while True:
                ready = select.select([r, self.socket], [], [], max(0, end - time.monotonic()))[0]
                assert ready, f"nothing comes any more; so far: {self.events} {self.said()}"
                if self.socket in ready:
                    self.receive()
                if r in ready:
                    parts.append(os.read(r, 1 << 20))
                    if not parts[-1]:
                        break
        finally:
            os.close(r)
        return b"".join(parts), self.wait(id)

    def notes(self):
        return [m["text"] for m in self.events if m["event"] == "note"]

    def rates(self):
        return [m["text"] for m in self.events if m["event"] == "rate"]

    def status(self):
        """/proc/PID/status as a dictionary."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
