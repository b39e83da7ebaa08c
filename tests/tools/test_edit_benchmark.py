"""A few hundred generated edits in a real sandbox, each with the right bytes and the right help."""

from __future__ import annotations

from ostro.benchmarks.edit_benchmark import CASES_A_KIND, generate, run, table
from ostro.tools.protocol import ToolContext


def test_edits_when_generated_by_the_hundred_then_each_ends_as_it_must(context: ToolContext) -> None:
    results = run(context.sandbox, generate())
    assert len(results) > 350
    assert [(result.case.kind, result.fault, result.text) for result in results if result.fault] == []


def test_table_when_results_are_given_then_counts_them_by_kind(context: ToolContext) -> None:
    lines = table(run(context.sandbox, generate()[: 2 * CASES_A_KIND])).splitlines()
    assert [line.split() for line in lines] == [
        ["exact", str(CASES_A_KIND), "of", str(CASES_A_KIND)],
        ["exact,", "never", "viewed", str(CASES_A_KIND), "of", str(CASES_A_KIND)],
        ["all", str(2 * CASES_A_KIND), "of", str(2 * CASES_A_KIND)],
    ]


def test_cases_when_generated_twice_then_are_the_same() -> None:
    assert generate() == generate()
    assert generate(1) != generate(2)
