"""The speed benchmark: what it measures is a real run, and one that did not do the task counts for nothing."""

from pathlib import Path

import pytest

from ostro.benchmarks.speed.__main__ import main, table
from ostro.benchmarks.speed.contestants import Contestant, Start, ostro
from ostro.benchmarks.speed.measure import Measured, SpeedError, measure, median
from ostro.benchmarks.speed.task import COMMANDS


def figures(total_s: float, connections: float) -> Measured:
    return Measured(total_s, 1.0, 10.0, 20.0, 0.5, 2.0, 80.0, 300.0, connections)


def test_measure_when_ostro_does_the_task_then_its_figures_fit_together(tmp_path: Path) -> None:
    (tmp_path / "round").mkdir()
    found = measure(ostro("local", "", tmp_path / "home"), tmp_path / "round")
    assert found.connections == 1
    assert 0 < found.first_request_s < found.total_s
    assert 0 < found.gap_ms <= found.gap_p95_ms
    assert len(COMMANDS) * found.gap_ms / 2000 < found.total_s
    assert found.exit_s < found.total_s - found.first_request_s
    assert found.cpu_s > 0
    assert 20 < found.peak_mb < 2000
    assert found.sent_kb > len(COMMANDS)


def test_measure_when_the_task_is_not_done_then_an_error_with_what_was_said(tmp_path: Path) -> None:
    def start(url: str, repository: Path, folder: Path) -> Start:
        return Start(("sh", "-c", "echo out of order >&2; exit 4"), {"PATH": "/usr/bin:/bin"})

    with pytest.raises(SpeedError, match=r"idler did not do the task \(exit code 4\): out of order"):
        measure(Contestant("idler", start, (), lambda _: ""), tmp_path)


def test_main_when_the_peer_is_not_there_then_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--mini", str(tmp_path / "absent"), "--rounds", "0"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"speed: mini-swe-agent local cannot be started: {tmp_path / 'absent'}: No such file or directory"


def test_table_when_there_is_a_peer_then_medians_and_their_ratio() -> None:
    rounds = {
        "ostro local": [figures(1.0, 1), figures(3.0, 1), figures(2.0, 1)],
        "peer local": [figures(8.0, 30), figures(8.0, 30), figures(9.0, 30)],
    }
    lines = table(list(rounds), rounds)
    assert lines[0] == "| median of 3 | ostro local | peer local | ratio |"
    assert lines[2] == "| total_s | 2 | 8 | 0.25 |"
    assert lines[-1] == "| connections | 1 | 30 | 0.03 |"
    assert median(rounds["ostro local"]).total_s == 2.0
