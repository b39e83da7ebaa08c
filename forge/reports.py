"""Two files that other tools read, beside the evidence: JUnit XML of its tests, and SARIF of its findings.

solve.py, cli/pr -> write_reports. What the texts say is untrusted, as the evidence is.
SARIF 2.1.0: docs.oasis-open.org/sarif.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import JsonValue

from ostro.agent.junit import Case, Kind, junit
from ostro.agent.outcome import NoticedAttempt, Status, TestRun
from ostro.agent.record.trajectory import storage_error
from ostro.agent.version import ostro_version
from ostro.forge.evidence import EVIDENCE_FILE, TRAJECTORY_FILE, Evidence
from ostro.forge.published_text import one_line
from ostro.sandbox.policy import Finding
from ostro.sandbox.policy_rules import RULES

JUNIT_FILE = "junit.xml"
SARIF_FILE = "findings.sarif"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MESSAGE_CHARS = 1000

_KINDS: dict[Status, Kind] = {
    "green": "passed", "red": "failure", "error": "error", "timeout": "error", "not_run": "skipped"
}  # fmt: skip
_LEVELS = {"refused": "error", "stripped": "warning", "reported": "note"}
"""What the policy did -> SARIF's level."""
_PATCH_RULE = re.compile(r"put into the patch what the rule `([a-z-]+)` names")
"""How agent/record/attempts_seen.py says what the policy found when the run ended."""

_STEP = re.compile(r"(?:attempt [0-9]+, )?step ")
_ROOT = "%SRCROOT%"
"""SARIF's name for the root of the repository; what has no such base lies beside the SARIF file."""


@dataclass(frozen=True)
class _Result:
    """One finding, about a file of the repository (`path`) or about the run (`where`)."""

    rule: str
    level: str
    text: str
    path: str = ""
    where: str = ""

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.rule, self.path, self.where


def write_reports(out: Path, evidence: Evidence, findings: Sequence[Finding] = ()) -> dict[str, str]:
    """Write both files into a folder; return their paths under the names of the step's outputs.

    Args:
        out: may be an artifact of another job: no link in it is followed.
        evidence: of the run.
        findings: of the policy when it was published.

    Raises:
        StorageError: they cannot be written.
    """
    for name, text in ((JUNIT_FILE, junit_xml(evidence)), (SARIF_FILE, sarif(evidence, findings))):
        _write(out / name, text.encode("utf-8", "replace"))
    return report_files(out)


def report_files(out: Path) -> dict[str, str]:
    """Return the paths of both files, as the outputs of the step name them; nothing of a folder without them."""
    files = {"junit": out / JUNIT_FILE, "sarif": out / SARIF_FILE}
    return {name: str(path) for name, path in files.items() if path.is_file()}


def junit_xml(evidence: Evidence) -> str:
    """Return the tests before and with the patch as the evidence has them: red before is what the issue tells of."""
    tests = evidence.tests
    command = tests.command or "no test command is known"
    cases = [_case(command, "before the patch", tests.before), _case(command, "with the patch", tests.after)]
    return junit(f"ostro issue {evidence.issue}", cases)


def _case(command: str, name: str, run: TestRun) -> Case:
    exit_code = "" if run.exit_code is None else f"exit code {run.exit_code}"
    message = ": ".join(part for part in (run.status, exit_code, run.summary) if part)
    return Case(command, name, run.duration_s, _KINDS[run.status], run.status, message)


def sarif(evidence: Evidence, findings: Sequence[Finding] = ()) -> str:
    """Return what was found as SARIF: patch policy, hidden text of the issue, attempts of the run; and its trouble."""
    results = {result.identity: result for result in map(_of_attempt, evidence.security)}
    results |= {result.identity: result for result in map(_of_finding, findings)}
    names = sorted({result.rule for result in results.values()})
    run: dict[str, JsonValue] = {
        "tool": {"driver": {"name": "Ostro", "version": ostro_version(), "rules": [*map(_rule, names)]}},
        "automationDetails": {"id": f"ostro/issue-{evidence.issue}/{evidence.run_id or 'none'}"},
        "invocations": [
            {"executionSuccessful": evidence.error is None, "toolExecutionNotifications": [*_notifications(evidence)]}
        ],
        "results": [_result(result, names) for result in results.values()],
    }
    document: dict[str, JsonValue] = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _of_finding(finding: Finding) -> _Result:
    text = f"{finding.action}: {finding.path or 'the patch'}: {finding.reason}"
    return _Result(f"patch/{finding.rule}", _LEVELS[finding.action], text, finding.path)


def _of_attempt(attempt: NoticedAttempt) -> _Result:
    """Return a noticed attempt; what the policy found in the patch is a result of its rule, in its file."""
    text = f"{attempt.what} ({attempt.where}); stopped by {attempt.stopped_by}. {attempt.detail}"
    named = _PATCH_RULE.fullmatch(attempt.what)
    if named is not None:
        path = attempt.detail.partition(": ")[0]
        level = _LEVELS.get(attempt.stopped_by.removeprefix("policy: "), "note")
        return _Result(f"patch/{named[1]}", level, text, "" if path == "the patch" else path)
    slug = re.sub(r"[^a-z0-9]+", "-", attempt.what.lower()).strip("-")[:60] or "other"
    level = "warning" if attempt.stopped_by.startswith("nothing") else "note"
    return _Result(f"run/{slug}", level, text, where=f"{attempt.where}: {attempt.detail}")


def _rule(name: str) -> JsonValue:
    kind, _, rest = name.partition("/")
    known = next((rule.reason for rule in RULES.values() if kind == "patch" and rule.name == rest), "")
    return {"id": name, "shortDescription": {"text": known or rest.replace("-", " ")}}


def _result(result: _Result, rules: Sequence[str]) -> JsonValue:
    identity = repr(result.identity).encode("utf-8", "replace")
    return {
        "ruleId": result.rule,
        "ruleIndex": rules.index(result.rule),
        "level": result.level,
        "message": {"text": _text(result.text)},
        "locations": [{"physicalLocation": {"artifactLocation": _location(result)}}],
        "partialFingerprints": {"ostro/v1": hashlib.sha256(identity).hexdigest()},
    }


def _location(result: _Result) -> JsonValue:
    if result.path:
        return {"uri": quote(result.path, errors="replace"), "uriBaseId": _ROOT}
    return {"uri": TRAJECTORY_FILE if _STEP.match(result.where) else EVIDENCE_FILE}


def _notifications(evidence: Evidence) -> Iterator[JsonValue]:
    if evidence.error is not None:
        text = f"{evidence.error.message}. {evidence.error.mend}"
        yield {"level": "error", "message": {"text": _text(text)}, "descriptor": {"id": evidence.error.kind[:100]}}
    for warning in evidence.warnings:
        yield {"level": "warning", "message": {"text": _text(warning)}}


def _text(text: str) -> str:
    """Return inert text of one line, in which SARIF finds no link: it has those of Markdown (3.11.6)."""
    return re.sub(r"([\\\[\]])", r"\\\1", one_line(text, limit=MESSAGE_CHARS))


def _write(path: Path, data: bytes) -> None:
    """Put a file in its place by a new one: what stands there may be a link that leads elsewhere."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
