"""Parsers for the test runners of other languages: Go, Cargo, Maven, Jest, Vitest, TAP and node's own runner."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping

from ostro.benchmarks.statuses import Statuses, TestStatus

_GO = re.compile(r"--- (PASS|FAIL|SKIP): (.+) \((.+)\)$")
_CARGO = re.compile(r"test\s+(\S+)\s+\.\.\.\s+(\w+)$")
_MAVEN_TEST = re.compile(r".*-Dtest=(\S+).*$")
_MAVEN_RESULT = re.compile(r".*BUILD (SUCCESS|FAILURE)$")
_JEST = re.compile(r"(✓|✕|○)\s(.+?)(?:\s\((\d+\s*m?s)\))?$")
_JEST_JSON = re.compile(r"\[(PASSED|FAILED)\]\s(.+)$")
_VITEST = re.compile(r"(✓|\u00d7|↓)\s(.+?)(?:\s(\d+\s*m?s?|\[skipped\]))?$")
_TAP = re.compile(r"(ok|not ok) (\d+) (.+)$")
_NODE = re.compile(r"(ok|not ok) \d+ - (.+?)(?: # (SKIP|TODO).*)?$")

_WORDS: Mapping[str, TestStatus] = {
    "PASS": TestStatus.PASSED,
    "FAIL": TestStatus.FAILED,
    "SKIP": TestStatus.SKIPPED,
    "ok": TestStatus.PASSED,
    "not ok": TestStatus.FAILED,
    "FAILED": TestStatus.FAILED,
    "PASSED": TestStatus.PASSED,
    "SUCCESS": TestStatus.PASSED,
    "FAILURE": TestStatus.FAILED,
    "✓": TestStatus.PASSED,
    "✕": TestStatus.FAILED,
    "\u00d7": TestStatus.FAILED,
    "○": TestStatus.SKIPPED,
    "↓": TestStatus.SKIPPED,
}


def parse_go(log: str) -> Statuses:
    """Read the `--- PASS: Name (0.00s)` lines of `go test -v`, those of subtests included."""
    return {match[2]: _WORDS[match[1]] for line in log.split("\n") if (match := _GO.match(line.strip()))}


def parse_cargo(log: str) -> Statuses:
    """Read the `test name ... ok` lines of `cargo test`; ignored tests have no status."""
    found = (_CARGO.match(line.strip()) for line in log.split("\n"))
    return {match[1]: _WORDS[match[2]] for match in found if match and match[2] in ("ok", "FAILED")}


def parse_maven(log: str) -> Statuses:
    """Pair each `-Dtest=Name` of a traced command with the next `BUILD SUCCESS` or `BUILD FAILURE`, in order.

    Maven does not name the tests that passed, so rows run each in a command of its own under `set -x`.
    """
    statuses: Statuses = {}
    waiting: deque[str] = deque()
    early: deque[TestStatus] = deque()
    for line in map(str.strip, log.split("\n")):
        if match := _MAVEN_TEST.match(line):
            waiting.append(match[1])
        if match := _MAVEN_RESULT.match(line):
            if waiting:
                statuses[waiting.popleft()] = _WORDS[match[1]]
            else:
                early.append(_WORDS[match[1]])
    statuses.update(zip(waiting, early, strict=False))
    return statuses


def parse_jest(log: str) -> Statuses:
    """Read the ticks and crosses of `jest --verbose`; a test is its own title, without those around it."""
    found = (_JEST.match(line.strip()) for line in log.split("\n"))
    return {match[2].strip(): _WORDS[match[1]] for match in found if match}


def parse_jest_json(log: str) -> Statuses:
    """Read `[PASSED] full title` lines, which a row makes of `jest --json`."""
    return {match[2]: _WORDS[match[1]] for line in log.split("\n") if (match := _JEST_JSON.match(line.strip()))}


def parse_vitest(log: str) -> Statuses:
    """Read the lines of `vitest --reporter=verbose`."""
    return {match[2]: _WORDS[match[1]] for line in log.split("\n") if (match := _VITEST.match(line.strip()))}


def parse_tap(log: str) -> Statuses:
    """Read TAP as swebench does: the name is all after the number, a leading `- ` included."""
    return {match[3]: _WORDS[match[1]] for line in log.split("\n") if (match := _TAP.match(line.strip()))}


def parse_node(log: str) -> Statuses:
    """Read the TAP of `node --test`: names without the dash, directives honoured. No parser of swebench's."""
    statuses: Statuses = {}
    for line in log.split("\n"):
        if match := _NODE.match(line.strip()):
            statuses[match[2]] = TestStatus.SKIPPED if match[3] else _WORDS[match[1]]
    return statuses
