"""What the job that solves hands to the job that publishes: `patch` and `evidence.json`, the whole seam between them.

solve.py writes, publish.py reads. The first has a model and a stranger's code, the second has the token that writes:
so everything here is bounded in size and validated, and the patch is known by its digest.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ostro.agent.errors import StorageError, UsageError
from ostro.agent.model.reply import CostSource
from ostro.agent.outcome import Ending, ErrorReport, NoticedAttempt, TestedPatch, Tokens
from ostro.agent.record.files import write_whole
from ostro.forge.misshapen import first_problem
from ostro.sandbox.protocol import MAX_PATCH_BYTES

EVIDENCE_FILE = "evidence.json"
PATCH_NAME = "patch"
TRAJECTORY_FILE = "trajectory.jsonl"
MAX_EVIDENCE_BYTES = 4 * 1024 * 1024

# pydantic's expressions are Rust's: `$` is the very end of the text.
Line = Annotated[str, StringConstraints(max_length=500)]
Commit = Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]
BranchName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]{0,199}$")]
Address = Annotated[str, StringConstraints(pattern=r"^(?:https?://[A-Za-z0-9._~:/@%=&?#+-]{1,480})?$")]
Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,100}(?:\[bot\])?$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Proposal(_Frozen):
    """Title and text of the pull request as the model would have them: untrusted.

    Attributes:
        title: without prefix and number.
        summary: what was wrong, and what the patch does about it.
        changes: one line for each part of the patch.
        limits: what a reviewer should look at, or what was left.
    """

    title: str = Field(max_length=200)
    summary: str = Field(max_length=6000)
    changes: tuple[Line, ...] = Field(default=(), max_length=30)
    limits: str = Field(default="", max_length=2000)


class Evidence(_Frozen):
    """The content of `evidence.json` (schema 1).

    Attributes:
        order: digest of the event and the issue: the same order is not solved twice.
        rounds: how many runs failed checks have started since a person asked.
        base_commit: what the patch applies to.
        follow_up: the patch goes on top of the branch of `pull`; else it is one commit on the base branch.
        patch_sha256: "" where there is no patch.
        finished_at: seconds since 1970; dates the commit, so that publishing again makes the same one.
        tail: the last steps, a line each.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: Literal["run", "stop"]
    repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+$", max_length=300)]
    issue: int = Field(ge=1, le=10**18)
    order: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    trigger: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}: [a-z]{1,20}$")]
    actor: Login
    actor_id: int = Field(default=0, ge=0)
    rounds: int = Field(default=0, ge=0, le=100)
    base_branch: BranchName
    base_commit: Commit
    follow_up: bool = False
    pull: int | None = Field(default=None, ge=1)
    branch: BranchName
    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,100}$")] = ""
    model: Line = ""
    outcome: Ending = Ending.NO_ACTION
    reason: str = Field(default="", max_length=4000)
    error: ErrorReport | None = None
    proposal: Proposal | None = None
    tests: TestedPatch = TestedPatch()
    security: tuple[NoticedAttempt, ...] = Field(default=(), max_length=200)
    warnings: tuple[str, ...] = Field(default=(), max_length=200)
    files_changed: tuple[str, ...] = Field(default=(), max_length=5000)
    patch_sha256: Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{64})?$")] = ""
    cost_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    cost_source: CostSource = "catalogue"
    tokens: Tokens = Tokens()
    steps: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    sandbox: Line = ""
    run_url: Address = ""
    finished_at: int = Field(ge=0)
    tail: tuple[Line, ...] = Field(default=(), max_length=40)

    @property
    def green(self) -> bool:
        """Whether the run was submitted and the tests pass with the patch: only then a merge closes the issue."""
        return self.outcome is Ending.SUBMITTED and self.tests.verified and bool(self.patch_sha256)

    @property
    def solved(self) -> bool:
        """Whether there is something to review: a submitted patch."""
        return self.kind == "run" and self.outcome is Ending.SUBMITTED and bool(self.patch_sha256)


def write_evidence(folder: Path, evidence: Evidence, patch: bytes) -> None:
    """Write both files; `evidence.json` last, so that where it stands the patch is whole.

    Raises:
        StorageError: they cannot be written.
    """
    (folder / EVIDENCE_FILE).unlink(missing_ok=True)
    write_whole(folder / PATCH_NAME, patch)
    data = evidence.model_dump_json(by_alias=True, indent=1)
    write_whole(folder / EVIDENCE_FILE, (data + "\n").encode())


def read_evidence(folder: Path) -> tuple[Evidence, bytes]:
    """Return the evidence and its patch.

    Raises:
        UsageError: they are missing, of another schema, too large, or do not belong together.
        StorageError: they cannot be read.
    """
    raw = _read(folder / EVIDENCE_FILE, MAX_EVIDENCE_BYTES)
    try:
        evidence = Evidence.model_validate_json(raw)
    except ValidationError as error:
        raise UsageError(
            f"{folder / EVIDENCE_FILE} is not what `ostro pr solve` writes: {first_problem(error)}",
            kind="evidence",
            mend="Use the same version of Ostro in both jobs; nothing was published.",
        ) from error
    patch = _read(folder / PATCH_NAME, MAX_PATCH_BYTES) if evidence.patch_sha256 else b""
    if evidence.patch_sha256 and hashlib.sha256(patch).hexdigest() != evidence.patch_sha256:
        raise UsageError(
            f"{folder / PATCH_NAME} is not the patch that the evidence is about: its digest is another one",
            kind="evidence",
            mend="Run the job that solves again; nothing was published.",
        )
    return evidence, patch


def _read(path: Path, limit: int) -> bytes:
    """Read a regular file; an artifact is whatever its maker put there, so no link is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing", kind="evidence", mend="Run `ostro pr solve` before.") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit // 1024} KiB", kind="evidence")
    return data
