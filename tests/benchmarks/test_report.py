"""Summary, results.json, Markdown, JUnit XML, predictions, and `ostro report` on whole run folders."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.errors import StorageError
from ostro.agent.outcome import Tokens
from ostro.benchmarks.junit import junit
from ostro.benchmarks.report import facts, headline, markdown, predictions, results_json, write_report
from ostro.benchmarks.results import InstanceResult, Status
from ostro.benchmarks.score import score_of
from ostro.benchmarks.store import PATCH, Run, instance_folder, read_run, write_text
from ostro.benchmarks.summary import summarise
from ostro.cli.main import cli
from tests.benchmarks.made_runs import make_run, manifest, result, save

STATUSES: tuple[Status, ...] = (
    "resolved", "partial", "unresolved", "patch_failed", "empty_patch", "test_timeout", "inconsistent", "suspect",
    "infra", "not_final", "quarantined",
)  # fmt: skip

OFFICIAL_KEYS = {
    # swebench 5.0.2, harness/reporting.py, make_run_report without a Docker client
    "total_instances", "submitted_instances", "completed_instances", "resolved_instances", "unresolved_instances",
    "infra_failure_instances", "ambiguous_failure_instances", "empty_patch_instances", "error_instances",
    "completed_ids", "incomplete_ids", "empty_patch_ids", "submitted_ids", "resolved_ids", "unresolved_ids",
    "infra_failure_ids", "ambiguous_failure_ids", "failure_reasons", "error_ids", "schema_version",
}  # fmt: skip


def run_of(*results: InstanceResult, ids: tuple[str, ...] = (), **changes: Any) -> Run:
    names = ids or tuple(dict.fromkeys(one.instance_id for one in results))
    return Run(Path("run"), manifest("run", names, **changes), results)


def one_of_each() -> Run:
    return run_of(*(result(status, status) for status in STATUSES), ids=(*STATUSES, "missing"))


def test_result_of_each_status_counts_as_it() -> None:
    assert [one.status for one in one_of_each().results] == list(STATUSES)


def test_results_json_of_one_of_each_status_has_the_official_keys_and_meanings() -> None:
    told: dict[str, Any] = results_json(one_of_each())
    assert set(told) >= OFFICIAL_KEYS
    assert told["schema_version"] == 2
    assert told["total_instances"] == 12
    assert told["resolved_ids"] == ["resolved"]
    assert told["unresolved_ids"] == ["inconsistent", "partial", "suspect", "unresolved"]
    assert told["completed_ids"] == sorted([*told["resolved_ids"], *told["unresolved_ids"]])
    assert told["empty_patch_ids"] == ["empty_patch"]
    assert told["error_ids"] == ["infra", "patch_failed", "test_timeout"]
    assert told["infra_failure_ids"] == ["infra"]
    assert told["failure_reasons"] == {"infra": "the engine went away"}
    assert told["incomplete_ids"] == ["missing", "not_final", "quarantined"]
    assert told["quarantined"] == {"quarantined": "flaky: 2 of 5 runs of gold fail"}
    for name in ("submitted", "completed", "resolved", "unresolved", "empty_patch", "error", "infra_failure"):
        assert told[f"{name}_instances"] == len(told[f"{name}_ids"])


@given(st.lists(st.sampled_from(STATUSES), max_size=30), st.integers(0, 5))
def test_results_json_of_any_run_puts_each_instance_into_one_list(statuses: list[Status], missing: int) -> None:
    results = [result(f"i-{index}", status) for index, status in enumerate(statuses)]
    ids = (*(one.instance_id for one in results), *(f"m-{index}" for index in range(missing)))
    told: dict[str, Any] = results_json(run_of(*results, ids=ids))
    parts = ("resolved_ids", "unresolved_ids", "empty_patch_ids", "error_ids", "incomplete_ids")
    assert sorted(name for part in parts for name in told[part]) == sorted(ids)


def test_results_json_of_several_samples_has_the_official_report_of_each() -> None:
    run = run_of(result("x"), result("x", "unresolved", sample=2), samples=2)
    told: dict[str, Any] = results_json(run)
    assert told["resolved_ids"] == ["x"]
    assert [one["resolved_ids"] for one in told["samples"]] == [["x"], []]


def test_summary_of_a_whole_run_is_final_and_counts_every_instance_asked_for() -> None:
    run = run_of(result("a"), result("b", "unresolved"), result("c", "empty_patch"), result("d"))
    told = summarise(run.manifest, run.results)
    assert told.final
    assert (told.rate.resolved, told.rate.instances, told.rate.share) == (2, 4, 0.5)
    assert told.statuses == {"resolved": 2, "empty_patch": 1, "unresolved": 1}
    assert told.endings == {"submitted": 4}
    assert headline(told) == "Resolved 2 of 4 (50.0%, 95 % interval 15.0% to 85.0%)."


@pytest.mark.parametrize("status", ["infra", "not_final"])
def test_summary_with_a_pending_result_is_not_final_and_gives_bounds(status: Status) -> None:
    run = run_of(result("a"), result("b", "unresolved"), result("c", status), ids=("a", "b", "c", "d"))
    told = summarise(run.manifest, run.results)
    assert not told.final
    assert (told.rate.share, told.at_most.share) == (0.25, 0.75)
    assert headline(told).startswith("Not final: ")
    assert headline(told).endswith("the rate will be between 25.0% and 75.0%.")


def test_summary_with_a_quarantined_instance_gives_the_rate_with_and_without_it() -> None:
    run = run_of(result("a"), result("b", "unresolved"), result("c", "quarantined"))
    told = summarise(run.manifest, run.results)
    assert told.final
    assert told.rate.instances == 3
    assert told.unflagged is not None
    assert (told.unflagged.instances, told.unflagged.share) == (2, 0.5)
    assert any(line.startswith("Without the 1 instances under quarantine: 1 of 2") for line in facts(run, told))


def test_summary_of_several_samples_estimates_pass_at_k_over_all_instances() -> None:
    results = [result("x", "resolved" if sample == 1 else "unresolved", sample=sample) for sample in (1, 2, 3, 4)]
    results += [result("y", "unresolved", sample=sample) for sample in (1, 2, 3, 4)]
    run = run_of(*results, samples=4)
    told = summarise(run.manifest, run.results)
    assert told.rate.share == 0.125
    assert told.pass_at == pytest.approx({1: 0.125, 2: 0.25, 3: 0.375, 4: 0.5})
    assert told.pass_hat == pytest.approx({1: 0.125, 2: 0.0, 3: 0.0, 4: 0.0})


def test_summary_of_costs_counts_everything_that_was_spent_for_what_was_resolved() -> None:
    run = run_of(
        result("a", cost_usd=1.0, tokens=Tokens(input=90, cached=30, output=10)),
        result("b", "unresolved", cost_usd=2.0),
        result("c", "infra", cost_usd=0.5),
    )
    told = summarise(run.manifest, run.results)
    assert told.cost_per_resolved_usd == 3.5
    assert score_of(run, told)["cost_usd"] == 3.5
    assert (told.cost_usd.total, told.cost_usd.count) == (3.0, 2)
    assert (told.tokens.total, told.tokens_input, told.tokens_cached, told.tokens_output) == (100, 90, 30, 10)


def test_summary_of_nothing_resolved_gives_no_cost_per_resolved() -> None:
    run = run_of(result("a", "unresolved"))
    assert summarise(run.manifest, run.results).cost_per_resolved_usd is None


def test_junit_of_one_of_each_status_counts_them_as_the_format_does() -> None:
    suite = ET.fromstring(junit(one_of_each())).find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 12, "failures": 7, "errors": 1, "skipped": 3}
    assert len(suite.findall("testcase")) == 12
    assert {len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")} == {7, 1, 3}


@given(st.text())
def test_junit_of_any_remark_is_well_formed(text: str) -> None:
    run = run_of(result("a", "infra", infra=text or "x"), dataset=text)
    case = ET.fromstring(junit(run)).find("testsuite/testcase/error")
    assert case is not None


def test_markdown_of_hostile_text_keeps_its_rows_and_holds_no_markup() -> None:
    run = run_of(result("a", "infra", infra="x | y\n| z | <img src=x> [link](http://example.org)"))
    text = markdown(run, summarise(run.manifest, run.results))
    rows = [line for line in text.splitlines() if line.startswith("| a ")]
    assert len(rows) == 1
    assert "\\<img src=x\\> \\[link\\]" in rows[0]


def test_predictions_of_a_run_are_in_the_official_format_and_lose_no_byte(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("a"), result("b", "empty_patch"), result("c", "infra")])
    (instance_folder(folder, "a") / PATCH).write_bytes(b"+caf\xe9\r\n")
    rows = [json.loads(line) for line in predictions(read_run(folder)).splitlines()]
    assert [(row["instance_id"], row["model_name_or_path"]) for row in rows] == [
        ("a", "devstral-small"),
        ("b", "devstral-small"),
    ]
    assert rows[0]["model_patch"].encode("utf-8", "surrogateescape") == b"+caf\xe9\r\n"
    assert rows[1]["model_patch"] == ""


def test_report_of_an_instance_has_the_official_keys_and_our_own_count(tmp_path: Path) -> None:
    kinds = {"good": "resolved", "odd": "suspect", "bad": "unresolved", "down": "infra"}
    results = [result(name, status, patch_bytes=0 if status == "infra" else 9) for name, status in kinds.items()]
    applied = [
        one.model_copy(update={"grade": one.grade.model_copy(update={"applied_by": "git apply"})}) if one.grade else one
        for one in results
    ]
    run = read_run(save(tmp_path / "run", applied))
    write_report(run, summarise(run.manifest, run.results))
    told = {name: json.loads((run.folder / "instances" / name / "report.json").read_text())[name] for name in kinds}
    assert [told[name]["resolved"] for name in kinds] == [True, False, False, False]
    assert told["down"]["infra_failure_reason"] == "the engine went away"
    assert "tests_status" not in told["down"]
    assert told["odd"]["tests_status"]["FAIL_TO_PASS"]["success"] == ["tests/test_it.py::test_new"]
    assert told["bad"]["patch_successfully_applied"] is True


def test_junit_of_several_samples_has_a_case_for_each_that_was_asked_for() -> None:
    run = run_of(result("a"), result("a", sample=2), result("b", "unresolved"), samples=2)
    suite = ET.fromstring(junit(run))[0]
    assert [case.get("name") for case in suite] == ["a @1", "a @2", "b @1", "b @2"]
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "0", "skipped": "1"}


def test_predictions_of_several_samples_never_name_an_instance_twice(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("a"), result("a", sample=2)], samples=2)
    run = read_run(folder)
    assert len(predictions(run).splitlines()) == len(predictions(run, 2).splitlines()) == 1


def test_read_run_of_ids_that_look_like_samples_keeps_them_apart(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("a"), result("a", sample=2), result("a.2"), result("a-2")], samples=2)
    found = [(one.instance_id, one.sample, one.folder) for one in read_run(folder).results]
    assert found == [
        ("a", 1, "instances/a"),
        ("a", 2, "instances/a@2"),
        ("a-2", 1, "instances/a-2"),
        ("a.2", 1, "instances/a.2"),
    ]


def test_write_whole_on_a_disk_that_is_full_keeps_the_old_content_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            write_text(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_ostro_report_of_a_run_writes_every_document(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 6)
    done = CliRunner().invoke(cli, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Resolved ")
    assert len(json.loads((folder / "results.json").read_text())["results"]) == 6
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 6
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert "| smallbugs\\_" not in (folder / "report.md").read_text()
    ET.parse(folder / "junit.xml")


def test_ostro_report_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 3)
    names = ("results.json", "report.md", "junit.xml", "predictions.jsonl", "report.html")
    written: list[list[bytes]] = []
    for _ in range(2):
        assert CliRunner().invoke(cli, ["report", str(folder)]).exit_code == 0
        written.append([(folder / name).read_bytes() for name in names])
    assert written[0] == written[1]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_ostro_report_as_json_is_what_the_file_holds(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("a"), result("b", "unresolved")])
    done = CliRunner().invoke(cli, ["report", str(folder), "--output", "json"])
    assert json.loads(done.stdout) == json.loads((folder / "results.json").read_text())
