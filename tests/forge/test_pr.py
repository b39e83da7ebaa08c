"""`ostro pr` from an event to a draft pull request, against the fake forge, real git and a scripted model."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.driving import SOLVE
from tests.forge.ci_job import READ_TOKEN, SECRETS, WRITE_TOKEN, ci_job


def test_pr_when_a_maintainer_labels_the_issue_then_a_draft_with_evidence_stands_there(tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        event = job.labelled()
        done = job.run("pr", event=event)

        assert done.returncode == 0, done.stdout + done.stderr
        pull = job.repository.pulls[2]
        about = job.repository.issues[2]
        assert (pull.head, pull.base, pull.draft) == ("ostro/issue-1", "main", True)
        assert about.title == "fix: total() is one too high (#1)"
        assert "Fixes #1" in about.body
        assert "| with the patch | **green** | 0 |" in about.body
        assert "ostro-draft" in about.labels
        assert job.repository.git("show", "ostro/issue-1:price.py").endswith("return sum(prices)")
        message = job.repository.git("log", "-1", "--format=%B", "ostro/issue-1")
        assert "Ostro-Run: " in message
        assert "Co-authored-by: alice <" in message
        (comment,) = job.comments()
        assert "draft #2" in comment
        assert "no CI starts" in comment
        assert job.outputs["pull-request"] == "2"
        assert "fix: total()" in job.summary
        files = {name: job.out / name for name in ("junit.xml", "findings.sarif")}
        assert (job.outputs["junit"], job.outputs["sarif"]) == tuple(f"ostro-out/{name}" for name in files)
        cases = ET.parse(files["junit.xml"]).findall("testsuite/testcase")
        assert [(case.attrib["name"], len(case)) for case in cases] == [("before the patch", 1), ("with the patch", 0)]
        assert json.loads(files["findings.sarif"].read_text())["version"] == "2.1.0"

        again = job.run("pr", event=event)

        assert again.returncode == 0, again.stderr
        assert (sorted(job.repository.branches()), len(job.repository.pulls), len(job.comments())) == (
            ["main", "ostro/issue-1"],
            1,
            1,
        )


def test_pr_when_split_into_two_jobs_then_the_first_needs_to_read_only(tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        event = job.labelled()

        solved = job.run("pr", "solve", event=event, token=READ_TOKEN)
        writes = job.forge.writes()
        published = job.run("pr", "publish", event=event, token=WRITE_TOKEN, OSTRO_API_KEY="")

        assert (solved.returncode, published.returncode) == (0, 0), solved.stderr + published.stderr
        assert writes == []
        assert len(job.repository.pulls) == 1
        assert len(job.endpoint.requests) == len(SOLVE) + 1
        kept = b"".join(path.read_bytes() for path in job.out.rglob("*") if path.is_file())
        shown = (solved.stdout + solved.stderr + published.stdout + published.stderr + job.summary).encode()
        texts = "".join(job.comments() + [issue.body for issue in job.repository.issues.values()]).encode()
        assert [secret for secret in SECRETS if secret.encode() in kept + shown + texts] == []


HAND = ("pr", "--repository", "acme/widget", "--issue", "1")
BY_HAND = {"GITHUB_EVENT_NAME": "", "GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": ""}


def test_pr_by_hand_when_what_was_wrong_is_mended_then_the_same_command_works_on_it(tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        job.settings |= BY_HAND
        failed = job.run(*HAND, OSTRO_PRICE="")
        assert failed.returncode == 0
        assert "no result (usage): the price of scripted is not known. Give --price" in failed.stdout
        job.endpoint.turns = [{"fault": "401", "fault_times": 0}]
        refused = job.run(*HAND)
        assert "no result (model error): the endpoint answered 401" in refused.stdout
        job.endpoint.turns = list(SOLVE)
        done = job.run(*HAND)

        assert (done.returncode, "draft #2" in done.stdout) == (0, True), done.stdout + done.stderr
        assert len(job.comments()) == 1
        asked = len(job.endpoint.requests)
        again = job.run(*HAND)
        assert "holds the result of this order already (submitted)" in again.stderr
        assert (len(job.endpoint.requests), len(job.repository.pulls)) == (asked, 1)


WRONG: dict[str, tuple[tuple[str, ...], dict[str, str], int, str]] = {
    "no token": (HAND, {"GITHUB_TOKEN": ""}, 2, "there is no token for the forge. Set GITHUB_TOKEN"),
    "unknown token": (HAND, {"GITHUB_TOKEN": "ghp_x"}, 7, "Bad credentials. Check the token"),
    "nobody": (HAND, {"GITHUB_ACTOR": ""}, 2, "Set GITHUB_ACTOR to your login."),
    "no owner": (("pr", "--repository", "widget", "--issue", "1"), {}, 2, "'widget' does not say which repository"),
    "no such repository": (("pr", "--repository", "acme/x", "--issue", "1"), {}, 7, "404: Not Found. Check the name"),
    "no such issue": ((*HAND[:-1], "99"), {}, 7, "/issues/99: status 404: Not Found. Check the name and the number"),
    "no issue": (HAND[:-2], {}, 2, "or give --issue."),
    "no folder": ((*HAND, "--out", "/proc/x"), {}, 2, "Give another --out."),
}


@pytest.mark.parametrize("name", WRONG)
def test_pr_by_hand_when_used_wrongly_then_one_line_says_what_to_do(name: str, tmp_path: Path) -> None:
    arguments, settings, code, said = WRONG[name]
    with ci_job(tmp_path) as job:
        job.settings |= BY_HAND | settings
        done = job.run(*arguments)
        assert (done.returncode, done.stdout) == (code, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("ostro: ")
        assert said in line
        assert job.repository.pulls == {}
