"""JUnit and SARIF beside the evidence: other tools read them, whatever a model or a stranger wrote into them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from ostro.agent.outcome import Ending, ErrorReport, NoticedAttempt, Status, TestedPatch, TestRun
from ostro.agent.record.attempts_seen import attempts_seen
from ostro.forge.evidence import Evidence
from ostro.forge.reports import JUNIT_FILE, SARIF_FILE, junit_xml, sarif, write_reports
from ostro.sandbox.policy import Finding
from tests.forge.conftest import Scene, added
from tests.forge.fake.npm import member_of_package

LEVELS = {"none", "note", "warning", "error"}
HIDDEN = "1 HTML comment removed from the issue (line 2)."


@pytest.fixture(scope="session")
def schema() -> Draft4Validator:
    """SARIF's schema as Microsoft's SDK for SARIF carries it."""
    package = member_of_package("@microsoft/jest-sarif", "1.0.0-beta.0", "package/lib/schemas/sarif-2.1.0-rtm.5.json")
    return Draft4Validator(json.loads(package))


def made(**changes: Any) -> Evidence:
    facts: dict[str, Any] = {
        "kind": "run", "repository": "acme/widget", "issue": 1, "order": "0" * 64, "trigger": "label: fix",
        "actor": "alice", "base_branch": "main", "base_commit": "a" * 40, "branch": "ostro/issue-1", "finished_at": 1,
    }  # fmt: skip
    return Evidence.model_validate(facts | changes)


def results(document: str) -> list[dict[str, Any]]:
    """The results, each looked at for what SARIF requires and what code scanning wants besides."""
    log = json.loads(document)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["tool"]["driver"]["name"] == "Ostro"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    found: list[dict[str, Any]] = run["results"]
    for result in found:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in LEVELS
        assert result["message"]["text"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"]
    return found


def places(document: str) -> list[tuple[str, str, str]]:
    def place(result: dict[str, Any]) -> str:
        return str(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])

    return [(result["ruleId"], result["level"], place(result)) for result in results(document)]


@pytest.mark.parametrize(
    ("status", "kind"), [("red", "failure"), ("error", "error"), ("timeout", "error"), ("not_run", "skipped")]
)
def test_junit_when_the_tests_ended_so_then_the_case_says_so(status: Status, kind: str) -> None:
    tests = TestedPatch(
        command="make test", before=TestRun(status=status, exit_code=1, duration_s=2.5, summary="1 failed"),
        after=TestRun(status="green", exit_code=0, duration_s=1.5), verified=True,
    )  # fmt: skip
    suite = ET.fromstring(junit_xml(made(tests=tests))).find("testsuite")
    assert suite is not None
    before, after = suite.findall("testcase")
    assert (before.attrib["name"], after.attrib["name"]) == ("before the patch", "with the patch")
    assert (before.attrib["classname"], suite.attrib["time"]) == ("make test", "4.000")
    ended = before.find(kind)
    assert ended is not None
    assert ended.attrib == {"message": f"{status}: exit code 1: 1 failed", "type": status}
    assert list(after) == []


def test_junit_when_no_test_is_known_then_nothing_is_said_to_have_passed() -> None:
    suite = ET.fromstring(junit_xml(made())).find("testsuite")
    assert suite is not None
    assert (suite.attrib["tests"], suite.attrib["skipped"]) == ("2", "2")


def test_sarif_when_the_policy_spoke_then_rule_file_and_level_are_there() -> None:
    findings = (
        Finding(".github/workflows/x y.yml", "ci", "refused", "it changes continuous integration"),
        Finding("a.bin", "program", "stripped", "it is a compiled program"),
        Finding("", "many-files", "reported", "it changes 300 files"),
    )
    assert places(sarif(made(), findings)) == [
        ("patch/ci", "error", ".github/workflows/x%20y.yml"),
        ("patch/program", "warning", "a.bin"),
        ("patch/many-files", "note", "evidence.json"),
    ]


def test_sarif_when_the_run_saw_attempts_then_they_point_to_where_they_are() -> None:
    security = (
        NoticedAttempt(what="tried the network", where="step 3, bash", stopped_by="no network", detail="curl x"),
        NoticedAttempt(what="read the environment", where="step 4, bash", stopped_by="nothing: the sandbox was `none`"),
        NoticedAttempt(
            what="tried the network", where="network", stopped_by="the egress proxy", detail="x.example:443"
        ),
    )
    assert places(sarif(made(security=security))) == [
        ("run/tried-the-network", "note", "trajectory.jsonl"),
        ("run/read-the-environment", "warning", "trajectory.jsonl"),
        ("run/tried-the-network", "note", "evidence.json"),
    ]


def test_sarif_when_run_and_publishing_found_the_same_then_it_is_there_once() -> None:
    found = Finding("AGENTS.md", "tool-settings", "reported", "tools act on it by themselves")
    stripped = Finding(".husky/pre-commit", "hook", "stripped", "it changes hooks of git")
    security = attempts_seen((), findings=(found, stripped), warnings=(HIDDEN,))
    assert places(sarif(made(security=security), (found,))) == [
        ("run/hid-text-in-the-issue", "note", "evidence.json"),
        ("patch/tool-settings", "note", "AGENTS.md"),
        ("patch/hook", "warning", ".husky/pre-commit"),
    ]


def test_sarif_when_the_run_failed_then_its_trouble_is_a_notification() -> None:
    evidence = made(
        outcome=Ending.MODEL_ERROR, error=ErrorReport(kind="auth", message="no key", mend="Set it."), warnings=("old",)
    )
    (invocation,) = json.loads(sarif(evidence))["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [told["message"]["text"] for told in invocation["toolExecutionNotifications"]] == ["no key. Set it.", "old"]


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["[click](https://evil.example)", "\\[x\\](y)", "\x00\x1b[0m", "a\ud800b"]
)


@given(TEXTS, TEXTS, st.sampled_from(["", "a b/%2e#?.py", "ä/\udcff"]))
def test_reports_when_texts_are_hostile_then_they_are_well_formed_and_hold_no_link(
    text: str, other: str, path: str
) -> None:
    attempt = NoticedAttempt.model_construct(what=text, where=other, stopped_by=text, detail=other)
    evidence = made().model_copy(
        update={
            "security": (attempt,),
            "tests": TestedPatch().model_copy(update={"command": text}),
            "warnings": (other,),
        }
    )
    document = sarif(evidence, (Finding(path, "binary", "reported", text),))
    for result in results(document):
        assert re.search(r"[\[\]]", re.sub(r"\\.", "", result["message"]["text"])) is None
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].encode("ascii")
    ET.fromstring(junit_xml(evidence).encode("utf-8", "replace"))


def test_write_reports_when_the_artifact_holds_links_then_nothing_outside_is_written(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.write_text("mine")
    for name in (JUNIT_FILE, SARIF_FILE, f"{SARIF_FILE}.new"):
        (out / name).symlink_to(elsewhere)
    assert write_reports(out, made()) == {"junit": str(out / JUNIT_FILE), "sarif": str(out / SARIF_FILE)}
    assert elsewhere.read_text() == "mine"
    assert not (out / SARIF_FILE).is_symlink()


def test_publish_when_the_patch_is_refused_then_the_finding_comes_with_it(scene: Scene) -> None:
    found = scene.publish(added(".github/workflows/x.yml"))
    assert places(sarif(scene.evidence(), found.findings)) == [("patch/ci", "error", ".github/workflows/x.yml")]


@pytest.mark.slow
def test_sarif_when_checked_against_the_published_schema_then_it_fits(schema: Draft4Validator) -> None:
    security = attempts_seen(
        (), findings=(Finding("a b", "hook", "stripped", "x"), Finding("", "size", "refused", "y")), warnings=(HIDDEN,)
    )
    failed = made(
        security=security, outcome=Ending.MODEL_ERROR, error=ErrorReport(kind="auth", message="m"), warnings=("w",)
    )
    for document in (
        sarif(made()),
        sarif(failed, (Finding("\udcff/ä?#%", "ci", "refused", "[x](y)"),)),
    ):
        assert [error.message for error in schema.iter_errors(json.loads(document))] == []
    broken = json.loads(sarif(failed)) | {"version": "2"}
    del broken["runs"][0]["results"][0]["message"]
    assert len(list(schema.iter_errors(broken))) >= 2
