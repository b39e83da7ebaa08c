"""Row P10 of the fault matrix: the host has no memory left for Ostro's own process."""

from __future__ import annotations

import re
import resource
import signal
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.agent.record.trajectory import read_events
from ostro.benchmarks.scripted_endpoint import Exchange, FaultPlan, ScriptedEndpoint
from tests.driving import FIX, SUBMIT, bash, git
from tests.running import left_behind, ostro, running
from tests.worlds import missing

LARGE = 12 << 20
TURNS = [FIX, bash("seq 20000; head -c 3000000 /dev/zero | tr '\\0' x"), SUBMIT, SUBMIT]


@pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))
@pytest.mark.parametrize(
    "left",
    [
        pytest.param(1 << 20, id="1 MiB", marks=pytest.mark.slow),
        pytest.param(4 << 20, id="4 MiB"),
        pytest.param(16 << 20, id="16 MiB", marks=pytest.mark.slow),
    ],
)
def test_p10_run_when_memory_runs_out_then_it_ends_in_order_or_can_be_resumed(tmp_path: Path, left: int) -> None:
    """From the second request on the process may have `left` bytes more than it has."""

    def squeeze(exchange: Exchange) -> None:
        status = Path(f"/proc/{run.process.pid}/status").read_text()
        found = re.search(r"VmSize:\s+(\d+) kB", status)
        assert found is not None
        limit = int(found[1]) * 1024 + left
        resource.prlimit(run.process.pid, resource.RLIMIT_AS, (limit, limit))
        exchange.answer["choices"][0]["message"]["content"] = "x" * LARGE
        exchange.play()

    faults = [FaultPlan("squeeze", 1)]
    endpoint = ScriptedEndpoint(TURNS, faults=faults, known_faults={"squeeze": squeeze}, piece_chars=LARGE)
    with endpoint, running(tmp_path, endpoint) as run:
        stdout, stderr = run.process.communicate(timeout=120)
        code = run.process.returncode
        assert code in (0, 5, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT), (stdout, stderr)
        if stdout:
            assert RunReport.model_validate_json(stdout).exit_code == code
        assert len(list(read_events(run.out / "trajectory.jsonl"))) > 5
        if code != 0:
            again = ostro("resume", str(run.out), "--output", "json")
            assert again.returncode == 0, again.stderr
            stdout = again.stdout
    report = RunReport.model_validate_json(stdout)
    assert report.outcome == "submitted"
    assert git(run.repository, "show", f"{report.branch}:price.py").endswith("sum(prices)")
    assert left_behind() == []
