"""A pytest plugin that prints "ok NAME", "FAIL NAME" with the reasons, and "SKIP NAME: REASON".

One line a test, as it happens: when a guest dies, what it has said until then is on the host. What failed,
and where, is in the FAIL line itself, which is all that a summary keeps.
"""

import os
import re

VARIANT = os.environ.get("BERTH_VM_VARIANT", "")
LOCATION = re.compile(r"^(?:\S*/)?(\S+\.py:\d+): ", re.M)


def one_line(text, cap=500):
    """Both ends of a long one: an assertion's beginning, and what a program said at last."""
    text = " ".join(text.split())
    return text if len(text) <= cap else f"{text[:cap // 2]} ... {text[-cap // 2:]}"


def reason(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    where = " > ".join(LOCATION.findall(report.longreprtext))
    return f"{where}: {one_line(crash.message if crash else report.longreprtext)}"


def pytest_addoption(parser):
    parser.addoption("--repeat", type=int, default=1, help="run each test so many times, for what fails rarely")


def pytest_generate_tests(metafunc):
    count = metafunc.config.getoption("--repeat")
    if count > 1:
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(count))


def pytest_runtest_logreport(report):
    name = re.sub(r"^[^:]*/", "", report.nodeid).replace(".py::", ": ") + f" ({VARIANT})"
    took = f" # {report.duration:.1f} s"
    if report.skipped:
        why = getattr(report, "wasxfail", None) or report.longrepr[2]
        print(f"SKIP {name}: {why.removeprefix('Skipped: ')}", flush=True)
    elif report.failed:
        text = report.longreprtext.rstrip().replace("\n", "\n# ")
        print(f"FAIL {name}: in {report.when}, {reason(report)}{took}\n# {text}", flush=True)
    elif report.when == "call":
        print(f"ok {name}{took}", flush=True)


def pytest_collectreport(report):
    if report.failed:
        text = report.longreprtext.replace("\n", "\n# ")
        print(f"FAIL {report.nodeid}: cannot be loaded: {one_line(report.longreprtext)}\n# {text}", flush=True)
