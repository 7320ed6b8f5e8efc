"""What the monitor's tests are made of: one container's directories, its berth-monitor, and a client of its socket."""

import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNTIME = os.environ.get("BERTH_OCI", str(ROOT / "build/berth-oci"))
MONITOR = os.environ.get("BERTH_MONITOR", str(pathlib.Path(RUNTIME).parent / "berth-monitor"))

# monitor/wire.h
ATTACH, STOP, WAIT, SIGNAL, REOPEN, HEALTH, RESTART = range(1, 8)
STDIN, STDOUT, STDERR, PRIMARY = 1, 2, 4, 8
REQUEST = struct.Struct("=IIi4xq64s")
REPLY = struct.Struct("=iiBB2x")
AHEAD = struct.Struct("=II??128s512s512s2x")
GROUP = f"/berth-test-monitor-{os.getpid()}"  # of this run alone
ORDER = 1 << 4 | 1 << 5 | 1 << 6  # monitor/monitor.h: the three directories


def eventually(probe, timeout=10.0, step=0.01):
    """Calls probe until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value or time.monotonic() > end:
            assert value, "it did not happen in time"
            return value
        time.sleep(step)


def make_rootfs(path):
    (path / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for name in ("sh", "true", "false", "cat", "echo", "sleep", "kill", "seq", "dd", "stty", "yes", "head", "test",
                 "touch", "rm", "tr"):
        (path / "bin" / name).symlink_to("busybox")
    for name in ("dev", "proc", "sys", "tmp", "etc"):
        (path / name).mkdir()


def connect(run):
    """A connection to the monitor whose run directory this is."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here = os.open(run, os.O_PATH)
    try:
        sock.connect(f"/proc/self/fd/{here}/ctl")
    finally:
        os.close(here)
    sock.settimeout(15)
    return sock


class Attached:
    """A client of the control socket."""

    def __init__(self, run, op, flags=0, signal=0, timeout_ms=-1, why="a test"):
        self.sock = connect(run)
        self.sock.send(REQUEST.pack(op, flags, signal, timeout_ms, why.encode()))

    def reply(self):
        data = self.sock.recv(64)
        assert len(data) == REPLY.size, data
        status, code, tty, oom = REPLY.unpack(data)
        return {"status": status, "code": code, "tty": bool(tty), "oom": bool(oom)}

    def packets(self):
        """(kind, data) until the exit packet or the end."""
        while True:
            data = self.sock.recv(40000)
            if not data:
                return
            yield chr(data[0]), data[1:]
            if data[:1] in b"xl":
                return

    def collect(self):
        """stdout, stderr and exit code, to the end."""
        out = {"o": b"", "r": b""}
        for kind, data in self.packets():
            if kind in "xl":
                return out["o"], out["r"], struct.unpack("=i", data)[0]
            out[kind] += data
        return out["o"], out["r"], None

    def type(self, data):
        self.sock.send(b"i" + data)

    def close(self):
        self.sock.close()


class Monitored:
    """A container in a directory of its own, and the monitor that is started for it."""

    def __init__(self, base, number):
        self.id = f"mon-{os.getpid()}-{number}"
        self.dir, self.run_dir = base / self.id, base / f"{self.id}.run"
        self.dir.mkdir()
        self.run_dir.mkdir()
        self.events_dir = base
        self.oci_root = str(base / "oci")
        make_rootfs(self.dir / "rootfs")
        subprocess.run([RUNTIME, "spec", "--bundle", self.dir], check=True)
        self.config = json.loads((self.dir / "config.json").read_text())
        self.config["process"]["terminal"] = False
        self.config["root"] = {"path": "rootfs", "readonly": False}
        self.config["linux"]["cgroupsPath"] = f"{GROUP}/{self.id}"
        self.monitor = {"id": self.id, "name": "web", "bundle": str(self.dir), "ociRoot": self.oci_root,
                        "logDriver": "k8s-file", "stopSignal": int(signal.SIGTERM), "stopTimeoutMs": 10000}
        self.process = None

    def script(self, text):
        self.config["process"]["args"] = ["/bin/sh", "-c", text]
        return self

    def tty(self):
        self.config["process"]["terminal"] = True
        self.monitor["tty"] = True
        return self

    def start(self, ahead=False, **monitor):
        """Starts the monitor; returns the error's text, or None when the container runs. ahead: it is told beforehand
        what that is."""
        self.monitor.update(monitor)
        (self.dir / "config.json").write_text(json.dumps(self.config))
        (self.dir / "monitor.json").write_text(json.dumps(self.monitor))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [os.open(d, os.O_RDONLY) for d in (self.dir, self.run_dir, self.events_dir)]

        def place():
            os.dup2(theirs.fileno(), 3, inheritable=True)
            os.closerange(4, 200)

        self.process = subprocess.Popen([MONITOR], stdin=subprocess.DEVNULL, preexec_fn=place, close_fds=False)
        theirs.close()
        if ahead:
            ours.send(AHEAD.pack(0, self.monitor.get("startTimeoutMs", 0), bool(self.monitor.get("tty")), True, self.id.encode(), str(self.dir).encode(),
                                 self.oci_root.encode()))
        socket.send_fds(ours, [struct.pack("=III", ORDER, 0, 0)], fds)
        for fd in fds:
            os.close(fd)
        ours.settimeout(20)
        data = ours.recv(2000)
        ours.close()
        assert data, "the monitor died without a word"
        code = struct.unpack_from("=i", data)[0]
        return None if code == 0 else data[8:488].split(b"\0")[0].decode()

    def up(self, **monitor):
        error = self.start(**monitor)
        assert error is None, error
        return self

    def ctl(self, op, **kw):
        return Attached(self.run_dir, op, **kw)

    def call(self, op, **kw):
        client = self.ctl(op, **kw)
        try:
            return client.reply()
        finally:
            client.close()

    def attach(self, flags=STDOUT | STDERR, **kw):
        client = self.ctl(ATTACH, flags=flags, **kw)
        assert client.reply()["status"] == 0
        return client

    def state(self):
        return json.loads((self.run_dir / "state.json").read_text())

    def ended(self, timeout=20):
        """Waits for the monitor's own end, which is as its container's; returns the last state."""
        status = self.process.wait(timeout)
        state = self.state()
        assert status == state["exitCode"]
        return state

    def exits(self):
        return [json.loads(p.read_text()) for p in
                sorted((self.dir / "exits").glob("*.json"), key=lambda p: int(p.stem))]

    def log_lines(self):
        return [line.split(" ", 3) for line in (self.dir / "ctr.log").read_text().splitlines()]

    def log(self, stream="stdout"):
        """The text of one stream, pieces joined."""
        text = ""
        for _, which, tag, line in self.log_lines():
            if which == stream:
                text += line + ("\n" if tag == "F" else "")
        return text

    def events(self):
        path = self.events_dir / "journal"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if row["id"] == self.id]

    def clean(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        subprocess.run([RUNTIME, "--root", self.oci_root, "delete", "--force", self.id], check=True)
        for path in pathlib.Path("/sys/fs/cgroup").glob(f"*{GROUP}/{self.id}"):
            raise AssertionError(f"{path} is left")
        assert not os.path.exists(f"{self.oci_root}/{self.id}"), "the state directory is left"


def condition(pid):
    """As ps has it; None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


def alive(pid):
    """A zombie is not: where PID 1 reaps late, orphans stay for a while."""
    return condition(pid) not in (None, "Z")
