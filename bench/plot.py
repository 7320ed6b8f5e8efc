"""Draws the results as one SVG that follows the reader's light or dark scheme."""

from report import FLOOR, OURS, candidates, figure

WIDTH, ROW, BAR, LABEL, VALUE = 860, 22, 14, 104, 70
GAP, TITLE = 26, 40

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px } .note { fill: #656d76; font-size: 11px }
  .end { text-anchor: end } .bold { font-weight: 600 }
  .ours { fill: #1a7f64 } .peer { fill: #afb8c1 } .floor { fill: #d8dee4 } .dot { fill: #1f2328; opacity: .28 }
  .goal { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 } .goaltext { fill: #cf222e; font-size: 11px }
  .axis { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #8d96a0 }
    .ours { fill: #3fb68b } .peer { fill: #57606a } .floor { fill: #32383f } .dot { fill: #e6edf3; opacity: .3 }
    .goal { stroke: #ff7b72 } .goaltext { fill: #ff7b72 } .axis { stroke: #3d444d }
  }
"""


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;")


def kind(name):
    return "ours" if name == OURS else "floor" if name.startswith("floor") else "peer"


class Panel:
    """Horizontal bars under a title: [(name, value, [single turns])], a goal line, a unit."""

    def __init__(self, title, note, rows, unit, goal=None, goal_text="goal"):
        self.title, self.note, self.unit = title, note, unit
        self.rows = [r for r in rows if r[1] is not None]
        self.goal, self.goal_text = goal, goal_text

    def height(self):
        return TITLE + ROW * len(self.rows) + GAP

    def top(self):
        """The end of the axis: the largest bar, and the turns that aren't far outliers."""
        seen = [v for _, value, turns in self.rows for v in [value, *sorted(turns)[: max(1, len(turns) * 9 // 10)]]]
        return max([*seen, self.goal or 0]) or 1

    def draw(self, x, y, width):
        left, room = x + LABEL, width - LABEL - VALUE
        scale = room / self.top()
        out = [f'<text class="title" x="{x}" y="{y + 14}">{escape(self.title)}</text>',
               f'<text class="note" x="{x}" y="{y + 29}">{escape(self.note)}</text>']
        y += TITLE
        for i, (name, value, turns) in enumerate(self.rows):
            out += self.row(name, value, turns, x, y + i * ROW, left, scale, room)
        bottom = y + ROW * len(self.rows)
        out.append(f'<line class="axis" x1="{left}" x2="{left}" y1="{y - 3}" y2="{bottom}"/>')
        if self.goal:
            at = left + self.goal * scale
            out.append(f'<line class="goal" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 4}" y2="{bottom}"/>')
            out.append(f'<text class="goaltext" x="{at:.1f}" y="{bottom + 12}" text-anchor="middle">'
                       f'{escape(self.goal_text)}</text>')
        return out

    def row(self, name, value, turns, x, y, left, scale, room):
        bold = " bold" if name == OURS else ""
        end = left + value * scale
        shown = [t for t in turns if t * scale <= room]
        dots = [f'<circle class="dot" cx="{left + t * scale:.1f}" cy="{y + 4 + (i * 7) % 11}" r="1.3"/>'
                for i, t in enumerate(shown)]
        number = f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
        return [f'<text class="end{bold}" x="{left - 8}" y="{y + 12}">{escape(name)}</text>',
                f'<rect class="{kind(name)}" x="{left}" y="{y + 1}" width="{max(end - left, 1):.1f}" '
                f'height="{BAR}" rx="2"/>', *dots,
                f'<text class="end{bold}" x="{x + LABEL + room + VALUE}" y="{y + 12}">{number} {self.unit}</text>']


def bars(results, key, field, scale=1.0, dots=False, only=None):
    rows = []
    for name, c in candidates(results[key]).items():
        value = figure(results, key, name, field)
        if value is not None and (only is None or name in only):
            rows.append((name, value / scale, [w / scale for w in c["walls"]] if dots else []))
    return rows


def times(value, factor):
    return None if value is None else value * factor


def panels(results):
    run, peers = "run", ("berth-oci", "crun", "runc")
    floor_wall, floor_cpu = (figure(results, run, FLOOR, f) for f in ("wall_ms", "cpu_ms"))
    limits = [(n, v and v / 1024, []) for n, v in results["limit"].items()]
    return [
        Panel("run true: wall", "median of the turns; a dot is one turn", bars(results, run, "wall_ms", dots=True),
              "ms", times(floor_wall, 1.5), "1.5 × floor -c 3"),
        Panel("run true: CPU", "user + system, all processes", bars(results, run, "cpu_ms"), "ms",
              times(floor_cpu, 1.5), "1.5 × floor -c 3"),
        Panel("200 at once: wall", "until the last has ended", bars(results, "at_once", "wall_ms", 1000, True), "s",
              times(figure(results, "at_once", "crun", "wall_ms"), 0.5 / 1000), "half of crun"),
        Panel("run true: peak RSS", "the largest process", bars(results, run, "rss_kib", 1024), "MiB", 2, "2 MiB"),
        Panel("exec true: wall", "in a running container", bars(results, "exec", "wall_ms", dots=True), "ms",
              times(figure(results, "exec", "crun", "wall_ms"), 0.5), "half of crun"),
        Panel("state: CPU", "of a running container", bars(results, "state", "cpu_ms"), "ms", 1.5, "1.5 ms"),
        Panel("smallest memory limit", "that starts true, five times in a row", limits, "KiB", 256, "256 KiB"),
        Panel("size of the program", "stripped; berth-oci is static",
              [(n, s["bytes"] / 1e6, []) for n, s in results["size"].items() if n in peers], "MB", 1.5, "1.5 MB"),
    ]


def svg(data):
    """Two columns of panels, filled row by row."""
    todo, body, y = panels(data["results"]), [], 16
    column = (WIDTH - 60) // 2
    for pair in (todo[i:i + 2] for i in range(0, len(todo), 2)):
        for i, panel in enumerate(pair):
            body += panel.draw(20 + i * (column + 20), y, column)
        y += max(p.height() for p in pair) + 8
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
                      f'viewBox="0 0 {WIDTH} {y}" role="img" aria-label="berth-oci, crun, runc and the floor">',
                      f"<style>{STYLE}</style>", *body, "</svg>", ""])
