"""The red team: every forged patch is graded for real, and none counts as resolved."""

from pathlib import Path

import pytest

from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.forgeries import FORGERIES
from ostro.benchmarks.forgery import Forgery
from ostro.benchmarks.grading import grade
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import SUITE, read_instances
from ostro.benchmarks.recipe import Environment
from ostro.benchmarks.red_team import Judged, base_files, judge_forgery, table

IN_ANY_TIER = 3
"""Every third forgery is tried in every tier, all of them in the slow one."""

Task = tuple[Instance, Environment]


@pytest.fixture(scope="module")
def tasks(instances_home: Path) -> dict[str, Task]:
    found = {one.instance_id: one for one in read_instances(SUITE)}
    names = dict.fromkeys(forgery.task for forgery in FORGERIES)
    return {name: (found[name], build_environment(found[name], "local", instances_home)) for name in names}


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param(one, id=one.name, marks=[] if number % IN_ANY_TIER == 0 else [pytest.mark.slow])
        for number, one in enumerate(FORGERIES)
    ],
)
def test_grade_when_the_evidence_is_forged_then_it_does_not_count(forgery: Forgery, tasks: dict[str, Task]) -> None:
    instance, environment = tasks[forgery.task]
    report = judge_forgery(forgery, instance, environment)
    assert not Judged(forgery, report).got_through
    if report.verdict == "resolved":
        assert report.findings


@pytest.mark.parametrize("name", ["ostro__ledger", "ostro__slots"])
def test_grade_when_the_patch_is_gold_then_it_is_resolved_and_consistent(
    name: str, tasks: dict[str, Task], tmp_path: Path
) -> None:
    instance, environment = tasks[name]
    report = grade(instance, environment, instance.patch.encode(), tmp_path)
    assert (report.verdict, report.consistency, report.findings) == ("resolved", "consistent", ())


def test_forgeries_when_made_then_each_leaves_the_bug_in_place() -> None:
    suite = {one.instance_id: one for one in read_instances(SUITE)}
    names = [one.name for one in FORGERIES]
    assert len(set(names)) == len(names) >= 25
    for forgery in FORGERIES:
        files = base_files(suite[forgery.task])
        kept = [path for path in forgery.changes if path in files]
        removed = [line for line in forgery.patch(files).splitlines() if line.startswith("-") and line[:4] != "--- "]
        assert removed == [], kept


def test_table_when_one_gets_through_then_the_last_line_says_so(tasks: dict[str, Task]) -> None:
    from ostro.benchmarks.results import GradeReport

    good = Judged(FORGERIES[0], GradeReport(verdict="unresolved", consistency="inconsistent", findings=("a | b",)))
    bad = Judged(FORGERIES[1], GradeReport(verdict="resolved", consistency="consistent"), official="resolved")
    lines = table([good, bad]).splitlines()
    assert "a \\| b" in lines[2]
    assert lines[-1] == "Of 2 forgeries 1 get past swebench's rules, 1 past ours."
