"""A few hundred generated edits in a real sandbox, each with the right bytes and the right help."""

from __future__ import annotations

import pytest

from ostro.benchmarks.edit_benchmark import Result, run, table
from ostro.benchmarks.edit_cases import CASES_A_KIND, generate
from ostro.tools.protocol import ToolContext


@pytest.mark.parametrize(("every", "least"), [(4, 75), pytest.param(1, 300, marks=pytest.mark.slow)])
def test_edits_when_generated_by_the_hundred_then_each_ends_as_it_must(
    context: ToolContext, every: int, least: int
) -> None:
    results = run(context.sandbox, generate()[::every])
    assert len(results) > least
    assert [(result.case.kind, result.fault, result.text) for result in results if result.fault] == []


def test_table_when_results_are_given_then_counts_them_by_kind() -> None:
    cases = generate()[: CASES_A_KIND + 1]
    results = [Result(case, "", fault="lost" if number == 0 else "") for number, case in enumerate(cases)]
    assert [line.split() for line in table(results).splitlines()] == [
        ["exact", str(CASES_A_KIND - 1), "of", str(CASES_A_KIND)],
        ["exact,", "never", "viewed", "1", "of", "1"],
        ["all", str(CASES_A_KIND), "of", str(CASES_A_KIND + 1)],
    ]


def test_cases_when_generated_twice_then_are_the_same() -> None:
    assert generate() == generate()
    assert generate(1) != generate(2)
