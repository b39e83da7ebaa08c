"""How a run can end: one table, with exit codes, and the report that every front end prints."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ostro.agent.checks import Check

Status = Literal["green", "red", "error", "timeout", "not_run"]


class Ending(StrEnum):
    """Every way in which a run ends; the values are those of JSON and of the trajectory."""

    SUBMITTED = "submitted"
    NO_ACTION = "no_action"
    GAVE_UP = "gave_up"
    STEP_LIMIT = "step_limit"
    COST_LIMIT = "cost_limit"
    TOKEN_LIMIT = "token_limit"  # noqa: S105  # a name, not a secret
    TIME_LIMIT = "time_limit"
    CONTEXT_LIMIT = "context_limit"
    LOOP_DETECTED = "loop_detected"
    MODEL_ERROR = "model_error"
    SANDBOX_ERROR = "sandbox_error"
    PREFLIGHT_FAILED = "preflight_failed"
    WORKSPACE_LOST = "workspace_lost"
    STORAGE_ERROR = "storage_error"
    DISK_FULL = "disk_full"
    USAGE = "usage"
    INTERNAL_ERROR = "internal_error"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        """The exit code of `ostro run` for this ending."""
        return EXIT_CODES[self]

    @property
    def resumable(self) -> bool:
        """Whether `ostro resume` goes on after it as it is: nothing that the agent did or was allowed ended it."""
        return self in RESUMABLE

    @property
    def limit(self) -> str:
        """The setting that has to be raised before `ostro resume` goes on; "" where none was the reason."""
        return LIMITS.get(self, "")

    def raised(self, used: float) -> str:
        """Return the flag that doubles the limit which ended a run, of which so much was used."""
        return f"--{self.limit} {f'{2 * used:.4f}'.rstrip('0').rstrip('.')}"


RESUMABLE = frozenset(
    {
        Ending.INTERRUPTED,
        Ending.MODEL_ERROR,
        Ending.SANDBOX_ERROR,
        Ending.PREFLIGHT_FAILED,
        Ending.WORKSPACE_LOST,
        Ending.STORAGE_ERROR,
        Ending.DISK_FULL,
        Ending.INTERNAL_ERROR,
    }
)
LIMITS = {
    Ending.STEP_LIMIT: "steps",
    Ending.COST_LIMIT: "budget",
    Ending.TOKEN_LIMIT: "tokens",
    Ending.TIME_LIMIT: "time",
}
EXIT_CODES: dict[Ending, int] = {
    Ending.SUBMITTED: 0,
    Ending.NO_ACTION: 1,
    Ending.GAVE_UP: 1,
    Ending.USAGE: 2,
    Ending.STEP_LIMIT: 3,
    Ending.COST_LIMIT: 3,
    Ending.TOKEN_LIMIT: 3,
    Ending.TIME_LIMIT: 3,
    Ending.CONTEXT_LIMIT: 3,
    Ending.LOOP_DETECTED: 3,
    Ending.MODEL_ERROR: 4,
    Ending.SANDBOX_ERROR: 5,
    Ending.PREFLIGHT_FAILED: 5,
    Ending.WORKSPACE_LOST: 5,
    Ending.STORAGE_ERROR: 6,
    Ending.DISK_FULL: 6,
    Ending.INTERNAL_ERROR: 70,
    Ending.INTERRUPTED: 130,
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorReport(_Frozen):
    """What went wrong, for a machine and for a person.

    Attributes:
        checks: of a failed preflight: every check, those that went well too.
    """

    kind: str
    message: str
    mend: str = ""
    checks: tuple[Check, ...] = ()


class Outcome(_Frozen):
    """The ending of one run and what led to it.

    Attributes:
        error: set where something failed; None for an ordinary ending.
        reason: one line: the submit summary, the limit that was reached, why the model gave up.
    """

    ending: Ending
    reason: str = ""
    error: ErrorReport | None = None


class TestRun(_Frozen):
    """One execution of the test command by the host, in a fresh sandbox."""

    __test__ = False  # not a test class for pytest

    status: Status
    exit_code: int | None = None
    duration_s: float = 0.0
    summary: str = ""


class TestedPatch(_Frozen):
    """The tested-patch contract: the command, its result on the base and on the final patch.

    Attributes:
        source: where the command came from: flag, config, detected or none.
        verified: green on the patch.
    """

    __test__ = False

    command: str = ""
    source: Literal["flag", "config", "detected", "none"] = "none"
    before: TestRun = TestRun(status="not_run")
    after: TestRun = TestRun(status="not_run")
    verified: bool = False


class Tokens(_Frozen):
    """Tokens of all replies together; cached is a part of input."""

    input: int = 0
    cached: int = 0
    output: int = 0


class NoticedAttempt(_Frozen):
    """Something in a run that looked like an attempt to get out (agent/record/attempts_seen.py).

    Attributes:
        what: one kind, in a few words.
        where: `step 3, bash`; `issue`, `network` or `patch`.
        stopped_by: what was in the way; begins with `nothing` where that is so.
        detail: the line of the command and of its answer, the file, the host.
    """

    what: str
    where: str
    stopped_by: str
    detail: str = ""


class RunReport(_Frozen):
    """The one JSON object of `run`, `resume` and `demo --output json` (schema 1).

    Attributes:
        run: the run folder.
        exit_code: 0 only for a submitted patch; see `EXIT_CODES`.
        patch: path of the patch file, also after a limit or an error where there was work to keep.
        repairs: how often each stage of the intake pipeline mended or refused a call.
        security: attempts noticed, and what stopped each; what was not noticed is not there.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: str
    outcome: Ending
    exit_code: int
    branch: str | None = None
    commit: str | None = None
    patch: str | None = None
    files_changed: tuple[str, ...] = ()
    steps: int = 0
    tokens: Tokens = Tokens()
    cost_usd: float = 0.0
    cost_source: str = "catalogue"
    seconds: float = 0.0
    tests: TestedPatch = TestedPatch()
    error: ErrorReport | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    sandbox: str = ""
    model: str = ""
    endpoint: str = ""
    repairs: dict[str, int] = Field(default_factory=dict)
    security: tuple[NoticedAttempt, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
