"""What the checks share: which files there are, and how a check ends."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()


def files(*suffixes, under=""):
    """Files of the tree by suffix, as paths relative to ROOT; what git ignores is left out."""
    git = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    result = subprocess.run(git, capture_output=True, text=True)
    if result.returncode == 0:
        names = [n for n in result.stdout.split("\0") if n]
    else:
        names = [os.path.relpath(os.path.join(top, f), ROOT) for top, _, fs in os.walk(ROOT) for f in fs]
    found = [n for n in names if n.startswith(under) and (not suffixes or n.endswith(suffixes))]
    return [pathlib.Path(n) for n in sorted(set(found)) if (ROOT / n).is_file()]


def lines(path):
    return (ROOT / path).read_text(errors="replace").splitlines()


def shebang(path):
    with open(ROOT / path, "rb") as f:
        first = f.readline(200).decode(errors="replace")
    return first if first.startswith("#!") else ""


def end(problems, summary):
    """Prints what is wrong, one a line, and ends the program."""
    for problem in problems:
        print(problem)
    print(f"{pathlib.Path(sys.argv[0]).name}: {summary}, {len(problems)} problems")
    sys.exit(1 if problems else 0)
