"""`berth run IMAGE`: what an image's configuration means, compared with podman; hostile images; what is left."""

import os
import pathlib
import random
import signal
import subprocess
import time

import kit
import podman as podmankit
import pytest

pytestmark = pytest.mark.needs("path:/bin/busybox")


@pytest.fixture
def loaded(berth, registry, repo):
    """loaded(image): the reference under which berth has it."""
    count = iter(range(1000))

    def load(image, name=None):
        name = name or f"{repo}:{next(count)}"
        registry.push(image, name)
        berth.pull(registry, name, "-q").ok()
        return f"{registry.address}/{name}"

    return load


@pytest.fixture
def simple(loaded):
    return loaded(kit.busybox())


def shell(berth, ref, script, *flags):
    return berth("run", "--rm", *flags, ref, "sh", "-c", script)


# ---- as podman does it ----

CONFIG = {"Entrypoint": ["echo", "E"], "Cmd": ["C"], "Env": ["PATH=/bin", "A=1", "HOME=/srv"], "User": "web",
          "WorkingDir": "/new/dir", "Volumes": {"/home/web": {}}, "Labels": {"org.systemd.property.Slice": "x"},
          "StopSignal": "SIGQUIT"}
ID = ["-c", "id -u; id -g; id -G"]
ENV = {"A": "from us", "PATH": os.environ["PATH"]}

# flags before the image, arguments after it
SAME = {
    "entrypoint and command": ([], []),
    "arguments replace the command": ([], ["x", "y z"]),
    "another entrypoint drops the command": (["--entrypoint", "pwd"], []),
    "another entrypoint, with arguments": (["--entrypoint", "sh"], ["-c", "echo $0 $@", "a", "b"]),
    "a JSON entrypoint": (["--entrypoint", '["echo", "q"]'], ["z"]),
    "no entrypoint": (["--entrypoint", ""], ["id", "-u"]),
    "neither": (["--entrypoint", ""], []),
    "a user by name": (["--user", "db", "--entrypoint", "sh"], ID),
    "a user by number, known": (["--user", "1001", "--entrypoint", "sh"], ID),
    "a user by number, unknown": (["--user", "1234", "--entrypoint", "sh"], ID),
    "a user and a group": (["--user", "db:web", "--entrypoint", "sh"], ID),
    "a user and a group by number": (["--user", "db:77", "--entrypoint", "sh"], ID),
    "root": (["--user", "root", "--entrypoint", "sh"], ID),
    "a further group": (["--group-add", "data", "--entrypoint", "sh"], ID),
    "a further group by number": (["--group-add", "4444", "--entrypoint", "sh"], ID),
    "working directory": (["--entrypoint", "pwd"], []),
    "another working directory": (["-w", "/etc/../home", "--entrypoint", "pwd"], []),
    "home": (["--entrypoint", "sh"], ["-c", "echo $HOME"]),
    "variables": (["-e", "A", "-e", "B=2", "-e", "C=", "-e", "UNSET", "--entrypoint", "sh"],
                  ["-c", "echo ${A-none} ${B-none} ${C-none} ${UNSET-none}"]),
    "host name": (["--hostname", "mrs-dalloway", "--entrypoint", "sh"],
                  ["-c", "hostname; echo $(cat /etc/hostname); echo $HOSTNAME; grep -c mrs-dalloway /etc/hosts"]),
    "read-only": (["--read-only", "--entrypoint", "sh"], ["-c", "touch /x; touch /home/web/x && echo volume"]),
    "a volume's content and attributes": (["--user", "root", "--entrypoint", "sh"],
                                          ["-c", "cat /home/web/f; stat -c '%u %g %a' /home/web /home/web/f"]),
    "a mount in the place of a volume": (["-v", "/etc:/home/web:ro", "--entrypoint", "test"],
                                         ["-e", "/home/web/fstab", "-o", "-e", "/home/web/debian_version"]),
    "tmpfs": (["--tmpfs", "/t:size=1m", "--entrypoint", "sh"], ["-c", "grep -c ' /t tmpfs.*size=1024k' /proc/mounts"]),
    "its status": (["--entrypoint", "sh"], ["-c", "exit 7"]),
    "killed": (["--entrypoint", "sh"], ["-c", "sh -c 'kill -9 $$'; exit $?"]),
    "not found": (["--entrypoint", "nosuch"], []),
    "not found, with a slash": (["--entrypoint", "/bin/nosuch"], []),
    "not executable": (["--entrypoint", "/etc/passwd"], []),
    "a directory": (["--entrypoint", "/home"], []),
    "no such environment file": (["--env-file", "/nonexistent"], []),
    "standard error": (["--entrypoint", "sh"], ["-c", "echo out; echo err >&2"]),
}


class TestLikePodman:
    @pytest.fixture(scope="class")
    def both(self, base, registry):
        """The image in podman's storage and in a store of berth's."""
        if not kit.shutil.which("podman") or not kit.shutil.which("runc"):
            pytest.skip("needs the programs podman and runc")
        image = kit.busybox(CONFIG, [kit.dir("home/web", 0o750, uid=1000, gid=50),
                                     kit.file("home/web/f", "text\n", 0o640, uid=1000, gid=1000)])
        ref = registry.push(image, "run/podman:1")
        podman, berth = podmankit.Podman(base / "podman"), kit.Berth(base / "berth-podman")
        assert podman("pull", "-q", "--tls-verify=false", ref).returncode == 0
        berth("pull", "-q", *registry.flags, ref).ok()
        podman("run", ref)  # its first run makes files for itself
        kit.children_reap()
        yield podman, berth, ref
        podman.destroy()
        berth.destroy()

    @pytest.mark.parametrize("what", SAME)
    def test_same(self, both, watch, what):
        podman, berth, ref = both
        watch.ignore = [podman.base, berth.base]  # they stay for the next
        flags, args = SAME[what]
        theirs = subprocess.run(podman.argv("run", *flags, ref, *args), env={**podman.env, **ENV}, text=True,
                                capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
        ours = berth("run", "--rm", *flags, ref, *args, env=ENV)
        assert (ours.code, words(ours.out)) == (theirs.returncode, words(theirs.stdout)), (ours, theirs.stderr)
        kit.children_reap()

    def test_conmon_ends(self, both):
        """podman's monitors are children of ours by adoption."""
        kit.eventually(lambda: kit.children_reap() is None, 0.5)


def words(text):
    """Lines, each with its words in order: that of groups is nobody's promise."""
    return [sorted(line.split()) for line in text.splitlines()]


# ---- ours ----


@pytest.mark.fast
class TestOurs:
    def test_files_of_etc(self, berth, simple):
        out = shell(berth, simple, "cat /etc/hosts /etc/hostname; stat -c '%a %u' /etc/hosts /etc/resolv.conf",
                    "--hostname", "orlando").ok().out
        assert out == "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\torlando\norlando\n" \
                      "644 0\n644 0\n"

    def test_host_network_has_the_hosts_files(self, berth, simple):
        out = shell(berth, simple, "cat /etc/resolv.conf", "--network", "host").ok().out
        assert out == pathlib.Path("/etc/resolv.conf").read_text()

    def test_nothing_of_it_on_the_host(self, berth, simple):
        shell(berth, simple, "echo x >/written; mkdir -p /a/b; echo y >/a/b/c").ok()
        assert shell(berth, simple, "ls /written /a").code != 0
        assert kit.eventually(lambda: berth.listed("containers") == [])

    def test_workdir_is_made(self, berth, simple):
        out = shell(berth, simple, "pwd; stat -c '%u %a' . ..", "-w", "/made/here", "--user", "web").ok().out
        assert out == "/made/here\n0 755\n0 755\n"

    def test_two_at_once_share_layers_not_writes(self, berth, simple):
        first = berth.popen("run", "--rm", simple, "sh", "-c", "echo 1 >/f; sleep 1; cat /f; exec test $(cat /f) = 1")
        second = berth.popen("run", "--rm", simple, "sh", "-c", "echo 2 >/f; sleep 1; exec test $(cat /f) = 2")
        assert (first.wait(30), second.wait(30)) == (0, 0)

    def test_defaults_are_safe(self, berth, simple):
        out = shell(berth, simple, "grep -E '^(NoNewPrivs|Seccomp|CapEff):' /proc/self/status; ls /sys/class/net;"
                    "dd if=/dev/zero of=/dev/null count=1 2>/dev/null && echo devices").ok().out.split()
        assert out[:6] == ["CapEff:", "00000000800405fb", "NoNewPrivs:", "1", "Seccomp:", "2"]
        assert out[6:] == ["lo", "devices"]

    def test_labels_are_no_orders(self, berth, loaded):
        """An image can't talk to the runtime by annotations."""
        ref = loaded(kit.busybox({"Labels": {"org.systemd.property.Slice": "'evil.slice'", "run.oci.x": "y"}}))
        out = berth("run", "--plan", ref, "true").ok().out
        assert "evil" not in out
        shell(berth, ref, "true").ok()

    def test_plan_touches_nothing(self, berth, loaded):
        ref = loaded(kit.busybox({"User": "web", "Volumes": {"/data": {}}}))
        out = berth("run", "--plan", "--name", "planned", ref, "true").ok().out
        for line in ("engine: use-image", "engine: mount layer", "engine: mount overlay", "engine: make-volume",
                     "engine: write-files", "host: make-state-dir"):
            assert line in out
        assert not (berth.root / "containers").exists() and not (berth.runroot / "sandboxes").exists()

    def test_plan_of_what_is_not_here(self, berth, registry, repo):
        ref = registry.push(kit.busybox(), f"{repo}:1")
        assert f"engine: pull {ref}" in berth("run", "--plan", ref, "true").ok().out
        assert berth.layers() == []

    def test_anonymous_volume_by_flag(self, berth, simple):
        out = shell(berth, simple, "ls /etc; touch /etc/new && grep -c ' /etc ' /proc/mounts", "-v", "/etc").ok().out
        assert out.split() == ["group", "hostname", "hosts", "passwd", "resolv.conf", "1"]

    def test_nested_volumes_are_in_order(self, berth, loaded):
        ref = loaded(kit.busybox({"Volumes": {"/v/inner": {}, "/v": {}}}, [kit.dir("v"), kit.file("v/a", "1"),
                                                                          kit.dir("v/inner"), kit.file("v/inner/b", "2")]))
        assert shell(berth, ref, "cat /v/a /v/inner/b; grep -c ' /v' /proc/mounts").ok().out == "122\n"

    def test_volume_keeps_capabilities_and_links(self, berth, loaded):
        caps = bytes.fromhex("0100000200040000000000000000000000000000")
        ref = loaded(kit.busybox({"Volumes": {"/v": {}}}, [
            kit.dir("v"), kit.file("v/ping", "x", 0o755, xattrs={"security.capability": caps}),
            kit.hardlink("v/pong", "v/ping"), kit.symlink("v/link", "/etc/passwd"), kit.fifo("v/fifo")]))
        out = shell(berth, ref, "stat -c '%h' /v/ping; test -p /v/fifo && readlink /v/link").ok().out
        assert out == "2\n/etc/passwd\n"
        process = berth.popen("run", "--rm", "--name", "caps", ref, "sleep", "100")
        assert kit.eventually(lambda: list((berth.root / "containers").glob("*/volumes/0/ping")))
        path = place(berth) / "volumes" / "0" / "ping"
        assert kit.eventually(lambda: os.listxattr(path) == ["security.capability"])
        assert os.getxattr(path, "security.capability") == caps
        assert kit.eventually(lambda: berth("ps", "-q", "--filter", "name=caps").out.strip())
        berth("rm", "-f", "caps").ok()
        process.wait(20)

    def test_name_is_taken(self, berth, simple):
        process = berth.popen("run", "--rm", "--name", "taken", simple, "sleep", "100")
        assert kit.eventually(lambda: berth("ps", "-q", "--filter", "name=taken").out.strip())
        berth("run", "--rm", "--name", "taken", simple, "true").failed("taken", code=125)
        berth("rm", "-f", "taken").ok()
        process.wait(20)

    @pytest.mark.parametrize("flags, words", [
        (["--name", ".new-1"], "--name"), (["--name", "../x"], "--name"), (["--workdir", "x"], "--workdir"),
        (["--user", "nosuch"], 'no user "nosuch"'), (["--user", "0:nosuch"], 'no group "nosuch"'),
        (["--group-add", "nosuch"], 'no group "nosuch"'), (["--volume", "/x/y"], None),
        (["--volume", "../relative:/x"], "volume"), (["--volume", "/:/x:ro:z"], "--volume"), (["--volume", "/"], "--volume"),
        (["--tmpfs", "x"], "--tmpfs"), (["--platform", "linux/mips64le"], "here for linux/amd64 only"), (["--pull", "sometimes"], "--pull"),
    ])
    def test_flags_that_are_wrong(self, berth, simple, flags, words):
        result = berth("run", "--rm", "--pull", "never", *flags, simple, "true")
        if words:
            result.failed(words, code=125)
        else:
            result.ok()

    def test_usage(self, berth):
        berth("run").failed("image", code=125)
        berth("run", "--entrypoint", "x", "host").failed("--entrypoint", code=125)
        berth("run", "--rm", "Upper/Case:1").failed(code=125)


# ---- pulling ----


@pytest.mark.fast
class TestPull:
    @pytest.fixture
    def name(self, registry, repo):
        registry.push(kit.busybox({"Cmd": ["echo", "1"]}), f"{repo}:t")
        return f"{repo}:t"

    def run(self, berth, proxy, name, *flags):
        return berth("run", "--rm", "-q", *proxy.flags, *flags, f"{proxy.address}/{name}")

    def test_missing_pulls_once(self, berth, proxy, name):
        assert self.run(berth, proxy, name).ok().out == "1\n"
        assert proxy.count() > 0
        proxy.clear()
        assert self.run(berth, proxy, name).ok().out == "1\n"
        assert proxy.count() == 0

    def test_never(self, berth, proxy, name):
        self.run(berth, proxy, name, "--pull", "never").failed("--pull never", code=125)
        assert proxy.count() == 0

    def test_always_and_newer(self, berth, proxy, registry, name):
        self.run(berth, proxy, name).ok()
        registry.push(kit.busybox({"Cmd": ["echo", "2"]}), name)
        assert self.run(berth, proxy, name).ok().out == "1\n"
        proxy.clear()
        assert self.run(berth, proxy, name, "--pull", "newer").ok().out == "2\n"
        assert proxy.count("*", "/manifests/") > 0
        proxy.clear()
        assert self.run(berth, proxy, name, "--pull=always").ok().out == "2\n"
        assert proxy.count("*", "/manifests/") > 0 and proxy.count("GET", "/blobs/") == 0

    def test_always_fails_where_the_registry_does_and_newer_does_not(self, berth, proxy, name):
        self.run(berth, proxy, name).ok()
        proxy.fault("*", "/v2/", status=503)
        assert self.run(berth, proxy, name, "--pull", "newer").ok().out == "1\n"
        assert self.run(berth, proxy, name, "--pull", "always").code == 125

    def test_platform(self, berth, proxy, registry, repo):
        parts = [kit.busybox({"Cmd": ["echo", arch]}, platform=f"linux/{arch}") for arch in ("amd64", "386", "s390x")]
        registry.push(kit.Index(parts), f"{repo}:multi")
        assert self.run(berth, proxy, f"{repo}:multi").ok().out == "amd64\n"
        assert self.run(berth, proxy, f"{repo}:multi", "--platform", "linux/386").ok().out == "386\n"
        self.run(berth, proxy, f"{repo}:multi", "--platform", "linux/riscv64").failed("riscv64", code=125)

    def test_artifact_is_no_image(self, berth, proxy, registry, repo):
        registry.push(kit.Artifact("data"), f"{repo}:art")
        self.run(berth, proxy, f"{repo}:art").failed(code=125)

    def test_short_name_and_id(self, berth, registry, name):
        berth.pull(registry, name, "-q").ok()
        images = berth.json("images", "--format", "json")
        digest = registry.manifest(name)[1]
        short = name.partition(":")[0]
        for ref in (f"{registry.address}/{short}@{digest}", images[0].get("Id") or images[0]["ID"]):
            assert berth("run", "--rm", "--pull", "never", ref).ok().out == "1\n"


# ---- hostile images: all of it happens inside the root ----


@pytest.mark.fast
class TestHostile:
    def test_no_user_of_that_name(self, berth, loaded):
        ref = loaded(kit.busybox({"User": "nobody-here"}))
        shell(berth, ref, "true").failed("the image's user", 'no user "nobody-here"', code=125)

    @pytest.mark.parametrize("target", ["/etc/shadow", "../../../../etc/shadow", "/proc/self/environ", "/proc/1/root/etc/passwd",
                                        "loop", "/dev/zero"])
    def test_passwd_leads_outside(self, berth, loaded, target):
        """Not the host's file, and no hanging, whatever it is."""
        ref = loaded(kit.busybox({"User": "daemon"}, [kit.whiteout("etc/passwd")],
                                 [kit.symlink("etc/passwd", target), kit.symlink("etc/loop", "loop")]))
        shell(berth, ref, "true").failed('no user "daemon"', code=125)

    def test_passwd_is_a_link_inside(self, berth, loaded):
        ref = loaded(kit.busybox({"User": "inside"}, [kit.whiteout("etc/passwd")],
                                 [kit.symlink("etc/passwd", "/../../srv/accounts"), kit.dir("srv"),
                                  kit.file("srv/accounts", "inside:x:321:654::/here:/bin/sh\n")]))
        assert shell(berth, ref, "id -u; id -g; echo $HOME").ok().out == "321\n654\n/here\n"

    @pytest.mark.parametrize("what", ["fifo", "directory", "huge", "binary"])
    def test_passwd_is_odd(self, berth, loaded, what):
        entry = {"fifo": kit.fifo("etc/passwd"), "directory": kit.dir("etc/passwd"),
                 "huge": kit.file("etc/passwd", b"root:x:0:0::/:/bin/sh\n" + b"#" * (2 << 20)),
                 "binary": kit.file("etc/passwd", os.urandom(5000))}[what]
        ref = loaded(kit.busybox({"User": "somebody"}, [kit.whiteout("etc/passwd")], [entry]))
        shell(berth, ref, "true").failed('no user "somebody"', code=125)
        assert shell(berth, ref, "grep ^Uid: /proc/self/status", "--user", "5").ok().out.split()[1] == "5"

    def test_workdir_through_a_link(self, berth, loaded, tmp_path):
        outside = tmp_path / "outside"
        ref = loaded(kit.busybox({"WorkingDir": "/out/made"}, [kit.symlink("out", str(outside))]))
        assert shell(berth, ref, "pwd -P").ok().out == f"{outside}/made\n"
        assert not outside.exists()
        ref = loaded(kit.busybox({"WorkingDir": "/proc/self/cwd/../../../../etc"}))
        assert shell(berth, ref, "test -e /etc/group && ! test -e /etc/debian_version").ok()

    def test_workdir_is_a_file(self, berth, loaded):
        ref = loaded(kit.busybox({"WorkingDir": "/etc/passwd"}))
        assert shell(berth, ref, "true").code in (125, 126, 127)

    def test_volume_over_a_link(self, berth, loaded, tmp_path):
        secret = tmp_path / "secret"
        secret.mkdir()
        (secret / "key").write_text("do not read\n")
        ref = loaded(kit.busybox({"Volumes": {"/v": {}}}, [kit.symlink("v", str(secret))]))
        assert shell(berth, ref, "cat /v/key").code == 1
        shell(berth, ref, "echo pwned >/v/key").ok()
        assert (secret / "key").read_text() == "do not read\n"
        ref = loaded(kit.busybox({"Volumes": {"/v": {}}}, [kit.symlink("v", "../../../../../../etc")]))
        assert "shadow" not in shell(berth, ref, "ls /v").ok().out

    @pytest.mark.parametrize("path", ["/", "/proc", "/proc/1/root", "/dev/../..", "../../x", "/etc/passwd", ""])
    def test_volume_in_an_odd_place(self, berth, loaded, path):
        ref = loaded(kit.busybox({"Volumes": {path: {}}}))
        result = shell(berth, ref, "true")
        assert result.code in (0, 125), result
        if path in ("/", "", "/dev/../..", "/etc/passwd", "/proc"):
            assert result.code == 125, result

    @pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf"])
    @pytest.mark.parametrize("target", ["/proc/self/fd/3", "../../../../../../../{}/etc-{}", "/nowhere/at/all"])
    def test_etc_files_lead_outside(self, berth, loaded, tmp_path, name, target):
        ref = loaded(kit.busybox({}, [kit.symlink(f"etc/{name}", target.format(tmp_path, name))]))
        result = shell(berth, ref, f"cat /etc/{name}; echo >/etc/{name}")
        assert result.code in (0, 1, 125), result
        assert not list(tmp_path.glob("etc-*"))

    def test_etc_leads_outside(self, berth, loaded, tmp_path):
        ref = loaded(kit.busybox({}, [kit.whiteout("etc")], [kit.symlink("etc", str(tmp_path))]))
        shell(berth, ref, "cat /etc/hosts").ok()
        assert not list(tmp_path.iterdir())

    def test_bin_sh_is_the_hosts(self, berth, loaded):
        """Links that climb end at the image's root."""
        ref = loaded(kit.busybox({}, [kit.symlink("climb", "../../../../../../../../etc/debian_version")]))
        assert shell(berth, ref, "cat /climb").code == 1

    def test_devices_do_nothing(self, berth, loaded):
        major, minor = os.major(os.stat("/").st_dev), os.minor(os.stat("/").st_dev)
        ref = loaded(kit.busybox({}, [kit.block("disk", major, minor, 0o666), kit.char("kmem", 1, 1, 0o666)]))
        for name in ("disk", "kmem"):
            assert shell(berth, ref, f"head -c 1 /{name}").code != 0

    def test_setuid_gains_nothing(self, berth, loaded):
        busybox = pathlib.Path("/bin/busybox").read_bytes()
        ref = loaded(kit.busybox({"User": "web"}, [kit.file("bin/su-id", busybox, 0o4755)]))
        assert berth("run", "--rm", ref, "/bin/su-id", "id", "-u").out.strip() == "1000" or \
            shell(berth, ref, "grep Uid: /proc/self/status").ok().out.split()[1:] == ["1000"] * 4


# ---- what is left ----


def place(berth):
    """The directory of the one container there is."""
    assert kit.eventually(lambda: len(berth.listed("containers")) == 1)  # those of the past are going
    return berth.root / "containers" / berth.listed("containers")[0]


class TestLeft:
    def up(self, berth, ref, name, script="sleep 100"):
        process = berth.popen("run", "--rm", "--name", name, ref, "sh", "-c", f"touch /written; mkdir -p /d/e; {script}")
        assert kit.eventually(lambda: list((berth.root / "containers").glob("*/upper/written"))), name
        return process

    @staticmethod
    def cgroups(part):
        return [p for top in ("*/", "") for p in pathlib.Path("/sys/fs/cgroup").glob(f"{top}berth-*{part}*")]

    @pytest.mark.fast
    @pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
    def test_signals_reach_it(self, berth, loaded, sig):
        trap = "trap 'exit 42' TERM INT HUP QUIT; touch /trapped; while :; do sleep 0.05; done"
        process = self.up(berth, loaded(kit.busybox()), "signalled", trap)
        assert kit.eventually((place(berth) / "upper" / "trapped").exists)
        process.send_signal(sig)
        assert process.wait(20) == 42
        assert kit.eventually(lambda: berth.listed("containers") == [])

    def test_asked_to_end_at_any_moment(self, berth, loaded):
        """By SIGTERM, begun or not: with what was begun it ends too, and the next command leaves nothing."""
        ref, rng = loaded(kit.busybox({"Volumes": {"/bin": {}}})), random.Random(3)
        statuses = set()
        for _ in range(30):
            process = berth.popen("run", "--rm", ref, "sh", "-c", "trap 'exit 42' TERM; while :; do sleep 0.01; done")
            time.sleep(rng.uniform(0, 0.15))
            while process.poll() is None:  # process 1 of a container ignores it until it has a handler
                process.terminate()
                time.sleep(0.05)
            statuses.add(process.returncode)
        assert statuses <= {42, -signal.SIGTERM, 143, 125}, statuses
        berth("rm", "-f", "-a").ok()
        shell(berth, ref, "true").ok()
        assert kit.eventually(lambda: berth.listed("containers") == [])

    @pytest.mark.fast
    @pytest.mark.parametrize("command", [("run", "--rm", "host", "true"), ("system", "check", "--repair"),
                                         ("system", "prune", "-f")])
    def test_killed_host_sandbox_is_swept_by(self, berth, command):
        name = f"dead{os.getpid()}"
        process = berth.popen("run", "--rm", "--name", name, "host", "sleep", "100")
        assert kit.eventually(lambda: (berth.runroot / "oci" / name / "state.json").exists())
        kit.kill_and_wait(process)
        assert (berth.runroot / "sandboxes" / name / "record.json").exists()
        berth(*command).ok()
        assert not (berth.runroot / "sandboxes" / name).exists() and not self.cgroups(name)

    @pytest.mark.fast
    def test_the_living_are_left_alone(self, berth, loaded):
        ref = loaded(kit.busybox())
        process = self.up(berth, ref, "living")
        here = berth.listed("containers")
        shell(berth, ref, "true").ok()
        berth("system", "check", "--repair").ok()
        berth("system", "prune", "-f").ok()
        assert kit.eventually(lambda: berth.listed("containers") == here)
        assert process.poll() is None
        berth("rm", "-f", "living").ok()
        process.wait(20)

    @pytest.mark.fast
    def test_a_deep_and_wide_upper_goes(self, berth, loaded):
        shell(berth, loaded(kit.busybox()), "i=0; while [ $i -lt 300 ]; do mkdir dddddddddddddddddddd;"
              "cd dddddddddddddddddddd; i=$((i+1)); done; mkdir -m 0 shut; cd /; mkdir w; cd w;"
              "seq 500 | while read n; do echo >$n; done").ok()
        assert kit.eventually(lambda: berth.listed("containers") == [])

    @pytest.mark.fast
    def test_its_image_is_in_use(self, berth, loaded):
        ref = loaded(kit.busybox())
        process = self.up(berth, ref, "user")
        layers = berth.layers()
        berth("rmi", ref).failed("use")
        berth("system", "prune", "-f", "-a").ok()
        assert berth.layers() == layers
        assert process.poll() is None
        berth("rm", "-f", "user").ok()
        process.wait(20)

    def test_killed_at_any_moment(self, berth, loaded):
        """The command, not what supervises the container: afterwards all that is left can be removed, and the
        store is whole."""
        ref, killer = loaded(kit.busybox()), kit.AtRandom(random.Random(7))
        for _ in range(40):
            process = berth.popen("run", "--rm", ref, "sh", "-c", "echo >/f; sleep 0.02")
            killer.kill(process)
        berth("rm", "-f", "-a").ok()
        shell(berth, ref, "true").ok()  # sweeps what was never whole
        assert kit.eventually(lambda: berth.listed("containers") == [])
        assert kit.eventually(lambda: not (berth.runroot / "oci").exists() or os.listdir(berth.runroot / "oci") == [])
        berth("system", "check", "--repair").ok()  # run directories of none
        berth.check()
