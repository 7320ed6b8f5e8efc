"""process of config.json: users, capabilities, limits, scheduling and the rest."""

import os
import re

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks


def status(box, **process):
    """/proc/self/status of the container's process, as a dict."""
    box.process.update(process)
    out = box.args("cat", "/proc/self/status").run().ok().out
    return dict(line.split(":", 1) for line in out.splitlines())


def words(out):
    """Lines of "key number" as a dict."""
    return {k: int(v) for k, v in (line.split() for line in out.splitlines())}


# ---- users ----


def test_user(box):
    s = status(box, user={"uid": 1000, "gid": 2000, "additionalGids": [5, 6, 70000]})
    assert s["Uid"].split() == ["1000"] * 4
    assert s["Gid"].split() == ["2000"] * 4
    assert set(s["Groups"].split()) - {"2000"} == {"5", "6", "70000"}


def test_supplementary_groups_of_the_caller_are_dropped(box):
    drop = lambda: os.setgroups([11, 12])
    out = box.args("grep", "Groups", "/proc/self/status").run(preexec_fn=drop).ok().out
    assert not {"11", "12"} & set(out.split()), out


@lacks("runc", why="stops at 2^31")
def test_numeric_user_without_an_account(box):
    s = status(box, user={"uid": 4000000000, "gid": 4000000001})
    assert s["Uid"].split()[0] == "4000000000" and s["Gid"].split()[0] == "4000000001"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0, 0o777])
def test_umask(box, umask):
    s = status(box, user={"uid": 0, "gid": 0, "umask": umask})
    assert int(s["Umask"], 8) == umask


def test_umask_of_the_caller_when_none_is_configured(box):
    """config.md: "should not be changed from the calling process' umask"; runc and crun set 0022."""
    out = box.args("grep", "Umask", "/proc/self/status").run(preexec_fn=lambda: os.umask(0o027)).ok().out
    assert int(out.split()[1], 8) in (0o027, 0o022)


def test_files_belong_to_the_user(box):
    box.process["user"] = {"uid": 1000, "gid": 1000}
    assert box.output("touch /tmp/x && stat -c %u:%g /tmp/x") == "1000:1000\n"


def test_cwd_that_only_the_user_may_enter(box):
    """The change of directory happens with the user's rights or root's, whichever works."""
    home = box.rootfs / "home" / "web"
    home.mkdir()
    os.chown(home, 1000, 1000)
    home.chmod(0o700)
    box.process.update(cwd="/home/web", user={"uid": 1000, "gid": 1000})
    box.caps()
    assert box.output("pwd") == "/home/web\n"


# ---- capabilities ----

BIT = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27,
       "CAP_AUDIT_WRITE": 29, "CAP_CHECKPOINT_RESTORE": 40}
SETS = {"bounding": "CapBnd", "effective": "CapEff", "permitted": "CapPrm", "inheritable": "CapInh",
        "ambient": "CapAmb"}


def mask(*names):
    return sum(1 << BIT[n] for n in names)


def capability_sets(box):
    s = status(box)
    return {name: int(s[key], 16) for name, key in SETS.items()}


def test_each_capability_set(box):
    chown, kill, bind = "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.process["noNewPrivileges"] = False
    box.process["capabilities"] = {
        "bounding": [chown, kill, bind], "effective": [chown, kill], "permitted": [chown, kill, bind],
        "inheritable": [chown, bind], "ambient": [bind]}
    assert capability_sets(box) == {
        "bounding": mask(chown, kill, bind), "inheritable": mask(chown, bind),
        # An exec as a user keeps of permitted and effective what is ambient.
        "ambient": mask(bind), "permitted": mask(bind), "effective": mask(bind)}


def test_capabilities_of_root(box):
    box.caps("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE")
    want = mask("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE")
    assert capability_sets(box) == {
        "bounding": want, "effective": want, "permitted": want, "inheritable": 0, "ambient": 0}


def test_empty_capabilities(box):
    box.process["capabilities"] = {}
    assert set(capability_sets(box).values()) == {0}


def test_no_capabilities_object(box):
    """Nothing is configured; runc and crun then leave the process none."""
    del box.process["capabilities"]
    assert capability_sets(box)["effective"] & mask("CAP_SYS_ADMIN") == 0


def test_user_loses_effective_capabilities_without_ambient(box):
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.caps("CAP_CHOWN")
    assert capability_sets(box)["effective"] == 0


@lacks("crun", why="drops the capability quietly")
def test_unknown_capability_is_a_warning(box):
    """config.md: logged as a warning, never a failure."""
    log = box.dir / "log.json"
    box.caps("CAP_KILL", "CAP_NOSUCH").args("true").save()
    box.runtime("run", "--bundle", box.dir, box.id, globals=["--log", log, "--log-format", "json"]).ok()
    warnings = [r for r in log.read_text().splitlines() if '"warning"' in r or '"warn"' in r]
    assert any("CAP_NOSUCH" in w for w in warnings), log.read_text()


@lacks("runc", "crun", why="fail with EPERM from capset")
def test_capability_that_cannot_be_granted_is_a_warning(box):
    """The caller's bounding set lacks it, as on a host whose own root is limited."""
    drop = ["setpriv", "--bounding-set", "-sys_time", "--inh-caps", "-sys_time"]
    log = box.dir / "log.json"
    box.caps("CAP_KILL", "CAP_SYS_TIME").args("grep", "Cap", "/proc/self/status").save()
    result = box.runtime("run", "--bundle", box.dir, box.id,
                         globals=["--log", log, "--log-format", "json"], prefix=drop).ok()
    caps = dict(line.split() for line in result.out.splitlines())
    assert int(caps["CapEff:"], 16) == mask("CAP_KILL")
    assert "CAP_SYS_TIME" in log.read_text()


def test_bounding_set_holds_against_file_capabilities(box):
    """What is outside the bounding set can't be gained."""
    box.caps("CAP_KILL").process["noNewPrivileges"] = False
    box.script("chown 1 /tmp/x").run().failed()


def test_securebits_are_clear(box):
    assert words(box.args("probe", "securebits").run().ok().out)["securebits"] == 0


def test_keepcaps_is_off(box):
    box.process["user"] = {"uid": 1000, "gid": 1000}
    assert words(box.args("probe", "securebits").run().ok().out)["keepcaps"] == 0


# ---- no_new_privs ----


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges(box, value):
    assert status(box, noNewPrivileges=value)["NoNewPrivs"].strip() == str(int(value))


# ---- rlimits ----

LIMITS = {
    "RLIMIT_CPU": ("Max cpu time", 1000, 2000), "RLIMIT_FSIZE": ("Max file size", 1 << 30, 1 << 31),
    "RLIMIT_DATA": ("Max data size", 1 << 33, 1 << 34), "RLIMIT_STACK": ("Max stack size", 1 << 20, 1 << 23),
    "RLIMIT_CORE": ("Max core file size", 0, 0), "RLIMIT_RSS": ("Max resident set", 1 << 30, 1 << 31),
    "RLIMIT_NPROC": ("Max processes", 4000, 5000), "RLIMIT_NOFILE": ("Max open files", 512, 1024),
    "RLIMIT_MEMLOCK": ("Max locked memory", 4096, 8192), "RLIMIT_AS": ("Max address space", 1 << 33, 1 << 34),
    "RLIMIT_LOCKS": ("Max file locks", 10, 20), "RLIMIT_SIGPENDING": ("Max pending signals", 100, 200),
    "RLIMIT_MSGQUEUE": ("Max msgqueue size", 4096, 8192), "RLIMIT_NICE": ("Max nice priority", 0, 0),
    "RLIMIT_RTPRIO": ("Max realtime priority", 0, 0), "RLIMIT_RTTIME": ("Max realtime timeout", 1000, 2000),
}


def limits(out):
    rows = {}
    for line in out.splitlines()[1:]:
        name, soft, hard = re.split(r"\s{2,}", line.strip())[:3]
        rows[name] = (soft, hard)
    return rows


@pytest.mark.parametrize("type", sorted(LIMITS))
def test_rlimits(box, type):
    name, soft, hard = LIMITS[type]
    box.process["rlimits"] = [{"type": type, "soft": soft, "hard": hard}]
    assert limits(box.args("cat", "/proc/self/limits").run().ok().out)[name] == (str(soft), str(hard))


def test_rlimit_of_64_bits(box):
    """RLIM_INFINITY is 2^64-1: a parser of doubles or signed numbers loses it."""
    box.process["rlimits"] = [{"type": "RLIMIT_AS", "soft": (1 << 63) + 1, "hard": (1 << 64) - 1}]
    out = box.args("cat", "/proc/self/limits").run().ok().out
    assert limits(out)["Max address space"] == (str((1 << 63) + 1), "unlimited")


@lacks("crun", why="exec sets none")
def test_rlimits_of_exec(box):
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024}]
    box.up()
    assert limits(box.exec("cat", "/proc/self/limits").ok().out)["Max open files"] == ("512", "1024")


def test_unknown_rlimit(box):
    box.process["rlimits"] = [{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]
    box.run().failed("RLIMIT_NOSUCH").names("process.rlimits")


@lacks("runc", why="sets both")
@lacks("crun", why="takes the last")
def test_duplicate_rlimit(box):
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": n, "hard": n} for n in (10, 20)]
    box.run().failed("RLIMIT_NOFILE").names("process.rlimits")


def test_rlimit_with_soft_above_hard(box):
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 10}]
    box.run().failed().names("process.rlimits[0]")


def test_rlimit_that_needs_a_capability_names_it(box):
    """Root here has no CAP_SYS_RESOURCE; where it has, the limit is set."""
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 20, "hard": 1 << 20}]
    result = box.args("cat", "/proc/self/limits").run()
    if result.code == 0:
        assert limits(result.out)["Max open files"] == (str(1 << 20), str(1 << 20))
    else:
        result.failed().names("RLIMIT_NOFILE", "CAP_SYS_RESOURCE")


# ---- OOM score, scheduling, priorities ----


@pytest.mark.parametrize("score", [0, 500, 1000])
def test_oom_score_adj(box, score):
    box.process["oomScoreAdj"] = score
    assert box.args("cat", "/proc/self/oom_score_adj").run().ok().out == f"{score}\n"


def test_oom_score_adj_is_left_alone(box):
    ours = open("/proc/self/oom_score_adj").read()
    assert box.args("cat", "/proc/self/oom_score_adj").run().ok().out == ours


def test_oom_score_adj_that_is_refused(box):
    box.process["oomScoreAdj"] = -999
    result = box.args("cat", "/proc/self/oom_score_adj").run()
    if result.code == 0:
        assert result.out == "-999\n"
    else:
        result.failed().names(("oomScoreAdj", "oom_score_adj"), "CAP_SYS_RESOURCE")


@pytest.mark.parametrize("score", [1001, -1001, 1 << 40])
def test_oom_score_adj_out_of_range(box, score):
    box.process["oomScoreAdj"] = score
    box.run().failed().names("process.oomScoreAdj")


@lacks("crun", why="exec sets none")
def test_oom_score_adj_in_exec_is_inherited(box):
    box.process["oomScoreAdj"] = 300
    box.up()
    assert box.exec("cat", "/proc/self/oom_score_adj").ok().out == "300\n"


SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR = 3, 5, 1, 2


@lacks("runc", "crun", why="older than the scheduler property")
@pytest.mark.parametrize("policy, number", [("SCHED_OTHER", 0), ("SCHED_BATCH", 3), ("SCHED_IDLE", 5)])
def test_scheduler_policy(box, policy, number):
    box.process["scheduler"] = {"policy": policy}
    assert words(box.args("probe", "sched").run().ok().out)["policy"] == number


@lacks("runc", "crun", why="older than the scheduler property")
def test_scheduler_nice_and_flags(box):
    box.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    got = words(box.args("probe", "sched").run().ok().out)
    assert (got["policy"], got["nice"], got["flags"] & 1) == (SCHED_BATCH, 7, 1)


@pytest.mark.needs("path:/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
@lacks("runc", "crun", why="older than the scheduler property")
def test_scheduler_realtime(box, realtime_parent):
    box.resources["cpu"] = {"realtimeRuntime": 1000, "realtimePeriod": 1000000}
    box.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 3}
    got = words(box.args("probe", "sched").run().ok().out)
    assert (got["policy"], got["priority"]) == (SCHED_FIFO, 3)


@pytest.fixture
def realtime_parent(box):
    """A v1 cpu group needs realtime time of its own for a realtime policy; its parent gives it."""
    parent = box.cgroup_dir("cpu").parent
    parent.mkdir(exist_ok=True)
    (parent / "cpu.rt_runtime_us").write_text("10000")


@lacks("runc", "crun", why="older than the scheduler property")
@pytest.mark.parametrize("scheduler, field", [
    ({"policy": "SCHED_NOSUCH"}, "scheduler.policy"), ({}, "scheduler.policy"),
    ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"]}, "scheduler.flags"),
    ({"policy": "SCHED_OTHER", "nice": 100}, "scheduler")])
def test_scheduler_with_invalid_values(box, scheduler, field):
    box.process["scheduler"] = scheduler
    box.run().failed().names(field)


@lacks("runc", "crun", why="older than the scheduler property")
def test_scheduler_in_exec(box):
    box.up()
    out = box.exec_process({"args": ["probe", "sched"], "scheduler": {"policy": "SCHED_IDLE"}}).ok().out
    assert words(out)["policy"] == SCHED_IDLE


@lacks("runc", "crun", why="older than the ioPriority property")
@pytest.mark.parametrize("name, number", [("RT", 1), ("BE", 2), ("IDLE", 3)])
def test_io_priority(box, name, number):
    box.process["ioPriority"] = {"class": "IOPRIO_CLASS_" + name, "priority": 4}
    got = words(box.args("probe", "ioprio").run().ok().out)
    assert (got["class"], got["priority"]) == (number, 4)


@lacks("runc", "crun", why="older than the ioPriority property")
@pytest.mark.parametrize("value", [{"class": "IOPRIO_CLASS_NOSUCH", "priority": 1},
                                   {"class": "IOPRIO_CLASS_BE", "priority": 8},
                                   {"class": "IOPRIO_CLASS_BE", "priority": -1}, {"priority": 1}])
def test_io_priority_with_invalid_values(box, value):
    box.process["ioPriority"] = value
    box.run().failed().names("process.ioPriority")


@lacks("runc", "crun", why="older than execCPUAffinity")
def test_exec_cpu_affinity(box):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    box.up()
    for cpu in cpus[:2]:
        out = box.exec_process({"args": ["probe", "affinity"],
                                "execCPUAffinity": {"initial": str(cpus[0]), "final": str(cpu)}}).ok().out
        assert out == f"{cpu}\n"
    out = box.exec_process({"args": ["probe", "affinity"]}).ok().out
    assert [int(c) for c in out.split()] == cpus


@lacks("runc", "crun", why="older than execCPUAffinity")
def test_exec_cpu_affinity_does_not_touch_init(box):
    box.process["execCPUAffinity"] = {"initial": "0", "final": "0"}
    out = box.args("probe", "affinity").run().ok().out
    assert [int(c) for c in out.split()] == sorted(os.sched_getaffinity(0))


@lacks("runc", "crun", why="older than execCPUAffinity")
@pytest.mark.parametrize("value", ["x", "1-", "-1", "3-1", "99999999999"])
def test_exec_cpu_affinity_with_invalid_lists(box, value):
    box.up()
    box.exec_process({"args": ["true"], "execCPUAffinity": {"final": value}}).failed().names("execCPUAffinity")


@lacks("runc", "crun", why="older than these properties")
def test_exec_keeps_the_containers_scheduling(box):
    box.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    box.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    box.up()
    sched = words(box.exec("probe", "sched").ok().out)
    assert (sched["policy"], sched["nice"]) == (SCHED_BATCH, 5)
    assert words(box.exec("probe", "ioprio").ok().out) == {"class": 2, "priority": 6}


@lacks("runc", "crun", why="newer runc does so")
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_affinity_of_the_caller_is_not_inherited(box, verb):
    """`taskset` around an engine is not meant for its containers."""
    pin = ["taskset", "-c", "0"]
    if verb == "run":
        out = box.args("probe", "affinity").run(prefix=pin).ok().out
    else:
        out = box.up().exec("probe", "affinity", prefix=pin).ok().out
    assert len(out.split()) == os.cpu_count()


# ---- personality, memory policy ----

PER_LINUX32 = 8


@lacks("runc", why="older than the personality property")
@pytest.mark.parametrize("domain, value", [("LINUX", 0), ("LINUX32", PER_LINUX32)])
def test_personality(box, domain, value):
    box.linux["personality"] = {"domain": domain}
    assert int(box.args("probe", "personality").run().ok().out, 16) & 0xFF == value


@lacks("runc", why="older than the personality property")
def test_personality_changes_uname(box):
    box.linux["personality"] = {"domain": "LINUX32"}
    assert box.output("uname -m") == "i686\n"


@lacks("runc", why="older than the personality property")
def test_personality_in_exec(box):
    box.linux["personality"] = {"domain": "LINUX32"}
    box.up()
    assert box.exec("uname", "-m").ok().out == "i686\n"


@lacks("runc", why="older than the personality property")
@lacks("crun", why="ignores flags")
@pytest.mark.parametrize("value", [{"domain": "NOSUCH"}, {}, {"domain": "LINUX", "flags": ["X"]}])
def test_personality_with_invalid_values(box, value):
    box.linux["personality"] = value
    box.run().failed().names("linux.personality")


MODES = {"MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
         "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6}
WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")


@pytest.mark.needs("path:/sys/devices/system/node/online")
@lacks("runc", "crun", why="older than the memoryPolicy property")
@pytest.mark.parametrize("mode", [
    pytest.param(m, marks=[pytest.mark.needs("kernel:6.9")] if "WEIGHTED" in m else []) for m in sorted(MODES)])
def test_memory_policy(box, mode):
    policy = {"mode": mode}
    if mode not in WITHOUT_NODES:
        policy["nodes"] = "0"
    box.linux["memoryPolicy"] = policy
    got = words(box.args("probe", "mempolicy").run().ok().out)
    assert (got["mode"], got["nodes"]) == (MODES[mode], 0 if mode in WITHOUT_NODES else 1)


@lacks("runc", "crun", why="older than the memoryPolicy property")
@pytest.mark.parametrize("flag, bit", [("MPOL_F_STATIC_NODES", 1 << 15), ("MPOL_F_RELATIVE_NODES", 1 << 14),
                                       ("MPOL_F_NUMA_BALANCING", 1 << 13)])
def test_memory_policy_flags(box, flag, bit):
    box.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}
    assert words(box.args("probe", "mempolicy").run().ok().out)["flags"] == bit


@lacks("runc", "crun", why="older than the memoryPolicy property")
@pytest.mark.parametrize("policy", [
    {"mode": "MPOL_NOSUCH"}, {}, {"mode": "MPOL_BIND"}, {"mode": "MPOL_BIND", "nodes": "x"},
    {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOSUCH"]}, {"mode": "MPOL_BIND", "nodes": "1-"},
    {"mode": "MPOL_BIND", "nodes": "4096"}, {"mode": "MPOL_DEFAULT", "nodes": "0"}])
def test_memory_policy_with_invalid_values(box, policy):
    box.linux["memoryPolicy"] = policy
    box.run().failed().names("memoryPolicy")


# ---- host name, LSM labels ----


def test_hostname(box):
    box.config["hostname"] = "mrsdalloway"
    assert box.output("hostname") == "mrsdalloway\n"


@lacks("runc", why="older than domainname")
def test_domainname(box):
    box.config["domainname"] = "foobarbaz.test"
    assert box.output("cat /proc/sys/kernel/domainname") == "foobarbaz.test\n"


def test_hostname_without_a_uts_namespace_is_refused(box):
    """It would rename the host."""
    before = os.uname().nodename
    box.namespace_drop("uts").config["hostname"] = "renamed"
    result = box.run()
    assert os.uname().nodename == before
    result.failed()


def test_apparmor_profile_without_apparmor_is_an_error(box):
    if "apparmor" in pathlib_text("/sys/kernel/security/lsm"):
        pytest.skip("this kernel has AppArmor; tests/vm covers it")
    box.process["apparmorProfile"] = "berth-test-nosuch"
    box.run().failed("apparmor")


@lacks("runc", why="ignores the label where SELinux is off")
def test_selinux_label_without_selinux_is_an_error(box):
    if "selinux" in pathlib_text("/sys/kernel/security/lsm"):
        pytest.skip("this kernel has SELinux; tests/vm covers it")
    box.process["selinuxLabel"] = "system_u:system_r:container_t:s0"
    box.run().failed("selinux")


def pathlib_text(path):
    try:
        return open(path).read()
    except OSError:
        return ""


# ---- invalid process values ----


@pytest.mark.parametrize("change, field", [
    ({"cwd": "relative"}, "process.cwd"), ({"cwd": ""}, "process.cwd"), ({"args": []}, "process.args"),
    ({"args": None}, "process.args"), ({"args": "sh"}, "process.args"), ({"args": [1]}, "process.args"),
    ({"env": {"A": "1"}}, "process.env"), ({"user": {"uid": -1, "gid": 0}}, "process.user.uid"),
    ({"user": {"uid": 1 << 32, "gid": 0}}, "process.user.uid"), ({"user": {"uid": 0.5, "gid": 0}}, "process.user.uid"),
    ({"user": {"uid": "0", "gid": 0}}, "process.user.uid"), ({"terminal": "yes"}, "process.terminal"),
    ({"noNewPrivileges": 1}, "process.noNewPrivileges"),
    ({"user": {"uid": 0, "gid": 0, "additionalGids": [-5]}}, "process.user.additionalGids")])
@lacks("crun", why="has its own validation")
def test_invalid_values_name_the_field(box, change, field):
    box.process.update(change)
    if change.get("args", 0) is None:
        del box.process["args"]
    box.run().failed().names(field)
