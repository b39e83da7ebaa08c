"""What an evaluation leaves, as typed data: one result an instance and sample, and the run's totals.

Written by the harness, read by statistics, compare, report and every front end. `results.json` is a superset of
swebench's report (schema_version 2 of swebench 4: total_instances, submitted_ids, resolved_ids, ...).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ostro.agent.outcome import Tokens

Verdict = Literal["resolved", "partial", "unresolved", "patch_failed", "empty_patch", "test_timeout"]
"""By the official rules, from the parsed log alone; `partial` is an unresolved one that fixed something."""

Consistency = Literal["consistent", "inconsistent", "suspect", "unchecked"]
"""Whether everything else that was seen fits the verdict.

`inconsistent`: the exit code or a structured reporter contradicts the parsed log. `suspect`: the patch touched files
that decide how tests run, and they were restored. `unchecked`: no test ran.
"""

Witness = Literal["tests", "process", "none"]
"""What tells of a test run besides log and exit code: each test, only that the process came to its end, or nothing."""

Status = Literal[
    "resolved", "partial", "unresolved", "patch_failed", "empty_patch", "test_timeout", "inconsistent", "suspect",
    "infra", "not_final", "quarantined",
]  # fmt: skip
"""How an instance is counted: a resolved verdict that is not consistent is reported as such, never as resolved."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TestOutcomes(_Frozen):
    """Names of the tests of one list of a row, by how they came out."""

    __test__ = False  # not a test class for pytest

    success: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()


class GradeReport(_Frozen):
    """What grading found.

    Attributes:
        applied_by: the strategy that applied the patch: `git apply`, `git apply --reject` or `patch`; "" for none.
        findings: why the consistency is what it is, one line each.
        restored: files of the test infrastructure that the patch touched and grading put back.
        log: path of the test log, relative to the instance's folder.
    """

    verdict: Verdict
    consistency: Consistency = "unchecked"
    witness: Witness = "none"
    applied_by: str = ""
    fail_to_pass: TestOutcomes = TestOutcomes()
    pass_to_pass: TestOutcomes = TestOutcomes()
    tests_seen: int = 0
    exit_code: int | None = None
    duration_s: float = 0.0
    findings: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    log: str = ""


class InstanceResult(_Frozen):
    """One instance, one sample: how the agent ended and how its patch was graded.

    Attributes:
        sample: number of the independent try, from 1 (pass@k).
        ending: the outcome of the run (agent/outcome.Ending), or `prediction` where another agent made the patch.
        grade: None until graded, and for an infrastructure failure.
        infra: what failed of ours or the machine's; "" for none. Such a result is retried and never counted silently.
        infra_kind: short name of that failure, of the agent's or the sandbox's errors, or `crash`.
        tries: how often the instance was run, infrastructure failures included.
        folder: of the instance, relative to the run's folder (benchmarks/store.py says what lies in it).
        flagged: reason of a quarantine by `validate`: flaky or broken; "" for none.
        environment: digest of what it ran in, equal on every machine: the id of an official image, else a digest of all
            that the environment is made from; "" where none could be made.
    """

    instance_id: str
    sample: int = 1
    ending: str
    grade: GradeReport | None = None
    infra: str = ""
    infra_kind: str = ""
    tries: int = 1
    steps: int = 0
    tokens: Tokens = Tokens()
    cost_usd: float = 0.0
    cost_source: str = ""
    seconds: float = 0.0
    agent_seconds: float = 0.0
    patch_sha256: str = ""
    patch_bytes: int = 0
    repairs: dict[str, int] = Field(default_factory=dict)
    folder: str = ""
    flagged: str = ""
    environment: str = ""

    @property
    def status(self) -> Status:
        """How this result is counted."""
        if self.flagged:
            return "quarantined"
        if self.infra:
            return "infra"
        if self.grade is None:
            return "not_final"
        if self.grade.verdict == "resolved" and self.grade.consistency in ("inconsistent", "suspect"):
            return "suspect" if self.grade.consistency == "suspect" else "inconsistent"
        return self.grade.verdict

    @property
    def resolved(self) -> bool:
        """Whether this sample counts as resolved."""
        return self.status == "resolved"

    @property
    def remarks(self) -> str:
        """Everything that a reader of a table should know besides the status, in one line."""
        findings = self.grade.findings if self.grade else ()
        return "; ".join(part for part in (self.flagged, self.infra, *findings) if part)

    def label(self, samples: int) -> str:
        """Return what this result is called in a report of so many samples an instance."""
        return label(self.instance_id, self.sample, samples)


def label(instance_id: str, sample: int, samples: int) -> str:
    """Return what one of several samples of an instance is called in a report."""
    return instance_id if samples == 1 else f"{instance_id} @{sample}"


class RunManifest(_Frozen):
    """What ran: everything that a reader needs to repeat it, and a comparer to see what differs.

    Attributes:
        kind: `eval` made the patches, `grade` judged somebody's predictions, `validate` the rows themselves.
        dataset_sha256: over the canonical rows, in order of their ids.
        instance_ids: every instance that was asked for, those that have no result yet included.
        images: what each instance ran in, see `InstanceResult.environment`; filled in as results come.
        host: machine facts: cpus, memory, kernel, Python.
    """

    schema_version: Literal[1] = 1
    kind: Literal["eval", "grade", "validate"]
    run_id: str
    started: str
    ostro_version: str
    dataset: str
    dataset_sha256: str
    instances: int
    instance_ids: tuple[str, ...] = ()
    samples: int = 1
    model: str = ""
    endpoint: str = ""
    sampling: dict[str, JsonValue] = Field(default_factory=dict)
    price: tuple[float, float] | None = None
    prompt_sha256: str = ""
    tools_sha256: str = ""
    sandbox: str = ""
    images: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    host: dict[str, JsonValue] = Field(default_factory=dict)
    config: dict[str, JsonValue] = Field(default_factory=dict)
