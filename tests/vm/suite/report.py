"""A pytest plugin that prints "ok NAME", "FAIL NAME" with the reasons, and "SKIP NAME: REASON".

One line a test, as it happens: when a guest dies, what it has said until then is on the host.
"""

import os
import re

VARIANT = os.environ.get("BERTH_VM_VARIANT", "")


def pytest_runtest_logreport(report):
    name = re.sub(r"^[^:]*/", "", report.nodeid).replace(".py::", ": ") + f" ({VARIANT})"
    took = f" # {report.duration:.1f} s"
    if report.skipped:
        why = getattr(report, "wasxfail", None) or report.longrepr[2]
        print(f"SKIP {name}: {why.removeprefix('Skipped: ')}", flush=True)
    elif report.failed:
        text = report.longreprtext.rstrip().replace("\n", "\n# ")
        print(f"FAIL {name}: in {report.when}{took}\n# {text}", flush=True)
    elif report.when == "call":
        print(f"ok {name}{took}", flush=True)


def pytest_collectreport(report):
    if report.failed:
        text = report.longreprtext.replace("\n", "\n# ")
        print(f"FAIL {report.nodeid}: cannot be loaded\n# {text}", flush=True)
