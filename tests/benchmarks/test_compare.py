"""`compare` and `ostro compare` on run folders: pairs, flips, the test, what differs, what is left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.errors import UsageError
from ostro.benchmarks.compare import Comparison, compare
from ostro.benchmarks.results import InstanceResult
from ostro.benchmarks.store import Run, read_run
from ostro.cli.main import cli
from tests.benchmarks.made_runs import manifest, result, save


def run_of(statuses: Sequence[str], name: str = "a", **changes: Any) -> Run:
    """Return a run whose instances are named by their place."""
    results = tuple(result(f"i-{index:03}", status) for index, status in enumerate(statuses))
    return Run(Path(name), manifest(name, [one.instance_id for one in results], **changes), results)


def compared(first: Sequence[str], second: Sequence[str], **changes: Any) -> Comparison:
    return compare(run_of(first), run_of(second, "b", **changes))


def test_compare_of_two_runs_pairs_by_instance_and_lists_both_kinds_of_flips() -> None:
    told = compared(
        ["resolved", "resolved", "unresolved", "partial"], ["resolved", "unresolved", "resolved", "resolved"]
    )
    assert told.pairs == 4
    assert [flip.instance_id for flip in told.gained] == ["i-002", "i-003"]
    assert [(flip.instance_id, flip.second_status) for flip in told.lost] == [("i-001", "unresolved")]
    assert told.difference == pytest.approx(0.25)
    assert (told.first_rate.resolved, told.second_rate.resolved) == (2, 3)


def test_compare_of_an_instance_that_lacks_a_sample_leaves_it_out() -> None:
    ids, results = ["a", "b"], [result(name, sample=number) for name in ("a", "b") for number in (1, 2)]
    whole = Run(Path("a"), manifest("a", ids, samples=2), tuple(results))
    part = Run(Path("b"), manifest("b", ids, samples=2), tuple(results[:3]))
    told = compare(whole, part)
    assert told.pairs == 1
    assert [(one.instance_id, one.reason) for one in told.left_out] == [("b", "second: 1 of 2 samples have a result")]


def test_compare_of_six_gains_is_significant_and_of_five_never() -> None:
    base: list[str] = ["unresolved"] * 40
    six = compared(base, ["resolved"] * 6 + base[6:])
    assert six.p_value == pytest.approx(0.03125)
    assert six.verdict.startswith("The second run is better: +15.0 points, p = 0.0312")
    five = compared(base, ["resolved"] * 5 + base[5:])
    assert five.smallest_significant is None
    assert five.verdict.startswith("No difference could be shown: 5 instances flip")


def test_compare_of_a_difference_that_is_not_significant_says_what_would_be() -> None:
    first: list[str] = ["resolved"] * 5 + ["unresolved"] * 35
    second: list[str] = ["unresolved"] * 5 + ["resolved"] * 9 + ["unresolved"] * 26
    told = compared(first, second)
    assert told.p_value > 0.05
    assert told.smallest_significant == 10
    assert "a net gain of 10 instances would be needed" in told.verdict


def test_compare_of_a_small_but_significant_gain_warns_of_the_spread_between_repetitions() -> None:
    base: list[str] = ["unresolved"] * 500
    told = compared(base, ["resolved"] * 10 + base[10:])
    assert told.p_value < 0.05
    assert "up to 6 points apart" in told.verdict


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_compare_of_any_runs_mirrors_when_they_are_swapped(pairs: list[tuple[bool, bool]]) -> None:
    sides = [[("resolved" if one[side] else "unresolved") for one in pairs] for side in (0, 1)]
    there, back = compared(sides[0], sides[1]), compared(sides[1], sides[0])
    assert there.p_value == back.p_value
    assert there.difference == pytest.approx(-back.difference)
    assert [flip.instance_id for flip in there.gained] == [flip.instance_id for flip in back.lost]
    assert there.second_rate.resolved - there.first_rate.resolved == len(there.gained) - len(there.lost)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("infra", "second: infra (the engine went away)"),
        ("not_final", "second: not final"),
        ("quarantined", "second: quarantined (flaky: 2 of 5 runs of gold fail)"),
    ],
)
def test_compare_of_a_result_that_is_not_final_leaves_it_out_and_says_why(status: str, reason: str) -> None:
    told = compared(["resolved", "resolved"], ["resolved", status])
    assert told.pairs == 1
    assert [(one.instance_id, one.reason) for one in told.left_out] == [("i-001", reason)]
    assert any("1 instance is left out" in warning for warning in told.warnings)


def test_compare_of_runs_over_a_part_of_each_other_names_what_only_one_has() -> None:
    told = compare(run_of(["resolved"] * 3), run_of(["resolved"] * 2, "b"))
    assert told.pairs == 2
    assert [(one.instance_id, one.reason) for one in told.left_out] == [("i-002", "second: no result")]


def test_compare_of_several_samples_flips_where_the_share_differs() -> None:
    def sampled(name: str, resolved: Sequence[int]) -> Run:
        results: list[InstanceResult] = [
            result(f"i-{index}", "resolved" if sample <= count else "unresolved", sample=sample)
            for index, count in enumerate(resolved)
            for sample in (1, 2, 3, 4)
        ]
        return Run(
            Path(name), manifest(name, [f"i-{index}" for index in range(len(resolved))], samples=4), tuple(results)
        )

    told = compare(sampled("a", [4, 1, 2]), sampled("b", [4, 3, 1]))
    assert [(flip.instance_id, flip.first, flip.second) for flip in told.gained] == [("i-1", 0.25, 0.75)]
    assert [flip.instance_id for flip in told.lost] == ["i-2"]
    assert told.difference == pytest.approx(0.25 / 3)


def test_compare_of_many_small_gains_and_one_large_loss_names_no_better_run() -> None:
    def sampled(name: str, resolved: Sequence[int]) -> Run:
        results = [
            result(f"i-{index}", "resolved" if sample <= count else "unresolved", sample=sample)
            for index, count in enumerate(resolved)
            for sample in range(1, 11)
        ]
        ids = [f"i-{index}" for index in range(len(resolved))]
        return Run(Path(name), manifest(name, ids, samples=10), tuple(results))

    told = compare(sampled("a", [1] * 9 + [10]), sampled("b", [2] * 9 + [0]))
    assert told.p_value < 0.05
    assert told.difference < 0
    assert told.verdict.startswith("No difference is shown: most instances change one way")


def test_compare_of_costs_gives_totals_medians_and_the_median_change() -> None:
    cheap = Run(
        Path("a"),
        manifest("a", ["x", "y", "z"]),
        tuple(result(n, cost_usd=c) for n, c in zip("xyz", (1, 2, 3), strict=True)),
    )
    dear = Run(
        Path("b"),
        manifest("b", ["x", "y", "z"]),
        tuple(result(n, cost_usd=c) for n, c in zip("xyz", (1, 4, 9), strict=True)),
    )
    cost = next(one for one in compare(cheap, dear).measures if one.name == "cost_usd")
    assert (cost.first_total, cost.second_total, cost.first_median, cost.second_median) == (6, 14, 2, 4)
    assert cost.median_change == 2


def test_compare_of_one_change_does_not_warn_and_of_two_does() -> None:
    assert compared(["resolved"], ["resolved"], model="devstral-medium", price=(0.4, 2.1)).warnings == ()
    both = compared(["resolved"], ["resolved"], model="devstral-medium", prompt_sha256="00" * 32)
    assert both.warnings == ("More than one thing is compared at once: model, prompt_sha256.",)


def test_compare_under_other_prices_and_sandboxes_warns_of_both() -> None:
    told = compared(["resolved"], ["resolved"], price=(1.0, 2.0), sandbox="local")
    assert told.warnings == (
        "The prices differ though the model does not: the costs are not comparable.",
        "The conditions differ: sandbox.",
    )


def test_compare_of_images_looks_at_those_that_both_runs_have() -> None:
    first = run_of(["resolved"], images={"one": "sha256:a", "two": "sha256:b"})
    assert not compare(first, run_of(["resolved"], "b", images={"one": "sha256:a"})).differences
    told = compare(first, run_of(["resolved"], "b", images={"one": "sha256:c"}))
    assert [(one.key, one.role) for one in told.differences] == [("images", "condition")]


def test_compare_of_other_rows_is_refused_unless_it_is_asked_for() -> None:
    first, second = run_of(["resolved"]), run_of(["unresolved"], "b", dataset_sha256="00" * 32)
    with pytest.raises(UsageError, match="the rows differ") as caught:
        compare(first, second)
    assert "--across-datasets" in caught.value.mend
    told = compare(first, second, across_datasets=True)
    assert told.pairs == 1
    assert told.warnings[0].startswith("The runs are over different rows")


def test_compare_of_runs_without_a_common_result_is_refused() -> None:
    with pytest.raises(UsageError, match="no instance in common"):
        compare(run_of(["infra"]), run_of(["resolved"], "b"))


def folders(tmp_path: Path, **changes: Any) -> list[str]:
    first: list[str] = ["resolved", "unresolved", "resolved", "infra"]
    second: list[str] = ["resolved", "resolved", "unresolved", "resolved"]
    runs = {"a": (first, {}), "b": (second, changes)}
    paths: list[str] = []
    for name, (statuses, different) in runs.items():
        results = [result(f"i-{index}", status) for index, status in enumerate(statuses)]
        paths.append(str(save(tmp_path / name, results, **different)))
    return paths


def test_ostro_compare_as_text_shows_rates_flips_and_what_is_left_out(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["compare", *folders(tmp_path, model="devstral-medium")])
    assert done.exit_code == 0, done.output
    for told in (
        "3 instances in both",
        "difference  +0.0 points",
        "1 gained, 1 lost; McNemar's exact p = 1",
        "i-1  unresolved -> resolved",
        "i-2  resolved -> unresolved",
        "i-3  first: infra (the engine went away)",
        "model: devstral-small -> devstral-medium",
        "Warning: 1 instance is left out",
    ):
        assert told in done.output


def test_ostro_compare_of_two_settings_names_the_one_that_differs(tmp_path: Path) -> None:
    same = {f"a{number}": "x" * 20 for number in range(9)}
    for name, steps in (("a", 10), ("b", 20)):
        save(tmp_path / name, [result("i-1", "resolved")], config={**same, "steps": steps})
    done = CliRunner().invoke(cli, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert "  config.steps: 10 -> 20\n" in done.output
    assert "1 instance in both" in done.output


def test_ostro_compare_as_json_is_the_comparison(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["compare", *folders(tmp_path), "--output", "json"])
    told = Comparison.model_validate(json.loads(done.stdout))
    paths = [str(tmp_path / name) for name in "ab"]
    assert told == compare(*(read_run(Path(path)) for path in paths))


def test_ostro_compare_of_a_folder_that_is_no_evaluation_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["compare", str(tmp_path), str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == f"{tmp_path}: no manifest.json"


def test_ostro_compare_of_a_damaged_result_names_the_file(tmp_path: Path) -> None:
    paths = folders(tmp_path)
    (tmp_path / "a" / "instances" / "i-1" / "result.json").write_text('{"instance_id": 3}')
    done = CliRunner().invoke(cli, ["compare", *paths])
    assert isinstance(done.exception, UsageError)
    assert "i-1/result.json: instance_id" in str(done.exception)
