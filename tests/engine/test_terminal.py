"""Terminals: what is typed and how large they are arrives inside, and whoever called has them back as they were."""

import os
import signal
import termios

import pytest
from enginekit import IMAGE, Terminal, eventually

VERBS = ("run", "start", "attach", "exec")
DETACHING = VERBS[:3]


def opened(engine, verb, *command, flags=()):
    """The command on a terminal, in a container t, by a verb that can do that."""
    if verb == "run":
        return Terminal(engine.argv("run", "-it", "--name", "t", *flags, IMAGE, *command), engine.env, 31, 97)
    if verb == "exec":
        engine.up("sleep", "1000", flags=("--name", "t"))
        return Terminal(engine.argv("exec", "-it", *flags, "t", *command), engine.env, 31, 97)
    engine("create", "-it", "--name", "t", IMAGE, *command).ok()
    if verb == "start":
        return Terminal(engine.argv("start", "-ai", *flags, "t"), engine.env, 31, 97)
    engine("start", "t").ok()
    return Terminal(engine.argv("attach", *flags, "t"), engine.env, 31, 97)


def shell(engine, verb, flags=()):
    """A shell there which answers; and what the terminal was set to before."""
    t = opened(engine, verb, "sh", flags=flags)
    t.type("echo a$((1+1))\n")
    t.expect("a2")
    return t


def line_mode(t):
    """Whether the terminal hands lines to its programs and echoes, as it does before anybody changes it."""
    return bool(termios.tcgetattr(t.fd)[3] & (termios.ICANON | termios.ECHO))


def waiting(engine, verb, traps, flags=()):
    """A script there that does nothing but heed signals, and echoes."""
    t = opened(engine, verb, "sh", "-c", f"{traps}; echo ready; while :; do read x; echo got $x; done", flags=flags)
    if verb == "attach":
        assert eventually(lambda: not line_mode(t))
    else:
        t.expect("ready")
    return t


@pytest.mark.parametrize("verb", VERBS)
def test_the_size_is_the_caller_s(engine, verb):
    t = waiting(engine, verb, "trap 'echo size $(stty size)' WINCH; echo first $(stty size)")
    t.resize(40, 100)
    t.expect("size 40 100")
    engine("rm", "-f", "-t", "0", "t").ok()
    assert t.wait() == 137


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_the_size_is_there_from_the_start(engine, verb):
    t = opened(engine, verb, "sh", "-c", "stty size")
    t.expect("31 97")
    assert t.wait() == 0
    engine("rm", "-f", "-t", "0", "t").ok()


@pytest.mark.parametrize("verb", VERBS)
def test_keys_that_are_signals_arrive_inside(engine, verb):
    t = waiting(engine, verb, "trap 'echo int' INT; trap 'echo stop' TSTP; trap 'echo quit; exit 6' QUIT")
    for key, word in (("\x03", "int"), ("\x1a", "stop"), ("\x1c", "quit")):
        t.type(key)
        t.expect(word)
    assert t.wait() == 6
    engine("rm", "-f", "-t", "0", "t").ok()


@pytest.mark.parametrize("verb", VERBS)
def test_the_terminal_is_as_before(engine, verb):
    t = shell(engine, verb)
    assert not line_mode(t)
    held = os.open(os.readlink(f"/proc/{t.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
    try:
        t.type("exit 3\n")
        assert eventually(lambda: not t.alive())
        assert t.code == 3 and line_mode(t)
    finally:
        os.close(held)
    t.wait()
    engine("rm", "-f", "-t", "0", "t").ok()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("verb,proxied", [(v, p) for v in VERBS for p in (True, False) if p or v != "exec"])
def test_the_terminal_is_as_before_when_berth_is_told_to_end(engine, verb, sig, proxied):
    t = waiting(engine, verb, "trap 'exit 9' TERM INT", () if proxied else ("--sig-proxy=false",))
    held = os.open(os.readlink(f"/proc/{t.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
    try:
        os.kill(t.pid, sig)
        assert eventually(lambda: not t.alive())
        assert line_mode(t)
        proxies = proxied and verb == "attach"  # with a terminal others do only where they are told to
        assert t.code == (0 if sig == signal.SIGHUP else 9 if proxies else -sig) or verb == "exec"
    finally:
        os.close(held)
    t.wait()
    engine("rm", "-f", "-t", "0", "t").ok()


@pytest.mark.parametrize("keys,typed,others", [
    (None, "\x10\x11", "\x10x"), ("ctrl-x", "\x18", "\x10\x11"), ("ctrl-a,ctrl-a,d", "\x01\x01d", "\x01d"),
    ("~,.", "~.", "~a")])
@pytest.mark.parametrize("verb", DETACHING)
def test_keys_that_detach(engine, verb, keys, typed, others):
    t = waiting(engine, verb, "true", ("--detach-keys", keys) if keys else ())
    t.type(f"{others}\nmore\n")
    t.expect("got more")
    for key in typed:  # by and by, as people type
        assert t.alive()
        t.type(key)
    assert t.wait() == 0
    assert engine.state("t")[0] == "running"
    engine("rm", "-f", "-t", "0", "t").ok()


@pytest.mark.parametrize("verb", DETACHING)
def test_without_keys_nothing_detaches(engine, verb):
    t = waiting(engine, verb, "trap 'exit 5' INT", ("--detach-keys", ""))
    t.type("\x10\x11\nmore\n")
    t.expect("got more")
    t.type("\x03")
    assert t.wait() == 5
    engine("rm", "-f", "-t", "0", "t").ok()


def test_keys_that_are_none(engine):
    for verb in DETACHING:
        t = opened(engine, verb, "sh", flags=("--detach-keys", "ctrl-p,nonsense"))
        t.expect("nonsense")
        assert t.wait() == (125 if verb == "run" else 2)
        assert verb == "attach" or engine("ps", "-q").ok().out == ""  # nothing was started for that
        engine("rm", "-f", "-t", "0", "t").ok()
