"""podman with a storage of its own, as an oracle: what it does with an image and the same flags."""

import os
import pathlib
import shutil
import subprocess

from registry import die_along  # noqa: F401

# runc: crun refuses the hybrid cgroups of some machines, and the runtime is not what is compared.
CONF = """
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{base}/tmp"
volume_path = "{base}/volumes"
runtime = "runc"
[network]
network_config_dir = "{base}/net"
"""
STORAGE = """
[storage]
driver = "overlay"
runroot = "{base}/r"
graphroot = "{base}/g"
"""


class Podman:
    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.base.mkdir()
        (self.base / "containers.conf").write_text(CONF.format(base=base))
        (self.base / "storage.conf").write_text(STORAGE.format(base=base))
        (self.base / "auth.json").write_text("{}")
        self.env = {**os.environ, "CONTAINERS_CONF": str(self.base / "containers.conf"),
                    "CONTAINERS_STORAGE_CONF": str(self.base / "storage.conf"),
                    "REGISTRY_AUTH_FILE": str(self.base / "auth.json")}
        self.group = f"/berth-image-{os.getpid()}"

    def argv(self, verb, *args):
        flags = ["--root", f"{self.base}/g", "--runroot", f"{self.base}/r"]
        if verb == "run":
            args = ("--cgroup-parent", self.group, "--rm", *args)
        return ["podman", *flags, verb, *map(str, args)]

    def __call__(self, verb, *args, timeout=120, **kw):
        """Its completed process, with text output."""
        return subprocess.run(self.argv(verb, *args), env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, **kw)

    def destroy(self):
        self("rm", "--all", "--force")
        for path in ("g/overlay", "g"):  # its overlay mounts itself shared
            subprocess.run(["umount", self.base / path], capture_output=True)
        subprocess.run(["find", "/sys/fs/cgroup", "-depth", "-path", f"*{self.group}*", "-type", "d", "-exec", "rmdir",
                        "{}", "+"], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)
