"""The commands on images that are here: what they print beside what podman prints for the same images,
filters, templates, names."""

import json
import re

import kit
import pytest
from podman import Podman

pytestmark = pytest.mark.fast

BIG = kit.Layer([kit.file("big", b"\0" * 1_154_000)])
SMALL = kit.Layer([kit.file("etc/small", "x")])
HISTORY = [{"created": "2024-01-01T00:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file:0123 in / "},
           {"created": "2024-01-02T00:00:00Z", "created_by": "ENV A=b", "empty_layer": True, "comment": "buildkit"},
           {"created": "2024-02-03T04:05:06Z", "created_by": "RUN /bin/sh -c apt-get update &&\n\tapt-get install -y "
            "something with a long name # buildkit", "comment": "buildkit"}]
APP = kit.Image([BIG, SMALL], {"Cmd": ["/bin/app"], "Env": ["A=b", "C=d"], "User": "7:8", "WorkingDir": "/srv",
                               "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGINT",
                               "Entrypoint": ["/entry", "x"], "Labels": {"vendor": "us", "tier": "1"}},
                history=HISTORY, author="me")
BASE = kit.Image([BIG], {"Labels": {"vendor": "them"}}, created="2023-01-01T00:00:00Z")


@pytest.fixture
def here(berth, tmp_path):
    """Both images, loaded."""
    for image, name in ((APP, "localhost/app:1"), (BASE, "example.com/team/base:latest")):
        layout = image.layout(tmp_path / name.partition("/")[0], name)
        berth("load", "-i", layout).ok()
    return berth


LIST_TEMPLATES = ["{{.ID}}", "{{.Repository}}:{{.Tag}}", "{{.Digest}} {{.CreatedSince}}", "{{.ID}}\\t{{.Tag}}",
                  "{{upper .Tag}}", "{{.Labels}}", "{{range .Names}}{{.}}{{end}}", "{{.CreatedAt}}",
                  "{{if .Dangling}}no{{else}}yes{{end}}"]
INSPECT_TEMPLATES = ["{{.Config.Env}}", "{{json .Config.Env}}", "{{.Config.Cmd}}", "{{.Config.User}}",
                     "{{.Architecture}}/{{.Os}}", "{{index .Config.Labels \"vendor\"}}",
                     "{{range .RootFS.Layers}}{{println .}}{{end}}", "{{len .RootFS.Layers}}",
                     "{{json .Config.ExposedPorts}}", "{{.Digest}}", "{{join .Config.Env \",\"}}",
                     "{{if .Author}}by {{.Author}}{{end}}", "{{json .RootFS}}"]


class Said(dict):
    """What podman said to each question; it is asked once, since it keeps mounts while it is there."""

    def __init__(self, podman):
        for image, name in ((APP, "localhost/app:1"), (BASE, "example.com/team/base:latest")):
            layout = image.layout(podman.base / name.partition("/")[0], "x")
            pulled = self.ask(podman, "pull", "--quiet", f"oci:{layout}:x").strip()
            other = json.loads(self.ask(podman, "image", "inspect", pulled))[0]["RepoTags"]
            self.ask(podman, "tag", pulled, name)
            for old in other:
                self.ask(podman, "untag", pulled, old)
        self.ask(podman, "images", "--format", "json")
        self.ask(podman, "images", "--sort", "tag")
        self.ask(podman, "history", "--format", "json", "localhost/app:1")
        self.ask(podman, "image", "inspect", "localhost/app:1")
        for template in LIST_TEMPLATES:
            self.ask(podman, "images", "--filter", "reference=*base*", "--format", template)
        for template in INSPECT_TEMPLATES:
            self.ask(podman, "image", "inspect", "--format", template, "localhost/app:1")

    def ask(self, podman, *args):
        done = podman(*args)
        assert done.returncode == 0, (args, done.stderr)
        self[args] = done.stdout
        return done.stdout

    def __call__(self, *args):
        return self[args]

    def json(self, *args):
        return json.loads(self[args])


@pytest.fixture(scope="session")
def podman(base):
    found = Podman(base / "podman-images")
    try:
        return Said(found)
    finally:
        found.destroy()


def lines(result):
    return [re.split(r"\s{2,}", line.strip()) for line in result.ok().out.splitlines()]


# ---- beside podman ----


def test_list_has_podmans_json(here, podman):
    ours = {i["Id"]: i for i in here.json("images", "--format", "json")}
    theirs = {i["Id"]: i for i in podman.json("images", "--format", "json")}
    assert ours.keys() == theirs.keys()
    for key, image in ours.items():
        for member in ("Id", "ParentId", "Labels", "Containers", "Digest", "SharedSize"):
            assert image[member] == theirs[key][member], member
        assert set(image["Names"]) <= set(theirs[key]["Names"])
        assert image["Created"] == theirs[key]["Created"]
        assert image["Size"] > 0


def test_list_has_podmans_columns(here, podman):
    ours = lines(here("images", "--sort", "tag"))
    theirs = [re.split(r"\s{2,}", l.strip()) for l in podman("images", "--sort", "tag").splitlines()]
    assert ours[0] == theirs[0] == ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    for row in ours[1:]:
        assert row[:4] in [t[:4] for t in theirs[1:]], (ours, theirs)


@pytest.mark.parametrize("template", LIST_TEMPLATES)
def test_templates_give_what_podmans_do(here, podman, template):
    argv = ["images", "--filter", "reference=*base*", "--format", template]
    assert here(*argv).ok().out.split() == podman(*argv).split()


def test_history_beside_podmans(here, podman):
    ours, theirs = (f("history", "--format", "json", "localhost/app:1") for f in (here.json, podman.json))
    assert [(h["CreatedBy"], h["created"], h.get("comment", "")) for h in ours] == \
        [(h["CreatedBy"], h["created"], h.get("comment", "")) for h in theirs]
    assert [h["size"] > 0 for h in ours] == [h["size"] > 0 for h in theirs] == [True, False, True]
    assert ours[0]["id"].endswith(theirs[0]["id"])


def test_inspect_beside_podmans(here, podman):
    ours = here.json("image", "inspect", "localhost/app:1")[0]
    theirs = podman.json("image", "inspect", "localhost/app:1")[0]
    for member in ("Digest", "Author", "Architecture", "Os", "RootFS", "Labels", "ManifestType"):
        assert ours[member] == theirs[member], member
    for member, value in theirs["Config"].items():
        assert ours["Config"][member] == value, member
    assert ours["Id"] == f"sha256:{theirs['Id']}" == APP.id
    assert ours["RepoTags"] == ["localhost/app:1"]
    assert ours["Created"] == theirs["Created"]
    assert ours["Comment"] == "buildkit"  # docker's: that of the last step
    assert [(h.get("created_by"), h.get("empty_layer", False)) for h in ours["History"]] == \
        [(h.get("created_by"), h.get("empty_layer", False)) for h in theirs["History"]]
    assert theirs.keys() - ours.keys() <= {"GraphDriver", "NamesHistory", "User", "Annotations", "Version",
                                           "HealthCheck"}


@pytest.mark.parametrize("template", INSPECT_TEMPLATES)
def test_inspect_templates_beside_podmans(here, podman, template):
    argv = ["image", "inspect", "--format", template, "localhost/app:1"]
    assert here(*argv).ok().out.strip() == podman(*argv).strip()


# ---- lists ----


def test_quiet_and_whole(here):
    ids = {APP.id, BASE.id}
    assert set(here("images", "-q").ok().out.split()) == {i.partition(":")[2][:12] for i in ids}
    assert set(here("images", "-q", "--no-trunc").ok().out.split()) == ids
    assert here("images", "-n").ok().out.count("\n") == 2
    assert lines(here("images", "--digests"))[0] == ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]
    assert lines(here("image", "ls")) == lines(here("image", "list")) == lines(here("images"))


@pytest.mark.parametrize("argument", ["--format={{json .}}", "--format=table {{.ID}}\t{{.Size}}", "--format=table"])
def test_other_formats(here, argument):
    out = here("images", argument).ok().out.splitlines()
    if "json" in argument:
        assert [json.loads(l)["Size"] for l in out] == ["1.16MB", "1.16MB"] or len(out) == 2
    elif "ID" in argument:
        assert out[0].split() == ["IMAGE", "ID", "SIZE"]
    else:
        assert out[0].startswith("REPOSITORY")


@pytest.mark.parametrize("flags, left", [
    (["--filter", "reference=localhost/*"], {"app"}), (["--filter", "reference=*/team/base"], {"base"}),
    (["--filter", "label=vendor"], {"app", "base"}), (["--filter", "label=vendor=us"], {"app"}),
    (["--filter", "label=vendor=us", "--filter", "label=tier=2"], set()),
    (["--filter", "before=localhost/app:1"], {"base"}), (["--filter", "since=example.com/team/base"], {"app"}),
    (["--filter", "dangling=true"], set()), (["--filter", "dangling=false"], {"app", "base"}),
    (["--filter", "until=2023-06-01"], {"base"}), (["--filter", "until=1h"], {"app", "base"}),
    (["--filter", "containers=true"], set()), (["--filter", f"id={APP.id[7:15]}"], {"app"}),
    (["localhost/app"], {"app"}), (["localhost/app:1"], {"app"}), (["localhost/app:2"], set()),
])
def test_filters(here, flags, left):
    found = here("images", "--format", "{{.Repository}}", *flags).ok().out.split()
    assert {name.rpartition("/")[2] for name in found} == left


def test_untagged(here):
    here("untag", "localhost/app:1").ok()
    rows = lines(here("images"))
    assert [r[:2] for r in rows if r[2] == APP.id[7:19]] == [["<none>", "<none>"]]
    assert here("images", "-q", "--filter", "dangling=true").ok().out.split() == [APP.id[7:19]]
    out = here("image", "prune", "--force").ok().out
    assert f"Deleted: {APP.id}" in out and "Total reclaimed space: " in out and "0B" not in out.splitlines()[-1]
    assert here("images", "-q").ok().out.split() == [BASE.id[7:19]]


def test_prune_asks(here):
    assert "[y/N]" in here("image", "prune", "--all", input="n\n").ok().out
    assert len(here.json("images", "--format", "json")) == 2
    assert "Deleted: " in here("image", "prune", "--all", input="y\n").ok().out
    assert here.json("images", "--format", "json") == []


# ---- names ----


def test_tags(here):
    here("tag", "localhost/app:1", "second", "quay.io/x/y:z").ok()
    names = {n for i in here.json("images", "--format", "json") for n in i["Names"]}
    assert {"docker.io/library/second:latest", "quay.io/x/y:z", "localhost/app:1"} <= names
    for name in ("second", "docker.io/second", "y:z", "x/y:z", APP.id, APP.id[7:], APP.id[7:11],
                 f"sha256:{APP.id[7:20]}", APP.digest):
        assert here.json("image", "inspect", name)[0]["Id"] == APP.id, name
    here("tag", "base", "second").ok()  # taken from the other
    assert here.json("image", "inspect", "second")[0]["Id"] == BASE.id
    here("untag", "second", "second").ok()
    assert here("image", "exists", "second").code == 1
    assert here("image", "exists", "base").code == 0
    assert here("untag", "base", "nosuch:1").code == 3
    bad = here("tag", "base", "UPPER")
    assert bad.code == 2 and "UPPER" in bad.err
    assert here("tag", "nosuch", "x").code == 3


def test_rmi_by_one_of_several_names(here):
    here("tag", "localhost/app:1", "second").ok()
    refused = here("rmi", APP.id[7:15])
    assert refused.code == 2 and "--force" in refused.err
    assert here("rmi", "second").ok().out == "Untagged: second:latest\n"
    out = here("rmi", "-f", APP.id[7:15]).ok().out.splitlines()
    assert out[0] == "Untagged: localhost/app:1" and out[1] == f"Deleted: {APP.id}"
    assert here("rmi", "nosuch").code == 1
    assert here("rmi", "--ignore", "nosuch").ok()
    mixed = here("rmi", "nosuch", "base")
    assert mixed.code == 1 and "nosuch" in mixed.err and f"Deleted: {BASE.id}" in mixed.out
    here("rmi", "--all").ok()


def test_ambiguous_names(here):
    here("tag", "base", "one.example/same:1").ok()
    here("tag", "localhost/app:1", "two.example/same:1").ok()
    result = here("image", "inspect", "same:1")
    assert result.code == 1 and "ambiguous" in result.err and "two.example/same:1" in result.err


# ---- one image ----


def test_history(here):
    rows = lines(here("history", "localhost/app:1"))
    assert rows[0] == ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]
    assert [r[0] for r in rows[1:]] == [APP.id[7:19], "<missing>", "<missing>"]
    assert "…" in "".join(rows[1]) and rows[2][3] == "0B" and rows[2][4] == "buildkit"
    whole = here("history", "--no-trunc", "--format", "{{.CreatedBy}}", "localhost/app:1").ok().out.splitlines()
    assert "something with a long name # buildkit" in whole[0] and "\t" not in whole[0]
    exact = here("history", "--human=false", "--format", "{{.CreatedSince}} {{.Size}}", "localhost/app:1").ok().out
    assert re.match(r"2024-02-03T04:05:06Z \d+\n", exact)
    assert here("history", "-q", "localhost/app:1").ok().out.split()[0] == APP.id[7:19]


def test_tree(here):
    out = here("image", "tree", "localhost/app:1").ok().out
    shared, own = [l for l in out.splitlines() if "──" in l]
    assert BIG.diff_id[7:19] in shared and "also of example.com/team/base:latest" in shared
    assert SMALL.diff_id[7:19] in own and "also of" not in own


def test_inspect_of_several(here):
    result = here("image", "inspect", "localhost/app:1", "nosuch", "base")
    assert result.code == 1 and "nosuch" in result.err
    assert [i["Id"] for i in json.loads(result.out)] == [APP.id, BASE.id]
    for layer in json.loads(result.out)[0]["Berth"]["Layers"]:
        assert (here.root / "layers" / layer["Key"]).is_dir() and layer["Backend"] in ("erofs", "directory")


@pytest.mark.parametrize("template, words", [("{{.Nope}}", 'no ".Nope"'), ("{{.ID", "}} is missing"),
                                             ("{{.Repositry}}", "Did you mean")])
def test_bad_templates(here, template, words):
    result = here("images", "--format", template)
    assert result.code == 2 and words in result.err


# ---- the system ----


def test_df(here):
    rows = {r[0]: r for r in lines(here("system", "df"))}
    assert rows["TYPE"] == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert rows["Images"][1:3] == ["2", "0"] and rows["Images"][4].endswith("(100%)")
    detail = {r[0]: r for r in lines(here("system", "df", "-v")) if len(r) == 8}
    assert detail["localhost/app"][5] == detail["example.com/team/base"][4] == "1.16MB"
    assert detail["example.com/team/base"][6] == "0B"
    found = here.json("system", "df", "--format", "json")
    assert found[0]["Total"] == 2 and found[0]["RawSize"] > 1_154_000


def test_system_prune(here):
    assert "[y/N]" in here("system", "prune", input="").ok().out
    here("untag", "localhost/app:1").ok()
    out = here("system", "prune", "--force").ok().out
    assert f"Deleted: {APP.id}" in out and len(here.layers()) == 1
    here("system", "prune", "--all", "--force").ok()
    assert here.layers() == here.blobs() == here.listed("trash") == []
    refused = here("system", "prune", "--force", "--volumes", "--filter", "until=1h")
    assert refused.code != 0 and "berth volume prune" in refused.err


def test_check_says_all_is_well(here):
    assert "The store is whole" in here("system", "check").ok().out
    assert here("system", "check", "--quiet", "--deep").ok().out == ""
    assert here.json("system", "check", "--json") == here.json("system", "check", "--format", "json") == []
