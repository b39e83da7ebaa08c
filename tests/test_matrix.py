"""The table of the fault matrix: which test counts for which row and kind, and when a row holds."""

from __future__ import annotations

from tests.matrix import lines, verdicts

ENDED = [
    ("tests/a.py::test_x01_bomb_when_run_is_contained[bubblewrap]", "passed"),
    ("tests/a.py::test_x01_bomb_when_run_is_contained[docker-sleep]", "failed"),
    ("tests/a.py::test_x01_bomb_when_other_is_contained[docker]", "passed"),
    ("tests/a.py::test_x01_bomb_when_run_is_contained[unshare]", "skipped"),
    ("tests/b.py::test_p02_boundary_when_killed_then_declared", "passed"),
    ("tests/b.py::test_p02_boundary_when_late_then_declared", "skipped"),
    ("tests/b.py::test_something_else", "failed"),
]


def test_verdicts_when_tests_ended_then_by_row_and_kind() -> None:
    assert verdicts(ENDED) == {
        "P02": {"any": "holds"},
        "X01": {"bubblewrap": "holds", "docker": "FAILS", "unshare": "not here"},
    }


def test_table_when_printed_then_a_line_for_each_row() -> None:
    text = list(lines(ENDED))
    assert text[0].split() == ["row", "any", "bubblewrap", "unshare", "docker"]
    assert [line.split()[0] for line in text[1:]] == ["P02", "X01"]
