"""linux.seccomp: actions, operators, architectures, the ENOSYS rule, and listeners."""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import threading

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

GETPID, GETPRIORITY, MKDIR, PERSONALITY, SYSINFO = 39, 140, 83, 135, 99
GETPRIORITY_OF_SELF = 20  # what the system call returns for nice 0
EPERM, ENOSYS = 1, 38


def profile(box, *rules, default="SCMP_ACT_ALLOW", **more):
    box.linux["seccomp"] = {"defaultAction": default, "syscalls": list(rules), **more}


def rule(action, *names, **more):
    return {"names": list(names), "action": action, **more}


def call(box, number, *args):
    """What one system call answers inside: "ok N", "errno N" or "signal N"."""
    return box.args("probe", "syscall", str(number), *map(str, args)).run().ok().out.strip()


def status_field(box, name):
    out = box.args("grep", name + ":", "/proc/self/status").run().ok().out
    return out.split()[1]


# ---- actions ----


def test_filter_is_installed(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"))
    assert status_field(box, "Seccomp") == "2"


def test_no_filter_without_a_profile(box):
    assert status_field(box, "Seccomp") == "0"


@pytest.mark.parametrize("action, answer", [
    ("SCMP_ACT_ERRNO", f"errno {EPERM}"), ("SCMP_ACT_KILL", "signal 31"), ("SCMP_ACT_KILL_THREAD", "signal 31"),
    ("SCMP_ACT_KILL_PROCESS", "signal 31"), ("SCMP_ACT_TRAP", "signal 31"), ("SCMP_ACT_LOG", "ok 20"),
    ("SCMP_ACT_ALLOW", "ok 20"), ("SCMP_ACT_TRACE", f"errno {ENOSYS}")])
def test_actions(box, action, answer):
    """TRACE without a tracer answers ENOSYS."""
    profile(box, rule(action, "getpriority"))
    assert call(box, GETPRIORITY, 0, 0) == answer


@pytest.mark.parametrize("errno", [1, 2, 38, 95])
def test_errno_ret(box, errno):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority", errnoRet=errno))
    assert call(box, GETPRIORITY, 0, 0) == f"errno {errno}"


def test_errno_of_zero(box):
    """A rule with errnoRet 0 makes the call do nothing and succeed; 0 is not "unset"."""
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority", errnoRet=0))
    assert call(box, GETPRIORITY, 0, 0) == "ok 0"


NEEDED = """access arch_prctl brk capget capset chdir clone close dup2 execve exit exit_group fchdir fcntl fork
    fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom getuid ioctl lseek
    lstat mmap mprotect munmap newfstatat open openat prctl pread64 prlimit64 read readlink rseq rt_sigaction
    rt_sigprocmask rt_sigreturn sendmsg set_robust_list set_tid_address setgid setgroups setuid sigaltstack
    stat statx uname vfork wait4 waitid write writev rt_sigtimedwait getsid openat2 close_range socket
    connect sendto recvfrom recvmsg epoll_create1 epoll_ctl epoll_pwait nanosleep clock_nanosleep sched_yield
    madvise tgkill gettid getppid sched_getaffinity pipe2 eventfd2 readlinkat faccessat faccessat2 getpgrp
    setpgid umask setresuid setresgid poll ppoll restart_syscall""".split()


def test_default_action(box):
    profile(box, rule("SCMP_ACT_ALLOW", *NEEDED), default="SCMP_ACT_ERRNO")
    assert call(box, GETPRIORITY, 0, 0) == f"errno {EPERM}"


def test_default_errno_ret(box):
    profile(box, rule("SCMP_ACT_ALLOW", *NEEDED), default="SCMP_ACT_ERRNO", defaultErrnoRet=95)
    assert call(box, GETPRIORITY, 0, 0) == "errno 95"


@lacks("crun", why="has no stub: EPERM")
def test_system_calls_newer_than_the_profile_answer_enosys(box):
    """A C library then falls back, where EPERM would make it fail (runc#2151)."""
    profile(box, rule("SCMP_ACT_ALLOW", *NEEDED), default="SCMP_ACT_ERRNO", architectures=["SCMP_ARCH_X86_64"])
    assert call(box, 600) == f"errno {ENOSYS}"


@lacks("runc", "crun", why="wants architectures for it")
def test_enosys_without_a_list_of_architectures(box):
    profile(box, rule("SCMP_ACT_ALLOW", *NEEDED), default="SCMP_ACT_ERRNO")
    assert call(box, 600) == f"errno {ENOSYS}"


@lacks("crun", why="has no stub")
def test_system_calls_older_than_the_newest_of_the_profile_get_the_default(box):
    profile(box, rule("SCMP_ACT_ALLOW", *NEEDED), default="SCMP_ACT_ERRNO", defaultErrnoRet=95)
    assert call(box, PERSONALITY, 0xFFFFFFFF) == "errno 95"


def test_explicit_enosys_is_kept(box):
    profile(box, rule("SCMP_ACT_ALLOW", *NEEDED), default="SCMP_ACT_ERRNO", defaultErrnoRet=ENOSYS)
    assert call(box, 600) == f"errno {ENOSYS}"


def test_unknown_system_calls_are_ignored(box):
    """Profiles name calls of every architecture and of kernels to come."""
    profile(box, rule("SCMP_ACT_ERRNO", "nosuchcall", "getpriority", "swapcontext"))
    assert call(box, GETPRIORITY, 0, 0) == f"errno {EPERM}"


def test_exec_gets_the_filter(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"))
    box.up()
    assert box.exec("probe", "syscall", str(GETPRIORITY), "0", "0").ok().out == f"errno {EPERM}\n"


def test_filter_without_no_new_privs(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"))
    box.process["noNewPrivileges"] = False
    assert call(box, GETPRIORITY, 0, 0) == f"errno {EPERM}"


def test_filter_as_a_user_without_capabilities(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"))
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.caps()
    assert call(box, GETPRIORITY, 0, 0) == f"errno {EPERM}"


def test_filter_forbids_what_the_runtime_itself_needs(box):
    """The filter goes on last: a profile that denies setuid, mount or chdir hinders nothing."""
    profile(box, rule("SCMP_ACT_ERRNO", "setuid", "setgid", "setgroups", "mount", "chdir", "capset", "pivot_root",
                      "setresuid", "setresgid", "sethostname", "unshare", "setns", "keyctl"))
    box.args("true").run().ok()


@lacks("crun", why="errors differ")
def test_denying_execve(box):
    profile(box, rule("SCMP_ACT_ERRNO", "execve", "execveat"))
    box.run().failed("operation not permitted")


# ---- operators ----


def arg(index, op, value, two=None):
    entry = {"index": index, "op": "SCMP_CMP_" + op, "value": value}
    return entry if two is None else {**entry, "valueTwo": two}


BIG = 0x1_0000_0005  # more than 32 bits: both halves are compared

OPERATORS = [
    ("EQ", 5, None, {5: True, 4: False, BIG: False}), ("NE", 5, None, {5: False, 4: True, BIG: True}),
    ("LT", 5, None, {4: True, 5: False, BIG: False}), ("LE", 5, None, {5: True, 6: False, BIG: False}),
    ("GE", 5, None, {5: True, 4: False, BIG: True}), ("GT", 5, None, {6: True, 5: False, BIG: True}),
    ("EQ", BIG, None, {BIG: True, 5: False}), ("MASKED_EQ", 0xF0, 0x50, {0x5F: True, 0x55: True, 0x65: False}),
    ("GT", BIG, None, {BIG + 1: True, BIG: False, 0xFFFFFFFF: False})]


@pytest.mark.parametrize("op, value, two, cases", OPERATORS)
def test_operators(box, op, value, two, cases):
    """The second argument of getpriority(PRIO_PROCESS, who) is free to vary."""
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority", errnoRet=95, args=[arg(1, op, value, two)]))
    script = "; ".join(f"probe syscall {GETPRIORITY} 0 {n}" for n in cases)
    answers = box.output(script).splitlines()
    assert [a == "errno 95" for a in answers] == list(cases.values())


def test_arguments_of_one_rule_must_all_match(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority", errnoRet=95, args=[arg(0, "EQ", 0), arg(1, "EQ", 7)]))
    out = box.output("; ".join(f"probe syscall {GETPRIORITY} {a} {b}" for a, b in ((0, 7), (1, 7), (0, 8))))
    assert [l == "errno 95" for l in out.splitlines()] == [True, False, False]


def test_two_conditions_on_one_argument_are_alternatives(box):
    """libseccomp takes one condition an argument; runc splits such a rule into one rule each."""
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority", errnoRet=95, args=[arg(1, "EQ", 7), arg(1, "EQ", 8)]))
    out = box.output("; ".join(f"probe syscall {GETPRIORITY} 0 {n}" for n in (7, 8, 9)))
    assert [l == "errno 95" for l in out.splitlines()] == [True, True, False]


# ---- architectures and flags ----


def test_architectures(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"),
            architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
    assert call(box, GETPRIORITY, 0, 0) == f"errno {EPERM}"


INT80 = """
int main(void)
{
        int r;
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(96), "b"(0), "c"(0), "d"(0) : "memory");
        return r == 20 ? 0 : r == -1 ? 1 : 2;
}
"""


@pytest.mark.parametrize("architectures, code", [(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], 1)])
def test_32_bit_calls_are_filtered(box, architectures, code):
    """getpriority is number 96 there."""
    source = box.dir / "int80.c"
    source.write_text(INT80)
    built = subprocess.run(["cc", "-static", "-o", box.rootfs / "bin/int80", source])
    if built.returncode or os.uname().machine != "x86_64":
        pytest.skip("not an x86_64 compiler")
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"), architectures=architectures)
    assert box.args("int80").run().code == code


@pytest.mark.parametrize("flag", ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"])
def test_flags(box, flag):
    if kit.PEER == "runc" and flag.endswith(("SPEC_ALLOW", "LOG", "TSYNC")):
        pytest.xfail("1.1.5 knows none")
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"), flags=[flag])
    assert call(box, GETPRIORITY, 0, 0) == f"errno {EPERM}"


@lacks("runc", why="1.1.5 knows no flags")
@lacks("crun", why="always mitigates")
def test_spec_allow_turns_the_mitigation_off(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"), flags=["SECCOMP_FILTER_FLAG_SPEC_ALLOW"])
    out = box.args("grep", "Speculation_Store_Bypass", "/proc/self/status").run().ok().out
    assert "force mitigated" not in out


# ---- invalid values ----


@pytest.mark.parametrize("change, field", [
    ({"defaultAction": "SCMP_ACT_NOSUCH"}, "defaultAction"), ({"architectures": ["SCMP_ARCH_NOSUCH"]}, "architectures"),
    ({"flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]}, "flags"), ({"syscalls": [rule("SCMP_ACT_NOSUCH", "getpid")]}, "action"),
    ({"syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]}, "names"),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "getpid", args=[arg(0, "NOSUCH", 1)])]}, "op"),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "getpid", args=[arg(6, "EQ", 1)])]}, "index"),
    ({"syscalls": [rule("SCMP_ACT_KILL", "getpid", errnoRet=5)]}, "errno"),
    ({"defaultErrnoRet": 5}, "errno"), ({"listenerMetadata": "x"}, "listenerMetadata")])
@lacks("runc", "crun", why="have their own validation")
def test_invalid_values_name_the_field(box, change, field):
    profile(box)
    box.linux["seccomp"].update(change)
    box.run().failed().names("linux.seccomp", field)


def test_default_action_is_required(box):
    box.linux["seccomp"] = {"syscalls": []}
    result = box.run()
    if kit.PEER == "berth":
        result.failed("defaultAction")


# ---- listeners ----

RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1


def complete(data):
    try:
        return json.loads(data)
    except ValueError:
        return None


class Agent:
    """A seccomp agent: takes the container process state and its descriptor, answers mkdir."""

    def __init__(self, path, answer):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(20)
        self.answer, self.state, self.calls, self.nfds, self.closed = answer, None, [], 0, None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
        while not complete(data):
            data += connection.recv(65536)
        self.state, self.nfds = json.loads(data), len(fds)
        connection.settimeout(3)
        try:
            self.closed = connection.recv(1) == b""
        except OSError:
            self.closed = False
        connection.close()
        while True:
            request = bytearray(80)
            try:
                fcntl.ioctl(fds[0], RECEIVE, request)
            except OSError:
                break
            id, pid, _, nr = struct.unpack_from("=QIIi", request)
            self.calls.append((pid, nr))
            error, flags = self.answer
            reply = bytearray(struct.pack("=QqiI", id, 0, error, flags))
            try:
                fcntl.ioctl(fds[0], SEND, reply)
            except OSError:
                break
        for fd in fds:
            os.close(fd)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def agent(box):
    made = []

    def make(answer, name="agent.sock"):
        made.append(Agent(box.dir / name, answer))
        return made[-1]

    yield make
    box.delete("--force").ok()
    for a in made:
        a.close()


def test_notify_is_answered_by_the_agent(box, agent):
    a = agent((-95, 0))
    profile(box, rule("SCMP_ACT_NOTIFY", "mkdir"), listenerPath=str(box.dir / "agent.sock"), listenerMetadata="meta=1")
    box.config["annotations"] = {"org.example.key": "value"}
    box.up("sh", "-c", f"probe syscall {MKDIR} 0 0; echo done; exec sleep 1000")
    assert box.printed("done").startswith("errno 95\n")
    s = a.state
    assert s["fds"] == ["seccompFd"] and a.nfds == 1 and a.closed
    assert s["metadata"] == "meta=1" and s["ociVersion"]
    assert s["pid"] == box.pid
    assert s["state"]["id"] == box.id and s["state"]["bundle"] == str(box.dir)
    assert s["state"]["annotations"] == {"org.example.key": "value"}
    assert s["state"]["status"] in ("creating", "created")
    assert [nr for _, nr in a.calls] == [MKDIR]


def test_notify_that_continues(box, agent):
    agent((0, CONTINUE))
    profile(box, rule("SCMP_ACT_NOTIFY", "mkdir"), listenerPath=str(box.dir / "agent.sock"))
    box.up("sh", "-c", "mkdir /tmp/made; ls -d /tmp/made; exec sleep 1000")
    box.printed("/tmp/made")


@lacks("crun", why="1.8.1 does not notify for exec")
def test_notify_in_exec(box, agent):
    agent((0, CONTINUE))
    profile(box, rule("SCMP_ACT_NOTIFY", "mkdir"), listenerPath=str(box.dir / "agent.sock"))
    box.up()
    second = None
    os.unlink(box.dir / "agent.sock")
    second = agent((-95, 0))
    assert box.exec("probe", "syscall", str(MKDIR), "0", "0").ok().out == "errno 95\n"
    assert second.state["pid"] != box.pid
    assert second.closed or kit.PEER == "runc"


def test_notify_without_an_agent_is_an_error(box):
    profile(box, rule("SCMP_ACT_NOTIFY", "mkdir"), listenerPath=str(box.dir / "nosuch.sock"))
    box.run().failed().names("nosuch.sock")


@lacks("crun", why="takes it")
def test_notify_without_a_path(box):
    """mkdir then answers ENOSYS for want of a listener, or the runtime refuses: runc does the latter."""
    profile(box, rule("SCMP_ACT_NOTIFY", "mkdir"))
    box.run().failed(("listenerPath", "notify"))


@lacks("crun", why="connects all the same")
def test_listener_path_is_ignored_without_notify(box):
    profile(box, rule("SCMP_ACT_ERRNO", "getpriority"), listenerPath="/nosuch/agent.sock")
    box.args("true").run().ok()


@pytest.mark.parametrize("name", ["write", "sendmsg"])
@lacks("crun", why="takes it")
def test_notify_of_calls_that_the_runtime_needs_to_send_it(box, agent, name):
    """The runtime writes to its parent while it waits for an agent: runc refuses write."""
    if name == "sendmsg" and kit.PEER == "runc":
        pytest.xfail("not checked there")
    agent((0, CONTINUE))
    profile(box, rule("SCMP_ACT_NOTIFY", name), listenerPath=str(box.dir / "agent.sock"))
    result = box.args("true").run(timeout=20)
    assert result.code in (0, 1)
