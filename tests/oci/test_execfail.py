"""Programs that can't be executed: each reason has its own sentence, and the phrases that engines know.

dockerd and podman derive 126 and 127 from the text: "permission denied", "is a directory" -> 126;
"executable file not found in", "no such file or directory" -> 127."""

import os
import shutil
import struct

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

CANNOT_EXECUTE = ("permission denied", "is a directory")
NOT_FOUND = ("executable file not found in", "no such file or directory")


def script(box, first_line, name="prog", mode=0o755):
    path = box.rootfs / "bin" / name
    path.write_bytes(first_line.encode() + b"\necho ran\n")
    path.chmod(mode)
    return box.args("/bin/" + name)


def derived(result):
    """The exit code that an engine derives from the message."""
    text = result.err.lower()
    if any(p in text for p in NOT_FOUND):
        return 127
    return 126 if any(p in text for p in CANNOT_EXECUTE) else None


def outcome(box):
    """Failure of run, whose text does not depend on whether create or start found it."""
    return box.run().failed(code=1)


def test_not_in_path(box):
    result = box.args("nosuchcommand").run().failed("nosuchcommand", "executable file not found in", code=1)
    assert derived(result) == 127 or kit.PEER == "crun"


def test_path_that_does_not_exist(box):
    result = box.args("/nosuch/program").run().failed("/nosuch/program", "no such file or directory", code=1)
    assert derived(result) == 127


def test_not_executable(box):
    result = outcome(script(box, "#!/bin/sh", mode=0o644)).failed("permission denied").names("/bin/prog", "execut")
    assert derived(result) == 126


def test_not_executable_in_path(box):
    """Found, but without permission: runc says permission denied or not found, never runs it."""
    script(box, "#!/bin/sh", mode=0o644)
    result = box.args("prog").run().failed("prog")
    assert derived(result) in (126, 127)


def test_directory(box):
    result = outcome(box.args("/etc")).names("/etc", "is a directory")
    assert derived(result) == 126


def test_missing_interpreter_of_a_script(box):
    result = outcome(script(box, "#!/nosuch/interpreter -x")).failed("no such file or directory").names(
        "/bin/prog", "/nosuch/interpreter", "interpreter")
    assert derived(result) == 127


def test_interpreter_through_env(box):
    """#!/usr/bin/env is missing in a small image: the message says env, not the script."""
    outcome(script(box, "#!/usr/bin/env python3")).failed("no such file or directory").names("/usr/bin/env")


def test_carriage_return_in_the_shebang(box):
    result = outcome(script(box, "#!/bin/sh\r")).failed("no such file or directory").names("/bin/prog", "carriage return")
    assert "\r" not in result.err.rstrip("\r\n") or kit.PEER != "berth"


def test_interpreter_that_is_not_executable(box):
    (box.rootfs / "bin/interp").write_text("x")
    outcome(script(box, "#!/bin/interp")).failed("permission denied").names("/bin/interp")


def test_empty_shebang(box):
    script(box, "#!").run().failed().names("/bin/prog")


def test_script_without_a_shebang(box):
    """execve says ENOEXEC; a shell would run it, a runtime must not."""
    outcome(script(box, "echo no shebang")).failed("exec format error").names("/bin/prog")


def test_empty_file(box):
    path = box.rootfs / "bin/prog"
    path.write_text("")
    path.chmod(0o755)
    outcome(box.args("/bin/prog")).failed("exec format error").names("/bin/prog", "empty")


LOADER = "/lib64/ld-linux-x86-64.so.2"


def test_missing_elf_loader(box):
    """A dynamic program in an image without a C library: the kernel's ENOENT means the loader."""
    shutil.copy2("/bin/true", box.rootfs / "bin/prog")
    result = outcome(box.args("/bin/prog")).failed("no such file or directory").names("/bin/prog", LOADER)
    assert derived(result) == 127


def elf(box, machine=62, cls=2, data=1):
    """busybox with another machine in its header."""
    path = box.rootfs / "bin/prog"
    body = bytearray((box.rootfs / "bin/busybox").read_bytes())
    body[4], body[5] = cls, data
    struct.pack_into("<H" if data == 1 else ">H", body, 18, machine)
    path.write_bytes(body)
    path.chmod(0o755)
    return box.args("/bin/prog")


@pytest.mark.parametrize("machine, name", [(183, ("aarch64", "arm64")), (243, ("riscv",)), (40, ("arm",))])
def test_wrong_architecture(box, machine, name):
    outcome(elf(box, machine)).failed("exec format error").names("/bin/prog", name)


def test_truncated_elf(box):
    path = box.rootfs / "bin/prog"
    path.write_bytes((box.rootfs / "bin/busybox").read_bytes()[:100])
    path.chmod(0o755)
    box.args("/bin/prog").run().failed().names("/bin/prog")


def test_noexec_mount(box):
    volume = box.dir / "v"
    volume.mkdir()
    shutil.copy2(box.rootfs / "bin/busybox", volume / "prog")
    box.bind(volume, "/v", "noexec")
    result = outcome(box.args("/v/prog")).failed("permission denied").names("/v/prog", "noexec")
    assert derived(result) == 126


def test_directory_that_cannot_be_searched(box):
    private = box.rootfs / "private"
    private.mkdir()
    shutil.copy2(box.rootfs / "bin/busybox", private / "true")
    private.chmod(0o700)
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.caps()
    outcome(box.args("/private/true")).failed("permission denied").names("/private")


def test_symlink_that_dangles(box):
    os.symlink("/nosuch/target", box.rootfs / "bin/prog")
    outcome(box.args("/bin/prog")).failed("no such file or directory").names("/bin/prog")


def test_symlink_loop(box):
    os.symlink("prog", box.rootfs / "bin/prog")
    outcome(box.args("/bin/prog")).names("/bin/prog")


def test_component_that_is_a_file(box):
    outcome(box.args("/etc/passwd/prog")).failed(("not a directory",)).names("/etc/passwd")


def test_arguments_that_are_too_long(box):
    outcome(box.args("true", "x" * (1 << 18))).failed(("too long", "argument list")).names("true")


def test_cwd_that_is_a_file(box):
    box.process["cwd"] = "/etc/passwd"
    outcome(box).failed("not a directory").names("/etc/passwd")


def test_cwd_that_may_not_be_entered(box):
    private = box.rootfs / "private"
    private.mkdir(mode=0o700)
    box.process.update(cwd="/private", user={"uid": 1000, "gid": 1000})
    box.caps()
    result = box.args("true").run()
    assert result.code == 0 or result.failed("permission denied").names("/private")


# ---- the same through start and exec ----


@pytest.mark.parametrize("argv, phrase", [(["nosuch"], "executable file not found in"),
                                          (["/nosuch"], "no such file or directory"), (["/etc"], CANNOT_EXECUTE)])
def test_exec_verb_says_the_same(box, argv, phrase):
    box.up()
    result = box.exec(*argv).failed(phrase).names(argv[0])
    if kit.PEER != "crun":
        assert result.code == 255
    assert box.status == "running"


def test_exec_verb_explains_too(box):
    script(box, "#!/bin/sh\r")
    box.up()
    box.exec("/bin/prog").failed("no such file or directory").names("carriage return")


@pytest.mark.parametrize("argv", [["nosuch"], ["/nosuch"], ["/etc"]])
def test_failed_start_leaves_a_container_that_can_be_deleted(box, argv):
    result = box.args(*argv).create()
    if result.code == 0:
        box.start().failed()
    box.delete("--force").ok()


def test_text_file_busy(box):
    """A program that someone holds open for writing."""
    shutil.copy2(box.rootfs / "bin/busybox", box.rootfs / "bin/prog")
    with open(box.rootfs / "bin/prog", "r+b"):
        outcome(box.args("/bin/prog")).failed("text file busy").names("/bin/prog")
