"""The fault matrix (matrix.toml) with the verdict of a run of its tests: what `make faults` prints.

A pytest plugin, `-p tests.faults.matrix`, that leaves out every test which belongs to no row. A row whose tests were
all skipped or left out is `not run`; a row without any test is `missing`, and fails the command.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest

Verdict = Literal["pass", "fail", "not run", "missing"]

_NAMED = re.compile(r"test((?:_[a-z]\d\d)+)(?=_|$)")
_PARAMETER = re.compile(r"\b[A-Z]\d\d\b")
_KIND = re.compile(r"[\[-](bubblewrap|unshare|docker|dash|busybox|none)\b")


def rows() -> dict[str, str]:
    """Return the fault of each id."""
    tables = tomllib.loads(Path(__file__).with_name("matrix.toml").read_text("utf-8"))
    return {row: title for table in tables.values() for row, title in table.items()}


def ids_of(nodeid: str) -> set[str]:
    """Return the rows that a test belongs to, by its name and its parameters."""
    name, _, parameters = nodeid.rpartition("::")[2].partition("[")
    named = _NAMED.match(name)
    of_name = {part.upper() for part in named[1].split("_")[1:]} if named else set[str]()
    return of_name | set(_PARAMETER.findall(parameters))


class Matrix:
    """Collects which tests there are and how each ended."""

    def __init__(self) -> None:
        self._tests: dict[str, set[str]] = defaultdict(set)
        self._ended: dict[str, str] = {}

    def add(self, nodeids: Iterable[str]) -> None:
        """Tests that there are, run or not."""
        for nodeid in nodeids:
            for row in ids_of(nodeid):
                self._tests[row].add(nodeid)

    def ended(self, nodeid: str, outcome: str) -> None:
        """A phase of a test ended; one failure decides."""
        if self._ended.get(nodeid) != "failed":
            self._ended[nodeid] = outcome

    def verdict(self, row: str) -> Verdict:
        """Say how the row's tests ended."""
        outcomes = {self._ended.get(nodeid, "skipped") for nodeid in self._tests[row]}
        if not outcomes:
            return "missing"
        if "failed" in outcomes:
            return "fail"
        return "pass" if "passed" in outcomes else "not run"

    def kinds(self, row: str) -> str:
        """Name the kinds of sandbox that the row's tests ran in; one in which a test failed has a mark."""
        ended: dict[str, set[str]] = defaultdict(set)
        for nodeid in self._tests[row]:
            if found := _KIND.search(nodeid):
                ended[found[1]].add(self._ended.get(nodeid, "skipped"))
        ran = {kind: outcomes for kind, outcomes in ended.items() if outcomes & {"passed", "failed"}}
        return " ".join(f"{kind}!" if "failed" in ran[kind] else kind for kind in sorted(ran))

    def missing(self) -> list[str]:
        """Return the rows without a test."""
        return [row for row in rows() if not self._tests[row]]

    def lines(self) -> list[str]:
        """Return the table."""
        titles = rows()
        width = max(map(len, titles.values()))
        cells = ((row, titles[row], self.verdict(row), len(self._tests[row]), self.kinds(row)) for row in titles)
        return [
            f"{row}  {title:{width}}  {verdict:8} {count:4}  {kinds}".rstrip()
            for row, title, verdict, count, kinds in cells
        ]


_MATRIX = pytest.StashKey[Matrix]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MATRIX] = Matrix()


def whole_matrix(config: pytest.Config) -> bool:
    """Whether this is `make faults`, where the long loops are run to their ends."""
    return config.pluginmanager.hasplugin(__name__)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if ids_of(item.nodeid)]
    config.stash[_MATRIX].add(item.nodeid for item in items)


class _Outcomes:
    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._matrix.ended(report.nodeid, report.outcome)


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(_Outcomes(session.config.stash[_MATRIX]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[_MATRIX].missing() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("fault matrix: id, fault, verdict, tests, kinds of sandbox")
    for line in config.stash[_MATRIX].lines():
        terminalreporter.write_line(line)
