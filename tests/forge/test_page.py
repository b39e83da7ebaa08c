"""docs/ci.md and what it speaks of: what the page names is in the action and the templates, and the other way round."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from ostro.cli.pr import command as pr_command
from ostro.forge.job import LABEL
from ostro.forge.publish import DRAFT_LABEL, FAILED_LABEL
from tests.forge.playing import ROOT, action, evaluated, starts, workflow

PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
TEMPLATES = ("github-single.yml", "github-two-jobs.yml")


def source(name: str) -> str:
    return (ROOT / "docs" / "ci" / name).read_text("utf-8")


def triggers(name: str) -> set[str]:
    """The events of a workflow; YAML 1.1 reads the key `on` as true."""
    loaded: dict[Any, Any] = yaml.safe_load(source(name))
    return set(loaded[True])


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_page_when_read_then_names_every_input_and_output_of_the_action() -> None:
    found = action()
    assert [name for name in found["inputs"] if f"`{name}`" not in PAGE and f"{name}:" not in PAGE] == ["command"]
    assert [name for name in found["outputs"] if f"`{name}`" not in PAGE] == []


def test_page_when_it_shows_inputs_then_the_action_has_them() -> None:
    shown = [yaml.safe_load(block)["with"] for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert shown
    for given in shown:
        assert set(given) <= set(action()["inputs"])


@pytest.mark.parametrize("name", [*TEMPLATES, "gitlab.yml"])
def test_template_when_it_wants_a_secret_or_variable_then_the_page_names_it(name: str) -> None:
    wanted = set(re.findall(r"secrets\.(\w+)", source(name))) | set(re.findall(r"\$(OSTRO_\w+)", source(name)))
    assert wanted
    assert {each for each in wanted if f"`{each}`" not in PAGE} == set()


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_when_copied_then_the_page_says_what_is_to_be_filled_in(name: str) -> None:
    assert f"ci/{name}" in PAGE
    places = re.findall(r"your-organisation/ostro@0{40}", source(name))
    assert len(places) == (1 if name == TEMPLATES[0] else 3)
    assert "`your-organisation/ostro@000...`" in PAGE


def test_label_when_named_anywhere_then_it_is_the_same() -> None:
    assert action()["inputs"]["label"]["default"] == LABEL
    assert {option.name: option.default for option in pr_command.params}["label"] == LABEL
    assert {f"`{name}`" in PAGE for name in (LABEL, DRAFT_LABEL, FAILED_LABEL)} == {True}


def test_page_when_it_says_two_jobs_only_then_the_single_one_lacks_the_trigger() -> None:
    single, two = (triggers(name) for name in TEMPLATES)
    assert two - single == {"schedule", "workflow_run"}
    assert section("What starts a run").count("two jobs only") == len(two - single)


def test_page_when_it_lists_the_jobs_then_the_template_has_them() -> None:
    rows = re.findall(r"^\| (\w+) \|", section("Two jobs, with the tokens apart"), re.MULTILINE)
    assert rows == ["job", *workflow("github-two-jobs.yml")["jobs"]]


def row(event: dict[str, Any]) -> str:
    """The concurrency group of an event of issue 7 in the simple set-up."""
    group: str = workflow(TEMPLATES[0])["jobs"]["ostro"]["concurrency"]["group"]
    context = {"github": {"event": {"issue": {"number": 7}, **event}, "run_id": 99}}
    return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(evaluated(match[1], context)), group)


def test_single_when_an_outsider_comments_then_no_order_that_waits_is_cancelled() -> None:
    said = {name: {"comment": {"author_association": name}} for name in ("OWNER", "COLLABORATOR", "NONE")}
    assert {row({}), row(said["OWNER"]), row(said["COLLABORATOR"])} == {"ostro-7"}
    assert row(said["NONE"]) == "ostro-7-99"
    assert row({"review": {"author_association": "CONTRIBUTOR"}}) == "ostro-7-99"


def labelled(label: str) -> dict[str, Any]:
    return {"action": "labeled", "label": {"name": label}}


EVENTS: list[tuple[str, dict[str, Any], bool]] = [
    ("issues", labelled("ostro"), True),
    ("issues", labelled("bug"), False),
    ("issues", {"action": "label_updated"}, True),  # Gitea: which label, only the job can find out
    ("issue_comment", {"comment": {"body": "/ostro fix it"}}, True),
    ("issue_comment", {"comment": {"body": "I like /ostro fix"}}, False),
    ("pull_request_review", {"review": {"body": "/ostro retry "}}, True),
    ("pull_request_review", {"review": {"body": None}}, False),
    ("workflow_dispatch", {}, True),
]


@pytest.mark.parametrize(("event", "payload", "wanted"), EVENTS)
def test_single_job_when_an_event_comes_then_a_runner_is_taken_only_for_what_may_start_something(
    event: str, payload: dict[str, Any], wanted: bool
) -> None:
    assert starts(workflow("github-single.yml")["jobs"]["ostro"]["if"], event, payload) is wanted


FAILED = {"conclusion": "failure", "head_branch": "ostro/issue-3"}


@pytest.mark.parametrize(
    ("run", "wanted"), [(FAILED, True), (FAILED | {"head_branch": "main"}, False), ({"conclusion": "success"}, False)]
)
def test_two_jobs_when_another_workflow_ends_then_only_a_failure_of_our_draft_counts(
    run: dict[str, str], wanted: bool
) -> None:
    condition = workflow("github-two-jobs.yml")["jobs"]["accept"]["if"]
    assert starts(condition, "workflow_run", {"workflow_run": run}) is wanted
