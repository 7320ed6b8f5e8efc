"""Turns what was measured into a table of goals, met or not, and tables of figures."""

OURS = "berth-oci"


def candidates(result):
    return {c["name"]: c for c in result["candidates"]}


def figure(results, key, name, field):
    """A figure of one candidate: a median where it is a spread, None where it wasn't measured."""
    c = candidates(results[key]).get(name)
    if c is None or c["failures"]:
        return None
    return c[field]["median"] if isinstance(c[field], dict) else c[field]


def ratio(a, b):
    return a / b if a is not None and b else None


def per(key, field, baseline):
    """A function from a runtime's name to its figure as a multiple of the baseline's."""
    return lambda r, name: ratio(figure(r, key, name, field), figure(r, key, baseline, field))


def plain(key, field, scale=1.0):
    def get(r, name):
        value = figure(r, key, name, field)
        return None if value is None else value / scale
    return get


def limit(r, name):
    value = r["limit"].get(name)
    return None if value is None else value / 1024


def size(r, name):
    value = r["size"].get(name)
    return None if value is None else value["bytes"] / 1e6


FLOOR = "floor -c 3"
# what, how to get it, goal, unit, decimals
GOALS = [
    ("run `true` to completion, wall ÷ `floor -c 3`", per("run", "wall_ms", FLOOR), 1.5, "×", 2),
    ("the same, CPU ÷ floor", per("run", "cpu_ms", FLOOR), 1.5, "×", 2),
    ("`state`, CPU", plain("state", "cpu_ms"), 1.5, "ms", 2),
    ("exec of `true` in a running container, wall ÷ crun", per("exec", "wall_ms", "crun"), 0.5, "×", 2),
    ("peak RSS of `run`", plain("run", "rss_kib", 1024), 2, "MiB", 2),
    ("smallest memory limit that starts `true`", limit, 256, "KiB", 0),
    ("200 containers at once, wall ÷ crun", per("at_once", "wall_ms", "crun"), 0.5, "×", 2),
    ("the program, stripped", size, 1.5, "MB", 2),
]


def show(value, unit, decimals):
    return "–" if value is None else f"{value:.{decimals}f} {unit}"


def goals(results):
    """[(what, {runtime: value}, goal, unit, decimals, met or None)]."""
    rows = []
    for what, get, goal, unit, decimals in GOALS:
        values = {name: get(results, name) for name in (OURS, "crun", "runc")}
        ours = values[OURS]
        rows.append((what, values, goal, unit, decimals, None if ours is None else ours <= goal))
    return rows


def verdict(met):
    return {True: "met", False: "**not met**", None: "not measured"}[met]


def goals_table(results):
    lines = ["| | berth-oci | goal | | crun | runc |", "|---|---|---|---|---|---|"]
    for what, v, goal, unit, decimals, met in goals(results):
        cells = [show(v[name], unit, decimals) for name in (OURS, "crun", "runc")]
        lines.append(f"| {what} | {cells[0]} | ≤ {goal:g} {unit} | {verdict(met)} | {cells[1]} | {cells[2]} |")
    return lines


def figures_table(result):
    head = "| | min | p25 | median | p75 | CPU median | peak RSS | context switches | failed | load |"
    lines = [head, "|---" * 10 + "|"]
    for c in result["candidates"]:
        w = c["wall_ms"]
        lines.append(
            f"| {c['name']} | {w['min']:.2f} | {w['p25']:.2f} | **{w['median']:.2f}** | {w['p75']:.2f} | "
            f"{c['cpu_ms']['median']:.2f} | {c['rss_kib']} KiB | {c['switches']} | {c['failures']} | "
            f"{c['load']['median']:.2f} |")
    return lines


def floor_at_once(results):
    """What the last-but-one goal means: how near to the physical limit it lies."""
    share = per("at_once", "wall_ms", "crun")(results, FLOOR)
    return [] if share is None else [
        f"For 200 at once the floor itself takes {share:.2f} × crun's time.", ""]


SECTIONS = [
    ("run", "`run` of `true`, to completion"),
    ("filtered", "the same under podman's default seccomp profile (the floor makes no filter)"),
    ("life", "`create`, `start`, `kill` and `delete` of a sleeping container, four processes"),
    ("state", "`state` of a running container"),
    ("exec", "`exec` of `true` in a running container"),
    ("at_once", "200 × `run` of `true`, started at once; a turn ends with the last"),
]


def markdown(data):
    m, r = data["machine"], data["results"]
    versions = ", ".join(f"{name} {v}" for name, v in data["versions"].items())
    lines = [
        "# Measurements", "",
        f"Written by `./bench/run{' --quick' if data['quick'] else ''}`: {versions}; Linux {m['kernel']}, {m['cpus']} CPUs, "
        f"cgroups {m['cgroups']}. Candidates take shuffled turns in one go, so that what else runs on the machine "
        "meets them all: compare the ratios. Times in ms; CPU and RSS are the command's with all its "
        "descendants; load is the median of the load averages at its turns. State directories and bundles are "
        "on a tmpfs.", "",
        "![](results.svg)", "", *goals_table(r), "", *floor_at_once(r)]
    if data["missing"]:
        lines += ["Not found, so not measured: " + "; ".join(data["missing"]) + ".", ""]
    for key, title in SECTIONS:
        if not r[key]:
            continue
        lines += [f"## {title} ({r[key]['turns']} turns)", "", *figures_table(r[key]), ""]
    return "\n".join(lines)


def summary(data):
    """The goals as plain text for a terminal."""
    lines = []
    for what, v, goal, unit, decimals, met in goals(data["results"]):
        mark = {True: "met", False: "NOT MET", None: "not measured"}[met]
        values = "  ".join(f"{n} {show(v[n], unit, decimals)}" for n in (OURS, "crun", "runc"))
        lines.append(f"{mark:13} {what}: {values} (goal ≤ {goal:g} {unit})")
    return "\n".join(lines)
