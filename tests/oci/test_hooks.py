"""hooks: all six kinds, their order, namespaces and input, failures and timeouts."""

import json
import os
import stat
import time

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
ON_HOST = [k for k in KINDS if k != "startContainer"]


class Hooks:
    """Shell scripts as hooks, writing to files of a shared directory.

    startContainer runs inside the root, so its script and its files lie there."""

    def __init__(self, box):
        self.box = box
        self.dir = box.dir / "hooks"
        self.dir.mkdir()
        self.inner = box.rootfs / "hooks"
        self.inner.mkdir()
        box.config["hooks"] = {}

    def where(self, kind):
        return ("/hooks", self.inner) if kind == "startContainer" else (str(self.dir), self.dir)

    def add(self, kind, body, **entry):
        path, host = self.where(kind)
        name = f"{kind}{len(self.box.config['hooks'].get(kind, []))}"
        script = host / name
        shell = "#!/bin/sh\n"
        script.write_text(f"{shell}D={path}\n{body}\n")
        script.chmod(0o755)
        self.box.config["hooks"].setdefault(kind, []).append({"path": f"{path}/{name}", **entry})
        return self

    def read(self, kind, name):
        return (self.where(kind)[1] / name).read_text()

    def exists(self, kind, name):
        return (self.where(kind)[1] / name).exists()


@pytest.fixture
def hooks(box):
    return Hooks(box)


# ---- when ----


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_called(box, hooks, kind):
    hooks.add(kind, "echo called > $D/out")
    box.args("true").run().ok()
    assert hooks.read(kind, "out") == "called\n"


@lacks("runc", why="calls poststart hooks in create")
def test_order(box, hooks):
    """All but startContainer append to one file; that one is checked through its time."""
    for kind in KINDS:
        for i in range(2):
            hooks.add(kind, f"echo {kind}{i} >> $D/order; cat /proc/uptime > $D/{kind}{i}")
    box.script("cat /proc/uptime > /hooks/program").run().ok()
    expected = [f"{k}{i}" for k in ON_HOST for i in range(2)]
    assert hooks.read("prestart", "order").split() == expected
    times = [float(hooks.read(k, f"{k}{i}").split()[0]) for k in KINDS for i in range(2)]
    assert times == sorted(times)
    assert times[7] <= float((hooks.inner / "program").read_text().split()[0])


@lacks("runc", why="calls poststart hooks in create")
def test_create_calls_the_create_hooks_only(box, hooks):
    for kind in KINDS:
        hooks.add(kind, "echo called > $D/" + kind)
    box.args("sleep", "1000").create().ok()
    called = lambda: [k for k in KINDS if hooks.exists(k, k)]
    assert called() == KINDS[:3]
    box.start().ok()
    assert called() == KINDS[:5]
    box.kill().ok()
    box.stopped()
    assert called() == KINDS[:5]
    box.delete().ok()
    assert called() == KINDS


def test_poststop_is_called_by_delete_force(box, hooks):
    hooks.add("poststop", "echo called > $D/out")
    box.up()
    box.delete("--force").ok()
    assert hooks.exists("poststop", "out")


def test_poststop_runs_after_the_container_is_gone(box, hooks):
    hooks.add("poststop", f"ls -d {kit.CGROUP}/memory{box.cgroup} > $D/out 2>&1; true")
    box.args("true").run().ok()
    assert "No such file" in hooks.read("poststop", "out") or "cannot access" in hooks.read("poststop", "out")


# ---- what they get ----

STATUS = {"prestart": ("creating", "created"), "createRuntime": ("creating", "created"),
          "createContainer": ("creating", "created"), "startContainer": ("created",),
          "poststart": ("running",), "poststop": ("stopped",)}


@lacks("runc", why="calls poststart hooks in create")
@pytest.mark.parametrize("kind", KINDS)
def test_state_on_stdin(box, hooks, kind):
    box.config["annotations"] = {"org.example.key": "value"}
    hooks.add(kind, "cat > $D/state")
    box.up()
    pid = box.pid
    box.kill().ok()
    box.stopped()
    box.delete().ok()
    state = json.loads(hooks.read(kind, "state"))
    assert state["id"] == box.id
    assert state["bundle"] == str(box.dir)
    assert state["annotations"] == {"org.example.key": "value"}
    assert state["ociVersion"]
    assert state["status"] in STATUS[kind], state
    if kind in ("prestart", "createRuntime", "poststart"):
        assert state["pid"] == pid


def test_pid_in_a_hook_of_the_container_is_as_the_container_sees_it(box, hooks):
    hooks.add("startContainer", "cat > $D/state")
    box.args("true").run().ok()
    state = json.loads(hooks.read("startContainer", "state"))
    assert state["pid"] == 1 or kit.PEER != "berth"


def test_args_and_env(box, hooks):
    for kind in KINDS:
        hooks.add(kind, 'env > $D/env; echo "$0|$1|$2" > $D/args', args=["arg0", "one", "two words"],
                  env=["A=1", "PATH=/usr/bin:/bin"])
    box.args("true").run().ok()
    for kind in KINDS:
        lines = set(hooks.read(kind, "env").split("\n"))
        assert "A=1" in lines and "PATH=/usr/bin:/bin" in lines
        assert not any(l.startswith(("HOME=", "PYTEST", "BERTH_OCI=")) for l in lines), (kind, lines)
        assert hooks.read(kind, "args").strip().endswith("|one|two words")


def test_start_container_hook_inherits_the_environment_of_the_process(box, hooks):
    """As runc does for a hook without env."""
    box.process["env"].append("FROM=process")
    hooks.add("startContainer", "env > $D/env")
    box.args("true").run().ok()
    assert "FROM=process" in hooks.read("startContainer", "env") or kit.PEER != "berth"


def test_create_container_hook_starts_in_the_root(box, hooks):
    """As runc does: such hooks name files of the image relatively."""
    hooks.add("createContainer", "pwd > $D/pwd; ls > $D/ls")
    box.args("true").run().ok()
    if kit.PEER != "crun":
        assert "bin" in hooks.read("createContainer", "ls").split()


def test_hooks_that_do_not_read_stdin(box, hooks):
    hooks.add("createRuntime", "exec <&-; exit 0")
    box.config["annotations"] = {"org.example.large": "x" * 200000}
    box.args("true").run().ok()


@pytest.mark.parametrize("kind", KINDS)
def test_no_descriptor_leaks_into_hooks(box, hooks, kind):
    """Beside stdio (and the descriptor of ls itself, or the shell's for its script)."""
    hooks.add(kind, "for f in /proc/self/fd/*; do readlink $f; done > $D/fds; true")
    box.args("true").run().ok()
    targets = [t for t in hooks.read(kind, "fds").split("\n") if t]
    rest = [t for t in targets if not t.startswith(("pipe:", "/dev/null", "socket:")) and "/fd" not in t
            and "hooks/" not in t and str(box.runtime.base) not in t]
    assert len(targets) <= 6 and not rest, targets


# ---- where they run ----


@pytest.mark.parametrize("kind", KINDS)
def test_namespaces(box, hooks, kind):
    names = ("mnt", "net", "uts", "pid", "ipc")
    hooks.add(kind, "for n in %s; do readlink /proc/self/ns/$n; done > $D/ns" % " ".join(names))
    box.up()
    inner = [os.readlink(f"/proc/{box.pid}/ns/{n}") for n in names]
    outer = [os.readlink(f"/proc/self/ns/{n}") for n in names]
    box.delete("--force").ok()
    got = hooks.read(kind, "ns").split()
    assert got == (inner if kind in ("createContainer", "startContainer") else outer)


def test_namespaces_exist_when_the_runtime_hooks_run(box, hooks):
    """An engine sets up the network from createRuntime, through the state's pid."""
    hooks.add("createRuntime", "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net > $D/net")
    box.up()
    assert hooks.read("createRuntime", "net").strip() == os.readlink(f"/proc/{box.pid}/ns/net")


def test_create_container_runs_before_the_pivot(box, hooks):
    """In the container's mount namespace, yet with the host's root; the mounts are made."""
    hooks.add("createContainer", f"test -d {box.rootfs}/proc/1 && echo mounts; cat /proc/mounts > $D/mounts; test -e {box.dir}/config.json && echo host")
    body = f"(test -d {box.rootfs}/dev/pts && grep -q '{box.rootfs}/dev/pts' /proc/mounts && echo mounted) > $D/out"
    hooks.add("createContainer", body)
    box.args("true").run().ok()
    assert "mounted" in hooks.read("createContainer", "out")


def test_mount_made_by_create_container_is_kept(box, hooks):
    (box.rootfs / "m").mkdir()
    hooks.add("createContainer", f"mount -t tmpfs fromhook {box.rootfs}/m", env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
    assert "fromhook /m tmpfs" in box.output("cat /proc/mounts")


def test_start_container_sees_the_root(box, hooks):
    hooks.add("startContainer", "hostname > $D/out; ls / >> $D/out")
    box.args("true").run().ok()
    assert hooks.read("startContainer", "out").startswith("box\n")


def test_start_container_path_is_inside(box, hooks):
    box.config["hooks"]["startContainer"] = [{"path": str(hooks.dir / "nosuch")}]
    box.args("true").run().failed()


def test_create_runtime_hook_may_set_up_the_network(box, hooks):
    hooks.add("createRuntime", "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/');"
              "nsenter --net=/proc/$pid/ns/net ip link add hook0 type veth peer name hook1",
              env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
    assert "hook0" in box.output("ip link")


# ---- failures ----


@pytest.mark.parametrize("kind", KINDS[:3])
def test_failing_create_hook(box, hooks, kind):
    """The container is stopped and destroyed, and poststop hooks are called."""
    hooks.add(kind, "echo reason >&2; exit 3")
    hooks.add("poststop", "echo called > $D/poststop")
    box.args("sleep", "1000").create().failed(("hook", "exit status 3")).names(kind)
    box.runtime("state", box.id).failed()


@pytest.mark.parametrize("kind", KINDS[:3])
@lacks("runc", "crun", why="older than 1.2.0's rule")
def test_poststop_is_called_after_a_failed_create_hook(box, hooks, kind):
    hooks.add(kind, "exit 3")
    hooks.add("poststop", "echo called > $D/poststop")
    box.create().failed()
    assert hooks.exists("poststop", "poststop")


@pytest.mark.parametrize("kind", KINDS[:3])
def test_later_hooks_are_not_called_after_a_failure(box, hooks, kind):
    hooks.add(kind, "exit 3")
    hooks.add(kind, "echo called > $D/second")
    box.create().failed()
    assert not hooks.exists(kind, "second")


@lacks("runc", why="start does not wait for it")
def test_failing_start_container_hook(box, hooks):
    hooks.add("startContainer", "exit 3")
    box.script("echo ran > /ran").create().ok()
    box.start().failed()
    assert not (box.rootfs / "ran").exists()
    assert kit.eventually(lambda: kit.children_reap() or box.runtime("state", box.id).code != 0 or box.status == "stopped")


@lacks("runc", why="logs it")
@lacks("crun", why="logs it")
def test_failing_poststart_hook_stops_the_container(box, hooks):
    """An error since 1.3.0; a warning before."""
    hooks.add("poststart", "exit 3")
    box.args("sleep", "1000").create().ok()
    box.start().failed("hook").names("poststart")
    assert box.runtime("state", box.id).code != 0 or box.stopped()


def test_failing_poststop_hook_is_a_warning(box, hooks):
    hooks.add("poststop", "exit 3")
    hooks.add("poststop", "echo called > $D/second")
    log = box.dir / "log.json"
    box.up()
    box.runtime("delete", "--force", box.id, globals=["--log", log, "--log-format", "json"]).ok()
    if kit.PEER == "berth":
        assert hooks.exists("poststop", "second")
        assert '"warning"' in log.read_text() and "poststop" in log.read_text()


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_missing_hook_program(box, hooks, kind):
    box.config["hooks"][kind] = [{"path": "/nosuch/hook"}]
    box.create().failed().names("/nosuch/hook", kind)


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
@lacks("crun", why="1.8.1 waits for longer")
def test_timeout(box, hooks, kind):
    hooks.add(kind, "exec sleep 30", timeout=1)
    start = time.monotonic()
    box.args("true").run().failed()
    assert 0.9 <= time.monotonic() - start < 15


def test_hook_within_its_timeout(box, hooks):
    hooks.add("createRuntime", "sleep 0.1", timeout=20)
    box.args("true").run().ok()


@pytest.mark.parametrize("entry, field", [
    ({"path": "relative"}, "path"), ({}, "path"), ({"path": "/bin/true", "timeout": 0}, "timeout"),
    ({"path": "/bin/true", "timeout": -1}, "timeout"), ({"path": "/bin/true", "args": "x"}, "args"),
    ({"path": "/bin/true", "env": [1]}, "env")])
@lacks("runc", "crun", why="take most")
def test_invalid_hooks_name_the_field(box, entry, field):
    box.config["hooks"] = {"createRuntime": [entry]}
    box.run().failed().names("hooks.createRuntime[0]." + field)


def test_unknown_hook_kinds_are_ignored(box):
    box.config["hooks"] = {"nosuch": [{"path": "/nosuch"}]}
    box.args("true").run().ok()
