"""Money that was spent counts, whatever became of the run that spent it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.agent.outcome import Tokens
from ostro.agent.record.lock import RunLock
from ostro.agent.record.trajectory import read_events
from ostro.benchmarks.engine import ThreadEngine
from ostro.benchmarks.eval_request import EvalRequest
from ostro.benchmarks.harness import Work, evaluate
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.orders import WorkOrder
from ostro.benchmarks.results import InstanceResult
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.benchmarks.scripted_exchange import FaultPlan
from ostro.benchmarks.solving import work
from ostro.benchmarks.spending import OrderPurse, Spent, set_aside, spent_aside, spent_in_all
from ostro.benchmarks.store import instance_folder, logs_of, read_run
from tests.faults.batches import Silent

A_CALL = 0.001
"""Dollars: 1,000 tokens at a dollar per million."""

USAGE = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}
LOOK: dict[str, Any] = {"usage": USAGE, "calls": [{"name": "bash", "arguments": {"command": "true"}}]}
GIVE_UP: dict[str, Any] = {
    "usage": USAGE,
    "calls": [{"name": "submit", "arguments": {"summary": "I cannot.", "give_up": True}}],
}


class Kept:
    """Keeps the purse that a batch hands out."""

    def __init__(self) -> None:
        self.purse = Purse(budget_usd=None)

    def __call__(self, purse: Purse) -> Work:
        self.purse = purse
        return lambda order: work(order, purse=purse)


@pytest.fixture
def batch(
    small_instance: Instance, instances_home: Path, tmp_path: Path
) -> Callable[[ScriptedEndpoint, float], EvalRequest]:
    """One instance under a budget, answered by an endpoint that costs a tenth of a cent a reply."""

    def request(endpoint: ScriptedEndpoint, budget: float) -> EvalRequest:
        settings = Settings(
            endpoint=endpoint.url, model=endpoint.model, price=(1.0, 1.0), budget=budget, home=instances_home
        )
        return EvalRequest(
            instances=(small_instance,), dataset="one", settings=settings, out=tmp_path / "out", flavour="local"
        )

    return request


def test_evaluate_when_an_instance_has_to_begin_anew_then_what_it_had_spent_counts(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest], small_instance: Instance
) -> None:
    with ScriptedEndpoint([LOOK, {**LOOK, "content": "Again."}, GIVE_UP]) as endpoint:
        small = batch(endpoint, 2 * A_CALL)
        run, stopped = evaluate(small, ThreadEngine(1), Kept(), Silent())
        assert (len(run.results), "budget" in stopped) == (0, True)
        folder = instance_folder(small.out, small_instance.instance_id)
        assert spent_in_all(folder).cost_usd == pytest.approx(2 * A_CALL)
        shutil.rmtree(folder / "run" / "base.git")  # without its base it cannot be gone on with

        kept = Kept()
        run, stopped = evaluate(batch(endpoint, 1.0), ThreadEngine(1), kept, Silent())

    (result,) = run.results
    assert stopped == ""
    assert result.steps == 4, "it is asked once whether it means to give up"
    assert result.cost_usd == pytest.approx(6 * A_CALL)
    assert result.tokens == Tokens(input=5400, output=600)
    assert kept.purse.spent_usd == pytest.approx(6 * A_CALL)
    assert kept.purse.spent_tokens == 6000
    assert len(list(read_events(folder / "run.aside-1" / "trajectory.jsonl"))) > 2
    assert read_run(small.out).results[0].cost_usd == result.cost_usd


def test_evaluate_when_a_raised_budget_lets_an_instance_go_on_then_nothing_is_paid_or_counted_twice(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest], small_instance: Instance
) -> None:
    kept = Kept()
    with ScriptedEndpoint([LOOK, {**LOOK, "content": "Again."}, GIVE_UP]) as endpoint:
        evaluate(batch(endpoint, 2 * A_CALL), ThreadEngine(1), Kept(), Silent())
        run, _ = evaluate(batch(endpoint, 1.0), ThreadEngine(1), kept, Silent())
        assert len(endpoint.requests) == 4

    (result,) = run.results
    assert (result.steps, result.ending) == (4, "gave_up")
    assert result.cost_usd == pytest.approx(4 * A_CALL)
    assert kept.purse.spent_usd == pytest.approx(4 * A_CALL)


def test_evaluate_when_the_grading_of_a_finished_run_is_done_again_then_its_cost_is_booked(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest], small_instance: Instance
) -> None:
    kept = Kept()
    with ScriptedEndpoint([LOOK, GIVE_UP]) as endpoint:
        request = batch(endpoint, 1.0)
        evaluate(request, ThreadEngine(1), Kept(), Silent())
        (instance_folder(request.out, small_instance.instance_id) / "result.json").unlink()
        run, _ = evaluate(request, ThreadEngine(1), kept, Silent())
        assert len(endpoint.requests) == 3

    assert run.results[0].cost_usd == pytest.approx(3 * A_CALL)
    assert kept.purse.spent_usd == pytest.approx(3 * A_CALL)


def test_evaluate_when_a_run_had_ended_at_its_limit_and_was_not_graded_then_it_is_graded_and_not_made_again(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest], small_instance: Instance
) -> None:
    with ScriptedEndpoint([LOOK, {**LOOK, "content": "Again."}, GIVE_UP]) as endpoint:
        request = replace(batch(endpoint, 1.0), instance_budget=2 * A_CALL)
        evaluate(request, ThreadEngine(1), Kept(), Silent())
        (instance_folder(request.out, small_instance.instance_id) / "result.json").unlink()
        kept = Kept()
        run, _ = evaluate(request, ThreadEngine(1), kept, Silent())
        assert len(endpoint.requests) == 2

    assert (run.results[0].ending, run.results[0].status) == ("cost_limit", "empty_patch")
    assert run.results[0].seconds >= run.results[0].agent_seconds > 0
    assert kept.purse.spent_usd == pytest.approx(2 * A_CALL)


def test_evaluate_when_a_worker_crashes_then_its_result_tells_what_it_had_spent(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest],
) -> None:
    def crashing(purse: Purse) -> Work:
        def crash(order: WorkOrder) -> InstanceResult:
            work(order, purse=purse)
            raise RuntimeError("a bug of ours")

        return crash

    with ScriptedEndpoint([LOOK, GIVE_UP]) as endpoint:
        run, _ = evaluate(batch(endpoint, 1.0), ThreadEngine(1), crashing, Silent())

    (result,) = run.results
    assert (result.infra_kind, result.status) == ("crash", "infra")
    assert result.cost_usd == pytest.approx(3 * A_CALL)
    assert result.tokens == Tokens(input=2700, output=300)


@contextmanager
def no_key(endpoint: ScriptedEndpoint, _: Path) -> Iterator[None]:
    """The endpoint refuses every request."""
    endpoint.faults.append(FaultPlan("401", times=0))
    yield
    endpoint.faults.clear()


@contextmanager
def locked(_: ScriptedEndpoint, folder: Path) -> Iterator[None]:
    """A worker that nobody waits for any more still works on the run, as on a node that was cut off."""
    with RunLock(folder / "run"):
        yield


@contextmanager
def no_isolation(_: ScriptedEndpoint, folder: Path) -> Iterator[None]:
    """The log says that the run is in an engine's sandbox, and no engine answers."""
    request = folder / "run" / "request.json"
    text = request.read_text()
    request.write_text(text.replace('"sandbox": "local"', '"sandbox": "docker"'))
    assert request.read_text() != text
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("DOCKER_HOST", f"unix://{folder}/no.sock")
        yield
    request.write_text(text)


@pytest.mark.parametrize("away", [no_key, locked, no_isolation])
def test_evaluate_when_a_run_cannot_go_on_just_now_then_it_is_kept_and_goes_on_later(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest],
    small_instance: Instance,
    away: Callable[[ScriptedEndpoint, Path], AbstractContextManager[None]],
) -> None:
    with ScriptedEndpoint([LOOK, {**LOOK, "content": "Again."}, GIVE_UP]) as endpoint:
        evaluate(batch(endpoint, A_CALL), ThreadEngine(1), Kept(), Silent())
        folder = instance_folder(batch(endpoint, 1.0).out, small_instance.instance_id)
        with away(endpoint, folder):
            run, _ = evaluate(batch(endpoint, 1.0), ThreadEngine(1), Kept(), Silent())
        assert [result.status for result in run.results] == ["infra"]
        assert run.results[0].cost_usd == pytest.approx(A_CALL)
        run, _ = evaluate(batch(endpoint, 1.0), ThreadEngine(1), Kept(), Silent())

    (result,) = run.results
    assert result.status == "empty_patch"
    assert result.cost_usd == pytest.approx(4 * A_CALL)
    assert not (folder / "run.aside-1").exists()


def test_spent_when_a_log_is_damaged_then_what_stands_before_the_damage_counts(
    batch: Callable[[ScriptedEndpoint, float], EvalRequest], small_instance: Instance
) -> None:
    with ScriptedEndpoint([LOOK, {**LOOK, "content": "Again."}, GIVE_UP]) as endpoint:
        request = batch(endpoint, 1.0)
        evaluate(request, ThreadEngine(1), Kept(), Silent())
    folder = instance_folder(request.out, small_instance.instance_id)
    (log,) = logs_of(folder)
    lines = log.read_bytes().splitlines(keepends=True)
    second = [number for number, line in enumerate(lines) if b'"type":"planned"' in line][1]
    lines[second] = lines[second].replace(b"Again", b"Never")
    log.write_bytes(b"".join(lines))

    assert spent_in_all(folder).cost_usd == pytest.approx(A_CALL)
    set_aside(folder)
    assert spent_aside(folder) == spent_in_all(folder)
    assert spent_aside(folder).token_count == 1000


def test_order_purse_when_the_batch_knows_a_part_then_only_the_rest_is_drawn_from_it() -> None:
    common = Purse(budget_usd=1.0, spent_usd=0.3, spent_tokens=30)
    own = OrderPurse(common, Spent(0.3, Tokens(input=20, output=10)))

    own.draw(0.2, 25)
    assert (common.spent_usd, common.spent_tokens) == (0.3, 30)
    own.draw(0.4, 25)
    own.settle(Spent(0.5, Tokens(input=60)))

    assert common.spent_usd == pytest.approx(0.6)
    assert common.spent_tokens == 60
    assert own.spent_usd == pytest.approx(0.6)
    assert own.spent_tokens == 60
