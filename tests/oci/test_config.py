"""config.json as such: unknown properties, wrong types, and files that mean harm."""

import json
import os
import resource
import time

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

MEMORY = 256 << 20  # a hostile file must not make the runtime take more


def refused(box, text, *nouns, memory=MEMORY, seconds=10):
    """The text is refused within bounds of memory and time."""
    box.text = text
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)) if kit.PEER == "berth" else None
    start = time.monotonic()
    result = box.run(preexec_fn=limit, timeout=60).failed()
    assert result.code == 1 or kit.PEER != "berth", result
    assert time.monotonic() - start < seconds
    assert len(result.err) < 4096
    return result.names(*nouns)


# ---- properties ----


def test_unknown_properties_are_ignored(box):
    unknown = {"org.example": {"nested": [1, {"x": None}]}, "frobnicate": True}
    box.config.update(unknown)
    for part in (box.process, box.linux, box.resources, box.config["root"], box.process["user"]):
        part.update(unknown)
    box.config["mounts"][0].update(unknown)
    box.args("true").run().ok()


def test_other_platforms_are_ignored(box):
    box.config.update(windows={"layerFolders": ["x"]}, solaris={"milestone": "y"}, vm={"kernel": {"path": "/k"}})
    box.args("true").run().ok()


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2", "1.0.2-dev", "1.1.0+dev", "1.2.1", "1.3.0", "1.99.0"])
@lacks("runc", "crun", why="may refuse newer ones")
def test_versions_are_taken(box, version):
    box.config["ociVersion"] = version
    box.args("true").run().ok()


@lacks("crun", why="needs mounts")
@pytest.mark.parametrize("key", ["hooks", "annotations", "mounts", "hostname"])
@lacks("runc", why="needs /proc inside")
def test_optional_properties(box, key):
    box.config.pop(key, None)
    box.args("/bin/true").run().ok()


@lacks("runc", why="mounts in the host's namespace")
def test_no_linux_section(box):
    """No namespaces at all: refused, or run as a plain process, yet nothing of the host is touched."""
    del box.config["linux"], box.config["hostname"]
    assert box.run().code in (0, 1)


@pytest.mark.parametrize("path", [
    ("process",), ("root",), ("mounts",), ("hooks",), ("annotations",), ("linux",), ("linux", "namespaces"),
    ("linux", "resources"), ("linux", "maskedPaths"), ("linux", "seccomp"), ("process", "user"),
    ("process", "capabilities"), ("process", "rlimits")])
@pytest.mark.parametrize("value", ["text", 7, True, [1]])
@lacks("runc", "crun", why="have their own validation")
def test_wrong_types_name_the_field(box, path, value):
    part = box.config
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    box.run().failed().names(".".join(path))


@pytest.mark.parametrize("annotations", [{"": "empty key"}, {"a": 1}, {"a": None}])
@lacks("runc", "crun", why="take some")
def test_invalid_annotations(box, annotations):
    box.config["annotations"] = annotations
    box.run().failed().names("annotations")


def test_null_is_absent(box):
    """Go programs write null for empty slices and pointers."""
    box.config.update(hooks=None, annotations=None)
    box.linux.update(devices=None, sysctl=None, seccomp=None, uidMappings=None)
    box.process.update(rlimits=None)
    box.args("true").run().ok()


# ---- broken JSON ----


@pytest.mark.parametrize("text", [
    "", " ", "{", "}", "null", "[]", "7", '"x"', "{]", '{"a":}', '{"a" 1}', "{'a': 1}", '{"a": 01}', '{"a": +1}',
    '{"a": 1,}', '{"a": .5}', '{"a": NaN}', '{"a": Infinity}', '{"a": "\x01"}', '{"a": "\\x41"}', '{"a": "\\ud800"}',
    '{} {}', '{"a": 1} x', '{"a": tru}', "{\"a\": \"unterminated}", '// comment\n{}', '{"a": "\\u12"}', "\ufeff{}"])
def test_broken_json(box, text):
    refused(box, text, "config.json")


def test_bytes_that_are_not_utf_8(box):
    box.save()
    text = json.dumps(box.config).replace('"box"', '"\udcff\udcfe"')
    (box.dir / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    result = box.runtime("run", "--bundle", box.dir, box.id)
    if kit.PEER == "berth":
        result.failed().names("config.json")


@lacks("crun", why="cuts it there")
def test_nul_in_a_string(box):
    """An argument can't hold one: it would be cut there, and be another path than what was checked."""
    box.args("sh", "-c", "echo a\0b")
    box.run().failed().names("process.args")


def test_position_of_a_syntax_error(box):
    result = refused(box, '{\n  "ociVersion": "1.0.0",\n  "process": {,}\n}')
    if kit.PEER == "berth":
        assert "3" in result.err


# ---- hostile files ----


@lacks("runc", "crun", why="take the last of them")
def test_duplicate_keys(box):
    text = json.dumps(box.config)
    box.text = text.replace('"root":', '"root": {"path": "/"}, "root":')
    box.run().failed().names("root")
    box.text = text.replace('"uid": 0', '"uid": 1000, "uid": 0')
    box.run().failed().names("uid")


@lacks("crun", why="1.8.1 crashes")
@pytest.mark.parametrize("depth", [1000, 100000, 5000000])
@pytest.mark.parametrize("open, close", [("[", "]"), ('{"a":', "}")])
def test_deep_nesting(box, depth, open, close):
    refused(box, '{"x": ' + open * depth + "1" + close * depth + "}", ("deep", "nest", "larger"))


def test_unclosed_deep_nesting(box):
    refused(box, "[" * 10000000, ("deep", "nest", "large", "object"))


def test_one_hundred_megabytes(box):
    refused(box, '{"x": "' + "y" * (100 << 20) + '"}', ("large", "limit", "more than", "big"), seconds=20)


@lacks("runc", "crun", why="have no limit")
def test_one_hundred_megabytes_of_elements(box):
    refused(box, '{"x": [' + "1," * (50 << 20) + "1]}", ("large", "limit", "more than", "big"), seconds=20)


@lacks("runc", "crun", why="have no limit")
def test_many_small_objects(box):
    """Within the size limit, yet with more than a million values: an arena must not multiply them."""
    box.config["x"] = [{}] * 3000000
    box.text = json.dumps(box.config, separators=(",", ":"))
    assert len(box.text) < 16 << 20
    result = box.args("true").run(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)))
    assert result.code in (0, 1)


def test_large_but_honest_config(box):
    box.process["env"] += [f"V{i}=" + "x" * 100 for i in range(5000)]
    assert box.output("env | grep -c ^V") == "5000\n"


def test_config_that_is_a_fifo(box):
    """Reading it must not hang for ever."""
    os.mkfifo(box.dir / "config.json")
    try:
        box.runtime("run", "--bundle", box.dir, box.id, timeout=10).failed()
    except AssertionError:
        if kit.PEER == "berth":
            raise


def test_config_that_is_a_directory(box):
    (box.dir / "config.json").mkdir()
    box.runtime("run", "--bundle", box.dir, box.id).failed().names("config.json")


@lacks("runc", "crun", why="have no limit")
def test_config_that_never_ends(box):
    os.symlink("/dev/zero", box.dir / "config.json")
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    box.runtime("run", "--bundle", box.dir, box.id, preexec_fn=limit, timeout=20).failed()


NUMBERS = [
    (("process", "user", "uid"), [-1, 1 << 32, 1 << 63, 1 << 64, 1.5, 1e300]),
    (("process", "oomScoreAdj"), [1 << 31, -(1 << 31) - 1, 1 << 64, 0.1]),
    (("linux", "resources", "memory", "limit"), [1 << 63, -(1 << 63) - 1, 1 << 64, -2, 1e19]),
    (("linux", "resources", "cpu", "shares"), [-1, 1 << 64]),
    (("linux", "resources", "pids", "limit"), [1 << 63]),
    (("linux", "rootfsPropagation"), [0]),
]


@pytest.mark.parametrize("path, value", [(p, v) for p, values in NUMBERS for v in values])
@lacks("runc", "crun", why="have their own validation")
def test_numbers_out_of_range(box, path, value):
    part = box.config
    for key in path[:-1]:
        part = part.setdefault(key, {})
    part[path[-1]] = value
    box.run().failed().names(".".join(path))


@pytest.mark.parametrize("literal", ["1e999", "-1e999", "9" * 400, "0." + "9" * 400, "1E2", "1e2"])
@lacks("runc", "crun", why="have their own reading")
def test_odd_number_literals(box, literal):
    text = json.dumps(box.config).replace('"uid": 0', f'"uid": {literal}')
    if literal in ("1E2", "1e2"):
        box.text = text
        result = box.run()
        assert result.code in (0, 1)
    else:
        refused(box, text, ("uid", "out of range"))


def test_long_strings(box):
    """A path longer than PATH_MAX, an id list without end, a key of a megabyte."""
    box.mount("/" + "x" * 5000, "tmpfs", "tmpfs", [])
    box.run().failed()
    box.config["mounts"].pop()
    box.config["k" * (1 << 20)] = 1
    box.args("true").run().ok()


def test_many_mounts_of_nothing(box):
    box.config["mounts"] += [{"destination": "", "type": "", "source": ""}] * 1000
    box.run().failed()


def test_terminal_escapes_in_messages(box):
    """What a config says must not control the terminal of who reads the error."""
    box.mount("/m\x1b[2J\x07", "nosuchfs\x1b]0;x\x07", "none")
    result = box.run().failed()
    if kit.PEER == "berth":
        assert "\x1b" not in result.err and "\x07" not in result.err
