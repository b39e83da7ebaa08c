"""One work order from its instance to its result: the environment, the agent's run, the grade.

The agent's run lies in the folder `run` of the order's; a run that another process began goes on where it was. What
fails of ours or the machine's is an `infra` result, never an unresolved one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostro.agent.attempt import outcome_of_error
from ostro.agent.budget import Purse
from ostro.agent.errors import OstroError, StorageError, UsageError
from ostro.agent.outcome import Ending, RunReport
from ostro.agent.request import REPORT_FILE, REQUEST_FILE
from ostro.agent.resume import resume
from ostro.agent.session import Listener, RunRequest, run
from ostro.agent.task import Task
from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.environment import ready_environment
from ostro.benchmarks.grading import grade, nothing_to_grade
from ostro.benchmarks.orders import WorkOrder
from ostro.benchmarks.policy import scripted_turns
from ostro.benchmarks.recipe import Environment
from ostro.benchmarks.results import GradeReport, InstanceResult
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.benchmarks.spending import OrderPurse, Spent, set_aside, spent_aside, spent_in_all
from ostro.benchmarks.store import AGENT_RUN, PATCH
from ostro.sandbox.protocol import SandboxError

INFRA_ENDINGS = frozenset(
    {
        Ending.MODEL_ERROR,
        Ending.SANDBOX_ERROR,
        Ending.PREFLIGHT_FAILED,
        Ending.WORKSPACE_LOST,
        Ending.STORAGE_ERROR,
        Ending.DISK_FULL,
        Ending.USAGE,
        Ending.INTERNAL_ERROR,
    }
)
"""Endings that say nothing of the model (DESIGN: the table of endings)."""

NULL_TURNS = [
    {"calls": [{"name": "submit", "arguments": {"summary": "The null policy makes no change.", "give_up": True}}]}
]


class NotFinalError(Exception):
    """The order cannot be finished now, and nothing is wrong with it: the batch's budget is used up."""


def _quiet(_: str) -> None:
    """Say nothing: a worker's screen has no room for what is usual."""


def work(
    order: WorkOrder,
    *,
    purse: Purse | None = None,
    site: BuildSite | None = None,
    listener: Listener | None = None,
    say: Callable[[str], None] = _quiet,
) -> InstanceResult:
    """Solve and grade one order.

    Args:
        order: what to do.
        purse: of the batch.
        site: of the batch; builds of an own process are not counted together with those of others.
        listener: told every event of the agent's run.
        say: told what does not go as usual.

    Raises:
        NotFinalError: the batch's budget ended the run.
    """
    started = time.monotonic()
    before_s = 0.0
    own = OrderPurse(purse, spent_in_all(order.folder))
    settings, base_image = order.settings, order.base_image
    try:
        with ready_environment(
            order.instance, order.flavour, settings.home, base_image=base_image, site=site or BuildSite()
        ) as environment:
            solving = time.monotonic()
            try:
                report = _solve(order, environment, own, listener, say)
            finally:
                own.settle(spent_in_all(order.folder))
            before_s = max(report.seconds - (time.monotonic() - solving), 0.0)  # in processes before this one
            found = _judged(order, environment, report, purse)
            found = found.model_copy(update={"environment": environment.digest})
    except (OstroError, SandboxError) as error:
        found = _infra(order, outcome_of_error(error).ending, error.kind, str(error))
    return found.model_copy(update={"seconds": round(before_s + time.monotonic() - started, 3)})


def _judged(order: WorkOrder, environment: Environment, report: RunReport, purse: Purse | None) -> InstanceResult:
    if report.outcome is Ending.INTERRUPTED or _budget_of_batch(report, purse):
        raise NotFinalError(report.reason)
    if report.outcome in INFRA_ENDINGS:
        kind, reason = (report.error.kind, report.error.message) if report.error else (report.outcome, report.reason)
        return _infra(order, report.outcome, kind, f"{report.outcome}: {reason}", report)
    patch = Path(report.patch).read_bytes() if report.patch else b""
    try:
        judged = judge(order, environment, patch)
    except (OstroError, SandboxError) as error:
        return _infra(order, report.outcome, error.kind, f"grading: {error}", report)
    return _result(order, report, judged, patch)


def judge(order: WorkOrder, environment: Environment, patch: bytes) -> GradeReport:
    """Grade a patch, and keep it beside the grade.

    Raises:
        OstroError, SandboxError: nothing can be said of the patch.
    """
    order.folder.mkdir(parents=True, exist_ok=True)
    (order.folder / PATCH).write_bytes(patch)
    return (
        grade(order.instance, environment, patch, order.folder) if patch.strip() else nothing_to_grade(order.instance)
    )


def _solve(
    order: WorkOrder,
    environment: Environment,
    purse: OrderPurse,
    listener: Listener | None,
    say: Callable[[str], None],
) -> RunReport:
    folder = order.folder / AGENT_RUN
    with _endpoint(order, environment) as changes:
        settings = order.settings.model_copy(
            update={
                **changes,
                "sandbox": environment.flavour,
                "image": environment.image,
                "setup": (),
                "test": "",  # the command of a row names its hidden tests
                "budget": order.settings.budget if order.instance_budget is None else order.instance_budget,
            }
        )
        if (folder / REQUEST_FILE).exists():
            limits = {"budget": settings.budget, "tokens": settings.tokens}  # they may have been raised since
            try:
                return resume(folder, changes | limits, listener, _quiet, purse)
            except (StorageError, UsageError, SandboxError) as error:
                if error.kind == "limit":  # it had ended there, and was only not graded yet
                    return RunReport.model_validate_json((folder / REPORT_FILE).read_bytes())
                if not _is_lost(error):
                    raise
                say(f"{order.instance.instance_id}: begun anew, for it cannot be resumed: {error}")
        set_aside(order.folder)
        purse.settle(spent_in_all(order.folder))
        request = RunRequest(
            repository=environment.repository,
            task=_task(order),
            settings=settings,
            out=folder,
            deliver="patch",
            purse=purse,
        )
        return run(request, listener)


def _is_lost(error: StorageError | UsageError | SandboxError) -> bool:
    """Whether a run can never be gone on with, as opposed to not now: what it has done and cost is given up then."""
    if isinstance(error, SandboxError):
        return error.kind in ("gone", "workspace_lost", "usage")
    return error.kind not in ("disk_full", "locked")


@contextmanager
def _endpoint(order: WorkOrder, environment: Environment) -> Generator[dict[str, Any]]:
    """Serve a scripted policy; yield the settings that point the agent to it, none for a real model."""
    if order.policy == "model":
        yield {}
        return
    turns = scripted_turns(order.instance, environment.repository) if order.policy == "oracle" else NULL_TURNS
    with ScriptedEndpoint(turns) as endpoint:
        yield {"endpoint": endpoint.url, "model": endpoint.model, "price": (0.0, 0.0)}


def _task(order: WorkOrder) -> Task:
    """Return the problem statement, verbatim: a benchmark's text is measured, not mended."""
    text = order.instance.problem_statement
    first = next((line.strip() for line in text.splitlines() if line.strip()), order.instance.instance_id)
    return Task(title=first, text=text, source=order.instance.instance_id)


def _budget_of_batch(report: RunReport, purse: Purse | None) -> bool:
    return report.outcome in (Ending.COST_LIMIT, Ending.TOKEN_LIMIT) and bool(purse and purse.exhausted())


def _infra(order: WorkOrder, ending: Ending, kind: str, reason: str, report: RunReport | None = None) -> InstanceResult:
    spent = spent_in_all(order.folder)
    return InstanceResult(
        instance_id=order.instance.instance_id,
        sample=order.sample,
        ending=ending,
        infra=reason,
        infra_kind=kind,
        tries=order.earlier_tries + 1,
        steps=report.steps if report else 0,
        tokens=spent.tokens,
        cost_usd=round(spent.cost_usd, 6),
    )


def _result(order: WorkOrder, report: RunReport, judged: GradeReport, patch: bytes) -> InstanceResult:
    aside = spent_aside(order.folder)
    return InstanceResult(
        instance_id=order.instance.instance_id,
        sample=order.sample,
        ending=report.outcome,
        grade=judged,
        tries=order.earlier_tries + 1,
        steps=report.steps,
        tokens=(Spent(tokens=report.tokens) + aside).tokens,
        cost_usd=round(report.cost_usd + aside.cost_usd, 6),
        cost_source=report.cost_source,
        agent_seconds=report.seconds,
        patch_sha256=hashlib.sha256(patch).hexdigest() if patch else "",
        patch_bytes=len(patch),
        repairs=report.repairs,
    )
