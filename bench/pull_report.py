"""Turns what bench/pull measured into a table of goals, met or not, and a table of figures."""

import statistics

OURS, FLOOR, SYNCED = "berth", "floor", "floor, synced"


def median(data, name, kind, field):
    turns = data["pulls"].get(name, {}).get(kind) or []
    return statistics.median(t[field] for t in turns) if turns else None


def ratio(a, b):
    return a / b if a is not None and b else None


def ratio_of(field, below):
    return lambda data, name: ratio(median(data, name, "cold", field), median(data, below, "cold", field))


def memory(field):
    def get(data, name):
        value = data["pulls"].get(name, {}).get("memory")
        return value[field] / 1024 if value else None
    return get


def over_a_head(data, name):
    """How much longer than one HEAD a pull of what is there takes."""
    if name == OURS:
        return statistics.median(data["warm"]["pull_ms"]) - statistics.median(data["warm"]["head_ms"])
    value = median(data, name, "warm", "wall")
    return None if value is None else value * 1000 - statistics.median(data["warm"]["head_ms"])


def remove(data, name):
    value = median(data, name, "remove", "wall")
    return None if value is None else value * 1000


def listing(data, name):
    return statistics.median(data["many"]["list_ms"]) if name == OURS else None


# what, how to get it, goal, unit, decimals
GOALS = [
    ("cold pull and unpack, wall ÷ floor", ratio_of("wall", FLOOR), 1.3, "×", 2),
    ("the same, CPU ÷ floor", ratio_of("cpu", FLOOR), 1.3, "×", 2),
    ("peak RSS, the largest process", memory("rss"), 32, "MB", 1),
    ("pull of what is there, over one HEAD", over_a_head, 10, "ms", 1),
    ("`rmi` of it, until it returns", remove, 50, "ms", 1),
    ("`images` with 500 images", listing, 20, "ms", 1),
]
PEERS = ("podman", "containerd")


def show(value, unit, decimals):
    return "–" if value is None else f"{value:.{decimals}f} {unit}"


def goals(data):
    for what, get, goal, unit, decimals in GOALS:
        values = {name: get(data, name) for name in (OURS, "berth, directories", *PEERS)}
        yield what, values, goal, unit, decimals, None if values[OURS] is None else values[OURS] <= goal


VERDICT = {True: "met", False: "**not met**", None: "not measured"}


def goals_table(data):
    lines = ["| | berth | goal | | berth, directories | podman | containerd |", "|---" * 7 + "|"]
    for what, v, goal, unit, decimals, met in goals(data):
        cells = [show(v[n], unit, decimals) for n in (OURS, "berth, directories", *PEERS)]
        lines.append(f"| {what} | {cells[0]} | ≤ {goal} {unit} | {VERDICT[met]} | {' | '.join(cells[1:])} |")
    return lines


def figures_table(data):
    lines = ["| | wall s: min, median, max | CPU s | ÷ floor: wall, CPU | RSS MB: largest, all | again ms | remove ms | load |",
             "|---" * 8 + "|"]
    for name, r in data["pulls"].items():
        walls = [t["wall"] for t in r["cold"]]
        if not walls:
            continue
        again, gone = median(data, name, "warm", "wall"), remove(data, name)
        lines.append(
            f"| {name} | {min(walls):.2f} **{statistics.median(walls):.2f}** {max(walls):.2f} | "
            f"{median(data, name, 'cold', 'cpu'):.2f} | {show(ratio_of('wall', FLOOR)(data, name), '×', 2)}, "
            f"{show(ratio_of('cpu', FLOOR)(data, name), '×', 2)} | {show(memory('rss')(data, name), '', 0)}, "
            f"{show(memory('sum')(data, name), '', 0)} | {show(again and again * 1000, '', 0)} | {show(gone, '', 0)} | "
            f"{median(data, name, 'cold', 'load'):.1f} |")
    return lines


def markdown(data):
    m, image = data["machine"], data["image"]
    w = data["warm"]
    lines = [
        "# Pulls", "",
        f"Written by `./bench/pull{' --quick' if data['quick'] else ''}`: an image of {image['layers']} layers, "
        f"{image['bytes'] / 1e6:.0f} MB compressed, from a registry on this machine; Linux {m['kernel']}, {m['cpus']} CPUs. "
        "Candidates take shuffled turns, each on a new ext4 with a journal, so that what else runs on the machine meets them "
        "all: compare the ratios.", "",
        "The floor is bench/pull-floor.c with two threads: sockets, digests, igzip, and the fewest system calls that make the "
        "files. \"synced\" is what makes it survive a power cut, as berth's result always does; \"tars\" keeps the layers as "
        "tars, which is what berth does by default for root: an EROFS index over each makes it a file system. CPU and memory "
        "are those of all processes, daemons included; \"all\" adds up the resident memory of those that run at one time, "
        "with what they share counted in each.", "",
        *goals_table(data), ""]
    if data["missing"]:
        lines += ["Not found, so not measured: " + "; ".join(data["missing"]) + ".", ""]
    lines += [f"One HEAD takes {statistics.median(w['head_ms']):.1f} ms, a `berth pull` of what is there "
              f"{statistics.median(w['pull_ms']):.1f} ms (least {min(w['pull_ms']):.1f}). These and `images` are measured at "
              "a priority above what else runs; the peers' and the turns below are not.", "",
              f"## Figures (medians of {len(next(iter(data['pulls'].values()))['cold'])} turns)", "", *figures_table(data), ""]
    return "\n".join(lines)


def summary(data):
    lines = []
    for what, v, goal, unit, decimals, met in goals(data):
        mark = {True: "met", False: "NOT MET", None: "not measured"}[met]
        values = "  ".join(f"{n} {show(v[n], unit, decimals)}" for n in (OURS, *PEERS))
        lines.append(f"{mark:13} {what}: {values} (goal ≤ {goal} {unit})")
    return "\n".join(lines)
