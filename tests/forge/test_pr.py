"""`ostro pr` from an event to a draft pull request, against the fake forge, real git and a scripted model."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

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
