#!/usr/bin/env python3
"""Run the tests in several processes: a part each, longest first, one process more than there are processors.

    .venv/bin/python .ci/parts.py [--once-more] PYTEST_ARGUMENTS...

Where one of the arguments is a path, one process runs what it names. With `--once-more` the tests that failed, or a
part that crashed, are run again, alone: kills and time limits race with whatever else the machine does. Both results
are shown.

Many tests wait for a sandbox, a container or a clock, so one more than the processors keeps those busy. pytest-xdist
does not serve here: tests of one folder share sandboxes, and some look for what others of their folder left running.
What a part printed is shown when it has ended; one that does not end is ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("forge", "faults", "sandbox", "attacks", "agent", "benchmarks", "sandbox/test_image.py", "cli")
"""Below tests/, by how long they take; one more holds the rest. Making an image takes minutes, by itself."""

ONCE_MORE = "--once-more"
PASSED, FAILED, INTERRUPTED, NOTHING_SELECTED = 0, 1, 2, 5

PART_LIMIT_S, DUMP_S = 1200.0, 10.0
"""A test has a limit of its own (pyproject.toml); this one is for a part that stands still where no test runs."""


def main(arguments: list[str]) -> int:
    """Return 0 when every part passed, else the exit code of one that did not."""
    os.chdir(ROOT)
    once_more, arguments = ONCE_MORE in arguments, [one for one in arguments if one != ONCE_MORE]
    if any(one.startswith("tests") and Path(one.partition("::")[0]).exists() for one in arguments):
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode
    parts = {part: [f"tests/{part}", *others(f"{part}/")] for part in PARTS} | {"rest": others("")}
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as workers:
        running = {name: workers.submit(run, name, [*arguments, *paths]) for name, paths in parts.items()}
        try:
            codes = {name: one.result() for name, one in running.items()}
        except KeyboardInterrupt:
            workers.shutdown(cancel_futures=True)
            return INTERRUPTED
    bad = {name: code for name, code in codes.items() if code not in (PASSED, NOTHING_SELECTED)}
    for name, code in bad.copy().items() if once_more else ():
        failed = ["--last-failed"] if code == FAILED else []
        bad[name] = run(name, [*arguments, *parts[name], *failed], title=f"{name}, once more")
    return next(filter(None, bad.values()), PASSED)


def others(below: str) -> list[str]:
    """Return the options that leave out the parts below a part."""
    return [f"--ignore=tests/{part}" for part in PARTS if part.startswith(below)]


def run(part: str, arguments: list[str], title: str = "") -> int:
    """Run one part, print what it said, return its exit code."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir=.pytest_cache/{part}", *arguments]
    with tempfile.TemporaryFile() as said:  # no pipe: what a test left running would hold it open
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            code = process.wait(PART_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # pytest's faulthandler then writes where each thread stands
            time.sleep(DUMP_S)
            process.kill()
            code = process.wait()
        said.seek(0)
        output = b"" if code == NOTHING_SELECTED else said.read()
    sys.stdout.buffer.write(f"=== {title or part} ({time.monotonic() - started:.0f} s)\n".encode() + output)
    sys.stdout.buffer.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
