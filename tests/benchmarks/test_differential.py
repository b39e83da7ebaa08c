"""Our verdicts beside those of the swebench package itself, on generated honest logs."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.benchmarks.differential import differences, main, our_reading, report
from ostro.benchmarks.honest_logs import PARSERS_COMPARED, honest_runs
from ostro.benchmarks.official_verdicts import Official, OracleError, ask_official
from ostro.benchmarks.results import TestOutcomes

SWEBENCH = ("swebench==5.0.2", "unidiff==1.0.1")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python of its own that has swebench, without the half a gigabyte that it depends on."""
    folder = tmp_path_factory.mktemp("oracle")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", *SWEBENCH]
    subprocess.run(pip, check=True, capture_output=True)
    return str(folder / "bin" / "python")


@pytest.mark.slow
def test_verdicts_when_compared_with_swebench_then_they_are_the_same(oracle: str) -> None:
    runs = honest_runs(200, seed=3)
    assert differences(runs, ask_official(oracle, runs)) == []


@pytest.mark.slow
def test_script_when_given_the_oracle_then_it_prints_the_agreement(
    oracle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--swebench", oracle, "--logs", "30", "--seed", "5"]) == 0
    assert "30 of 30 logs: the same verdict on the same tests" in capsys.readouterr().out


def test_script_when_the_python_has_no_swebench_then_it_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--swebench", sys.executable, "--logs", "1"]) == 2
    assert "pip install --no-deps swebench" in capsys.readouterr().err
    with pytest.raises(OracleError, match="cannot be asked"):
        ask_official("/absent/python", honest_runs(1, 1))


def test_runs_when_the_seed_is_the_same_then_so_are_they_and_verdicts_vary() -> None:
    runs = honest_runs(150, seed=1)
    assert runs == honest_runs(150, seed=1)
    assert {run.parser for run in runs} == set(PARSERS_COMPARED)
    assert {our_reading(run).verdict for run in runs} == {"resolved", "partial", "unresolved"}


@given(st.integers(0, 10_000))
def test_differences_when_the_oracle_says_otherwise_then_they_are_told(seed: int) -> None:
    runs = honest_runs(3, seed)
    readings = [our_reading(run) for run in runs]
    same = [Official(one.verdict, one.valid, (one.fail_to_pass, one.pass_to_pass)) for one in readings]
    assert differences(runs, same) == []
    other = Official("partial" if readings[0].verdict == "resolved" else "resolved", True, (TestOutcomes(),) * 2)
    (found,) = differences(runs, [other, *same[1:]])
    assert found.run == runs[0]
    assert "2 of 3 logs" in report(runs, [found])
