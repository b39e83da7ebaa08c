"""The fault matrix as a table: `pytest --matrix tests/faults tests/attacks` ends with a verdict for each row.

A row is named by its tests, `test_x10_...`; a column is the kind of sandbox that a test ran in, `any` where it chose
none itself. A row holds where all its tests passed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

COLUMNS = ("any", "bubblewrap", "unshare", "docker", "dash", "busybox", "none")
_ROW = re.compile(r"::test_([a-z]\d\d)_")
_KIND = re.compile(rf"[\[-]({'|'.join(COLUMNS[1:])})[\]-]")

Outcomes = Iterable[tuple[str, str]]
"""Pairs of a test's id and how it ended: passed, failed, error or skipped."""


def verdicts(outcomes: Outcomes) -> dict[str, dict[str, str]]:
    """Return row -> column -> verdict; a row that no test names is not there."""
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for test, outcome in outcomes:
        if row := _ROW.search(test):
            found = _KIND.search(test)
            seen[row[1].upper(), found[1] if found else "any"].add(outcome)
    table: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for (name, kind), ended in sorted(seen.items()):
        table[name][kind] = "FAILS" if ended & {"failed", "error"} else "holds" if "passed" in ended else "not here"
    return dict(table)


def lines(outcomes: Outcomes) -> Iterator[str]:
    """Yield the table as text."""
    table = verdicts(outcomes)
    columns = [name for name in COLUMNS if any(name in cells for cells in table.values())]
    yield "row  " + "".join(f"{name:<12}" for name in columns)
    for name, cells in table.items():
        yield f"{name:<5}" + "".join(f"{cells.get(column, '-'):<12}" for column in columns)
