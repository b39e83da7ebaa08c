"""The fault matrix itself: every row has a test, and the table tells what became of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.faults.matrix import Matrix, ids_of, rows

TESTS = Path(__file__).parent.parent
_TEST = re.compile(r"^(?:def (test_\w+)| +(?:pytest\.param\()?.*\"([A-Z]\d\d)\")", re.MULTILINE)


def test_every_row_of_the_matrix_has_a_test() -> None:
    """By the source, without importing anything: names of tests, and ids among their parameters."""
    matrix = Matrix()
    for path in TESTS.rglob("test_*.py"):
        for name, parameter in _TEST.findall(path.read_text("utf-8")):
            matrix.add([f"{path.name}::{name}" if name else f"{path.name}::test[{parameter}]"])
    assert matrix.missing() == []


def test_every_test_with_an_id_belongs_to_a_row() -> None:
    known = set(rows())
    for path in TESTS.rglob("test_*.py"):
        for name, _ in _TEST.findall(path.read_text("utf-8")):
            assert ids_of(f"{path.name}::{name}") <= known, f"{path}: {name}"


def test_matrix_when_printed_then_each_verdict_and_a_missing_row_fails(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_a01_x() -> None: pass\n"
        "def test_a02_a03_x() -> None: assert False\n"
        "@pytest.mark.skip\n"
        "def test_a04_x() -> None: pass\n"
        "@pytest.mark.parametrize('row', ['A05', 'A06'])\n"
        "def test_x(row: str) -> None: assert row == 'A05'\n"
        "@pytest.fixture\n"
        "def broken() -> None: raise OSError\n"
        "def test_a07_x(broken: None) -> None: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.faults.matrix", "-c", os.devnull, str(tmp_path)],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    table = {line[:3]: line.split()[-2:] for line in done.stdout.splitlines() if re.match(r"[A-Z]\d\d  ", line)}
    assert list(table) == list(rows())
    verdicts = {row: " ".join(table[row]) for row in ("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08")}
    assert verdicts == {
        "A01": "pass 1",
        "A02": "fail 1",
        "A03": "fail 1",
        "A04": "run 1",
        "A05": "pass 1",
        "A06": "fail 1",
        "A07": "fail 1",
        "A08": "missing 0",
    }
    assert done.returncode == 1


def test_kinds_when_tests_ran_in_sandboxes_then_named_and_a_failure_marked() -> None:
    matrix = Matrix()
    ended = {"test_x01_a[docker-x]": "passed", "test_x01_b[docker]": "failed", "test_x01_a[bubblewrap]": "passed",
             "test_x01_a[dash]": "skipped"}  # fmt: skip
    matrix.add(f"t.py::{name}" for name in ended)
    for name, outcome in ended.items():
        matrix.ended(f"t.py::{name}", outcome)
    assert matrix.kinds("X01") == "bubblewrap docker!"
    assert matrix.kinds("X02") == ""
