"""Take the pictures of the report page from a run folder: docs/report-*.png, each below 200 kB.

Usage: PYTHONPATH=. python docs/take_screenshots.py RUN; needs Chromium. What is shown is the run as it is.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ostro.benchmarks.html_report import write_page
from ostro.benchmarks.store import Run, read_run
from tests.browser import Page, browser

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 1280, 900
MAX_BYTES = 200_000


def take(run: Run, page: Page) -> list[Path]:
    """Write the pictures and return their paths."""
    url = write_page(run).as_uri()
    shown = next((result for result in run.results if result.resolved), run.results[0])
    name = shown.instance_id if run.manifest.samples == 1 else f"{shown.instance_id}@{shown.sample}"
    pictures = {
        "report-overview.png": ("", False, None),
        "report-overview-dark.png": ("", True, None),
        "report-instance.png": (f"#/instance/{name}", False, None),
        "report-steps.png": (f"#/instance/{name}", False, "#steps"),
    }
    for file, (route, dark, part) in pictures.items():
        page.resize(WIDTH, HEIGHT, dark=dark)
        page.open(url + route)
        if part is not None:
            page.evaluate(f"document.querySelector({json.dumps(part)}).scrollIntoView()")
        page.screenshot(DOCS / file)
    return [DOCS / file for file in pictures]


def main() -> int:
    """Take them all; return the exit code."""
    run = read_run(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="ostro-") as profile, browser(Path(profile)) as page:
        paths = take(run, page)
    large = [path.name for path in paths if path.stat().st_size > MAX_BYTES]
    if large:
        sys.stderr.write(f"larger than {MAX_BYTES} bytes: {', '.join(large)}\n")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
