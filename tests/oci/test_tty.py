"""Terminals: console sockets, sizes, the controlling terminal, and run in a terminal of one's own."""

import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import termios
import time

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks


class Console:
    """A console socket as containerd and conmon make one; the terminal that arrives on it."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(20)
        self.fd, self.name, self.text = -1, None, b""

    def accept(self):
        connection, _ = self.listener.accept()
        with connection:
            name, fds, _, _ = socket.recv_fds(connection, 4096, 4)
        assert len(fds) == 1
        self.fd, self.name = fds[0], name
        return self

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, what, timeout=20):
        end = time.monotonic() + timeout
        while what.encode() not in self.text and time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.2)
            if ready:
                try:
                    self.text += os.read(self.fd, 4096)
                except OSError:  # EIO: the other side has closed
                    break
        assert what.encode() in self.text, self.text
        return self.text.decode()

    def write(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        self.listener.close()
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def console(box):
    c = Console(box.dir / "tty.sock")
    yield c
    c.close()


def started(box, console, *argv):
    box.process["terminal"] = True
    box.args(*argv).create("--console-socket", console.path).ok()
    console.accept()
    box.start().ok()
    return console


# ---- console sockets ----


def test_terminal_is_sent(box, console):
    out = started(box, console, "probe", "tty").read_until("name")
    assert "isatty 111" in out and "controlling 1" in out and "leader 1" in out
    assert "name /dev/pts/0" in out or "name /dev/console" in out


def test_name_in_the_message(box, console):
    started(box, console, "sleep", "1000")
    assert console.name.startswith(b"/dev/pts") or console.name


def test_input_and_echo(box, console):
    started(box, console, "sh", "-c", "read x; echo got $x")
    console.write("hello\n")
    console.read_until("got hello")


def test_resize(box, console):
    started(box, console, "sh", "-c", "trap 'stty size; echo resized' WINCH; echo ready; while :; do sleep 0.05; done")
    console.read_until("ready")
    console.resize(40, 132)
    assert "40 132" in console.read_until("resized")


@lacks("crun", why="sets it later")
def test_console_size(box, console):
    box.process["consoleSize"] = {"height": 25, "width": 80}
    out = started(box, console, "probe", "tty").read_until("name")
    assert "rows 25" in out and "columns 80" in out


def test_console_size_is_ignored_without_a_terminal(box):
    box.process["consoleSize"] = {"height": 25, "width": 80}
    box.args("true").run().ok()


def test_dev_console(box, console):
    out = started(box, console, "sh", "-c", "echo x > /dev/console; stat -c %t /dev/console; echo end").read_until("end")
    assert out.split()[:2] == ["x", "88"]  # major 136


def test_ctrl_c(box, console):
    started(box, console, "sh", "-c", "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done")
    console.read_until("ready")
    console.write("\x03")
    console.read_until("interrupted")


def test_terminal_belongs_to_the_user(box, console):
    box.process["user"] = {"uid": 1000, "gid": 1000}
    out = started(box, console, "sh", "-c", "stat -c %u $(tty); echo x > /dev/tty && echo end").read_until("end")
    assert out.split()[0] == "1000"


def test_terminal_in_a_user_namespace(box, console):
    box.mapped()
    out = started(box, console, "probe", "tty").read_until("name")
    assert "isatty 111" in out


def test_terminal_of_exec(box, console):
    box.up()
    box.exec("probe", "tty", flags=["--tty", "--detach", "--console-socket", console.path], stdout=box.dir / "o").ok()
    out = console.accept().read_until("name")
    assert "isatty 111" in out and "controlling 1" in out


def test_terminal_of_exec_by_process(box, console):
    box.up()
    result = box.exec_process({"args": ["probe", "tty"], "terminal": True, "consoleSize": {"height": 5, "width": 6}},
                              "--console-socket", console.path, "--detach", stdout=box.dir / "o").ok()
    out = console.accept().read_until("name")
    assert "isatty 111" in out
    if kit.PEER == "berth":
        assert "rows 5" in out and "columns 6" in out


def test_create_with_a_terminal_needs_a_console_socket(box):
    box.process["terminal"] = True
    box.create().failed(("console",)).names("--console-socket")


@lacks("crun", why="takes it")
def test_console_socket_without_a_terminal(box, console):
    box.create("--console-socket", console.path).failed(("console", "terminal"))


def test_console_socket_that_does_not_exist(box):
    box.process["terminal"] = True
    box.create("--console-socket", "/nosuch/tty.sock").failed().names("/nosuch/tty.sock")


def test_console_socket_path_that_is_too_long(box):
    box.process["terminal"] = True
    box.create("--console-socket", "/tmp/" + "x" * 200).failed()


# ---- run and exec in a terminal of the caller's ----


class Terminal:
    """Runs the runtime as someone at a terminal does."""

    def __init__(self, argv, rows=30, columns=90, **kw):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.slave, self.before = slave, termios.tcgetattr(slave)

        def lead():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lead, **kw)
        self.fd, self.text = master, b""

    read_until = Console.read_until
    write = Console.write
    resize = Console.resize

    def wait(self, timeout=20):
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                self.text += os.read(self.fd, 4096)
        while select.select([self.fd], [], [], 0.05)[0]:
            self.text += os.read(self.fd, 4096)
        return self.process.poll()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)
        os.close(self.slave)


@pytest.fixture
def terminal(box):
    made = []

    def make(*argv, **kw):
        box.save()
        made.append(Terminal(box.runtime.argv(*argv), **kw))
        return made[-1]

    yield make
    for t in made:
        t.close()


@lacks("crun", why="does not copy the size")
def test_run_in_a_terminal(box, terminal):
    box.process["terminal"] = True
    t = (box.args("probe", "tty"), terminal("run", "--bundle", box.dir, box.id))[1]
    assert t.wait() == 0
    out = t.text.decode()
    assert "isatty 111" in out and "rows 30" in out and "columns 90" in out


def test_run_in_a_terminal_passes_input_and_exit_code(box, terminal):
    box.process["terminal"] = True
    box.args("sh", "-c", "read x; echo got $x; exit 5")
    t = terminal("run", "--bundle", box.dir, box.id)
    t.write("hello\n")
    assert t.wait() == 5
    assert "got hello" in t.text.decode()


@lacks("crun", why="does not copy the size")
def test_run_in_a_terminal_follows_its_size(box, terminal):
    box.process["terminal"] = True
    box.args("sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    t = terminal("run", "--bundle", box.dir, box.id)
    t.read_until("ready")
    t.resize(41, 131)
    t.read_until("41 131")
    box.delete("--force").ok()
    t.wait()


@lacks("crun", why="leaves ONLCR on")
def test_onlcr_is_off(box, terminal):
    """As runc does: a terminal read through another one must not turn newlines into CR CR LF."""
    box.process["terminal"] = True
    t = (box.args("stty", "-a"), terminal("run", "--bundle", box.dir, box.id))[1]
    assert t.wait() == 0
    assert b"-onlcr" in t.text


def test_terminal_is_restored(box, terminal):
    """The caller's terminal is raw while the container runs, and as before afterwards."""
    box.process["terminal"] = True
    box.args("true")
    t = terminal("run", "--bundle", box.dir, box.id)
    assert t.wait() == 0
    assert termios.tcgetattr(t.slave) == t.before


def test_terminal_output_is_complete(box, terminal):
    """Nothing of what the program printed last is lost when it exits at once."""
    box.process["terminal"] = True
    box.args("sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
    t = terminal("run", "--bundle", box.dir, box.id)
    assert t.wait(30) == 0
    assert b"line 1999" in t.text and t.text.count(b"line ") == 2000


def test_exec_in_a_terminal(box, terminal):
    box.up()
    t = terminal("exec", "--tty", box.id, "sh", "-c", "probe tty; exit 6")
    assert t.wait() == 6
    assert "isatty 111" in t.text.decode()


def test_program_that_leaves_a_child_holding_the_terminal(box, terminal):
    """run ends with init, though someone else may still hold the terminal open."""
    box.process["terminal"] = True
    box.args("sh", "-c", "sleep 100 & exit 4")
    t = terminal("run", "--bundle", box.dir, box.id)
    assert t.wait() == 4


def test_reader_that_does_not_read(box, console):
    """A container that prints into a full terminal stays killable, and no verb hangs on it."""
    started(box, console, "yes")
    time.sleep(0.3)
    assert box.status == "running"
    box.delete("--force").ok()
