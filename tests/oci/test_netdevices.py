"""linux.netDevices: moving a network device into the container.

The runtime runs in a network namespace made for the test, so that the host's devices stay alone."""

import json
import os
import subprocess

import kit
import pytest

pytestmark = [pytest.mark.fast, pytest.mark.needs("program:ip", "program:nsenter"),
              pytest.mark.lacks("runc", "crun", why="older than netDevices")]


class Host:
    """A network namespace that plays the host, with a veth pair in it."""

    def __init__(self, path):
        self.path = path
        path.touch()
        subprocess.run(["unshare", f"--net={path}", "true"], check=True)
        self.prefix = ["nsenter", f"--net={path}"]
        self.ip("link", "add", "h0", "type", "veth", "peer", "name", "h1")

    def ip(self, *argv):
        return subprocess.run([*self.prefix, "ip", *argv], check=True, capture_output=True, text=True).stdout

    def close(self):
        subprocess.run(["umount", self.path], check=True)


@pytest.fixture
def host(box):
    h = Host(box.dir / "netns")
    yield h
    box.delete("--force").ok()
    h.close()


def run(box, host, **devices):
    box.linux["netDevices"] = devices
    return box.run(prefix=host.prefix)


def links(box, host, **devices):
    """ip's own view, from the host, of the devices in the running container."""
    box.linux["netDevices"] = devices
    box.args("sleep", "1000").create(prefix=host.prefix).ok()
    out = subprocess.check_output(["nsenter", f"--net=/proc/{box.pid}/ns/net", "ip", "-j", "addr"], text=True)
    return {l["ifname"]: l for l in json.loads(out)}


def test_device_is_moved_and_up(box, host):
    found = links(box, host, h0={})
    assert "UP" in found["h0"]["flags"]
    assert "h0" not in host.ip("-o", "link")


def test_device_is_renamed(box, host):
    found = links(box, host, h0={"name": "eth0"})
    assert "eth0" in found and "h0" not in found


def test_template_name(box, host):
    assert "ctr0" in links(box, host, h0={"name": "ctr%d"})


def test_attributes_are_kept(box, host):
    host.ip("link", "set", "h0", "address", "02:00:00:00:00:07", "mtu", "1400")
    link = links(box, host, h0={"name": "eth0"})["eth0"]
    assert link["address"] == "02:00:00:00:00:07" and link["mtu"] == 1400


def test_permanent_global_addresses_are_kept(box, host):
    host.ip("addr", "add", "192.0.2.7/24", "dev", "h0")
    host.ip("addr", "add", "192.0.2.8/24", "dev", "h0")
    host.ip("-6", "addr", "add", "2001:db8::7/64", "dev", "h0", "nodad")
    host.ip("addr", "add", "198.51.100.9/24", "dev", "h0", "valid_lft", "1000", "preferred_lft", "1000")
    host.ip("addr", "add", "169.254.7.7/16", "scope", "link", "dev", "h0")
    host.ip("link", "set", "h0", "up")
    got = {(a["local"], a["prefixlen"]) for a in links(box, host, h0={})["h0"]["addr_info"] if a["scope"] == "global"}
    assert got == {("192.0.2.7", 24), ("192.0.2.8", 24), ("2001:db8::7", 64)}


def test_several_devices(box, host):
    found = links(box, host, h0={"name": "a0"}, h1={"name": "b0"})
    assert {"a0", "b0"} <= set(found)


def test_swapped_names(box, host):
    found = links(box, host, h0={"name": "h1"}, h1={"name": "h0"})
    assert {"h0", "h1"} <= set(found)


def test_device_is_gone_with_its_namespace(box, host):
    """It is never moved back; a veth ends with the namespace."""
    links(box, host, h0={})
    box.delete("--force").ok()
    assert kit.eventually(lambda: "h1" not in host.ip("-o", "link"), 20)
    assert "h0" not in host.ip("-o", "link")


def test_device_that_does_not_exist(box, host):
    run(box, host, nosuch0={}).failed("nosuch0").names("nosuch0")


def test_name_that_is_taken(box, host):
    run(box, host, h0={"name": "lo"}).failed("lo")
    assert "h0" in host.ip("-o", "link")


def test_failure_moves_nothing_that_matters(box, host):
    """After an error the environment is as if the operation had never been attempted."""
    run(box, host, h0={}, nosuch0={}).failed("nosuch0")


def test_failure_leaves_the_device(box, host):
    box.mount("/m", "nosuchfs", "none")
    run(box, host, h0={}).failed()
    assert "h0" in host.ip("-o", "link")


@pytest.mark.parametrize("name", ["x" * 16, "a/b", "a b", "..", ""])
def test_invalid_names(box, host, name):
    result = run(box, host, h0={"name": name})
    if name:
        result.failed().names("netDevices")


def test_needs_a_network_namespace(box, host):
    box.namespace_drop("network")
    box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "sysfs"]
    run(box, host, h0={}).failed().names("netDevices")


def test_joined_namespace(box, host, containers):
    holder = containers().up()
    box.namespace_drop("network").linux["namespaces"].append(
        {"type": "network", "path": f"/proc/{holder.pid}/ns/net"})
    box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "sysfs"]
    assert "h0" in links(box, host, h0={})


def test_device_in_a_user_namespace(box, host):
    box.mapped()
    assert "h0" in links(box, host, h0={})
