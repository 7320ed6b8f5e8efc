"""The bundle that every runtime is measured with: busybox, and the configuration that `runc spec`
writes, without a terminal."""

import json
import pathlib
import shutil

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
NO_ALL = ["nosuid", "noexec", "nodev"]

MOUNTS = [  # destination, type, source, options
    ("/proc", "proc", "proc", []),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts",
     ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("/dev/shm", "tmpfs", "shm", NO_ALL + ["mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", NO_ALL),
    ("/sys", "sysfs", "sysfs", NO_ALL + ["ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", NO_ALL + ["relatime", "ro"]),
]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def config(rootfs, args, memory=None):
    """config.json as a dict. memory: a limit in bytes."""
    resources = {"devices": [{"allow": False, "access": "rwm"}]}
    if memory is not None:
        resources["memory"] = {"limit": memory}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {s: CAPABILITIES for s in ("bounding", "effective", "permitted", "ambient")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": str(rootfs), "readonly": True},
        "hostname": "bench",
        "mounts": [dict(destination=d, type=t, source=s, **({"options": o} if o else {}))
                   for d, t, s, o in MOUNTS],
        "linux": {
            "resources": resources,
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": MASKED,
            "readonlyPaths": READONLY,
        },
    }


def make_rootfs(path):
    """A root file system of one static program."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (path / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for name in ("true", "sh", "sleep", "cat"):
        (path / "bin" / name).symlink_to("busybox")
    return path


PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")  # podman's, of Debian's golang-github-containers-common


def seccomp():
    """podman's default profile as it reaches a runtime: what needs other capabilities or machines left out.
    None where podman isn't installed."""
    if not PROFILE.exists():
        return None
    profile = json.loads(PROFILE.read_text())
    rules = []
    for rule in profile["syscalls"]:
        only = rule.get("includes") or {}
        if only.get("caps") or (only.get("arches") and "amd64" not in only["arches"]):
            continue
        rules.append({k: rule[k] for k in ("names", "action", "args", "errnoRet") if rule.get(k)})
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}


class Bundle:
    """A bundle directory. Several share one root file system."""

    def __init__(self, path, rootfs, args, memory=None, seccomp=None):
        self.path = pathlib.Path(path)
        self.path.mkdir()
        document = config(rootfs, args, memory)
        if seccomp:
            document["linux"]["seccomp"] = seccomp
        (self.path / "config.json").write_text(json.dumps(document))
