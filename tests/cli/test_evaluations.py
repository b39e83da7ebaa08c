"""The commands of evaluations: bad folders, and the screen while a batch works."""

import io
from pathlib import Path

import pytest

from ostro.benchmarks.orders import WorkOrder
from ostro.cli.batch_screen import BatchScreen
from ostro.cli.main import main
from tests.benchmarks.made_runs import result
from tests.faults.batches import instances, request_for

SMALL = Path(__file__).parents[1] / "benchmarks" / "data" / "small.jsonl"


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["eval", "--tasks", str(SMALL), "--out", "/proc/no/folder", "--policy", "null"], 6, "/proc/no/folder"),
        (["grade", "--tasks", str(SMALL), "--predictions", "gold", "--out", "/proc/no/folder"], 6, "/proc/no/folder"),
        (["validate", "--tasks", str(SMALL), "--out", "/proc/no/folder"], 6, "/proc/no/folder"),
        (["regrade", "nowhere"], 2, "nowhere: no manifest.json"),
        (["report", "nowhere"], 2, "nowhere: no manifest.json"),
        (["compare", "nowhere", "nowhere"], 2, "nowhere: no manifest.json"),
        (["replay", "nowhere"], 2, "nowhere"),
    ],
)
def test_command_when_its_folder_is_no_good_then_one_line_says_so(
    arguments: list[str], code: int, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert ended.value.code == code, told.err
    assert problem in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize(
    ("flags", "code", "problem"),
    [
        (["--model", "nonsense"], 2, "unknown model 'nonsense'"),
        (["--endpoint", "http://127.0.0.1:9/v1", "--model", "m"], 2, "the price of m is not known"),
        ([], 4, "no API key for Vercel AI Gateway"),
        (["--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--price", "0,0", "--sandbox", "none"], 2, "sandbox"),
    ],
)
def test_eval_when_the_model_cannot_be_asked_then_nothing_is_built_or_written(
    flags: list[str], code: int, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--tasks", str(SMALL), "--out", str(tmp_path / "out"), "--sandbox", "local", *flags])
    told = capsys.readouterr().err
    assert ended.value.code == code
    assert problem in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def order(tmp_path: Path) -> WorkOrder:
    request = request_for(tmp_path, 3)
    (first, *_) = instances(3)
    return WorkOrder(instance=first, folder=tmp_path, settings=request.settings, flavour="local")


def test_screen_when_the_terminal_is_narrow_then_the_progress_stands_whole_on_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with BatchScreen(stream, 3, []) as screen:
        screen.begun(order(tmp_path))
        screen.ended(order(tmp_path), result("batch__task-1", cost_usd=0.5))
    last = stream.getvalue()
    assert any(
        line.startswith("1 of 3 done, 1 resolved, $0.5000, about $1.50 in all, about")
        for line in last.replace("\r", "").split("\n")
    ), last


def test_screen_when_an_order_is_tried_again_then_it_counts_once(tmp_path: Path) -> None:
    stream = io.StringIO()
    with BatchScreen(stream, 3, []) as screen:
        screen.ended(order(tmp_path), result("batch__task-1", "infra", cost_usd=0.25))
        screen.ended(order(tmp_path), result("batch__task-1", cost_usd=0.75))
    assert "; 1 of 3 done, 1 resolved, $0.7500, about $2.25 in all" in stream.getvalue().splitlines()[-1]


def test_screen_when_nothing_costs_anything_then_no_money_is_named(tmp_path: Path) -> None:
    stream = io.StringIO()
    with BatchScreen(stream, 3, []) as screen:
        screen.ended(order(tmp_path), result("batch__task-1", cost_usd=0.0, seconds=7300.0))
    assert stream.getvalue().startswith(
        "batch__task-1: resolved, submitted, 10 steps, 2 h 01 min; 1 of 3 done, 1 resolved, about"
    )
    assert "$" not in stream.getvalue()
