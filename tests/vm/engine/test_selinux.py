"""The engine under an enforcing SELinux policy: containers keep the label of their monitor."""

from enginekit import IMAGE, eventually


def test_labels(engine):
    assert open("/sys/fs/selinux/enforce").read() == "1"
    own = open("/proc/self/attr/current").read().strip("\0\n")
    for flags in ((), ("--security-opt", "label=disable")):
        label = engine.sh("cat /proc/self/attr/current", *flags).ok().out.strip("\0\n")
        assert label.split(":")[2] == own.split(":")[2] or label.startswith("system_u:"), (label, own)
    engine.sh("true", "--security-opt", "label=type:container_t").failed("labels are not computed")


def test_a_life(engine):
    id = engine.up("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    assert eventually(lambda: "ready" in engine.log(id))
    engine("exec", id, "touch", "/made").ok()
    engine("restart", "-t", "5", id).ok()
    engine("stop", id).ok()
    assert engine.state(id) == ("exited", 5)
    engine("commit", id, "localhost/made").ok()
    engine.run("--rm", "localhost/made", "ls", "/made").ok()
    engine("rm", id).ok()
    engine("rmi", "localhost/made").ok()
    engine.run("--rm", "-v", "named:/data", IMAGE, "touch", "/data/x").ok()
    engine("volume", "rm", "named").ok()
