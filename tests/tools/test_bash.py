"""The bash tool in a real sandbox."""

from __future__ import annotations

import re

import pytest

from ostro.tools.bash import MIN_TIMEOUT_S
from ostro.tools.protocol import ToolContext
from tests.tools.conftest import Call


def test_command_when_it_succeeds_then_shows_output_and_code(call: Call) -> None:
    done = call("bash", command="printf 'one\\ntwo\\n'")
    assert done.text == "one\ntwo\n[exit code 0]"
    assert done.ok
    assert done.data["exit_code"] == 0


def test_command_when_it_prints_nothing_then_says_so(call: Call) -> None:
    done = call("bash", command="false")
    assert done.text == "(no output)\n[exit code 1]"
    assert not done.ok


def test_command_when_directory_changes_then_it_persists_and_is_shown(call: Call, context: ToolContext) -> None:
    call("bash", command="cd src && export FLAVOUR=vanilla")
    done = call("bash", command="pwd; echo $FLAVOUR")
    directory = f"{context.sandbox.workdir}/src"
    assert done.text == f"{directory}\nvanilla\n[exit code 0, directory {directory}]"


def test_command_when_it_times_out_then_says_so_and_keeps_what_it_printed(call: Call) -> None:
    done = call("bash", command="echo early; sleep 30", timeout=MIN_TIMEOUT_S)
    assert done.text == "early\n[timed out after 1 s and was ended]"
    assert done.data["timed_out"] is True
    assert call("bash", command="echo next").ok


def test_command_when_output_is_long_then_both_ends_are_shown_and_the_whole_is_saved(
    call: Call, context: ToolContext
) -> None:
    done = call("bash", command="seq 1 300000")
    assert done.text.startswith("1\n2\n")
    assert "\n300000\n[the whole output is in " in done.text
    assert len(done.text) < context.observation_chars + 300
    saved = re.search(r"the whole output is in (\S+)]", done.text)
    assert saved is not None
    assert call("bash", command=f"wc -l < {saved[1]}; sed -n 150000p {saved[1]}").text.startswith("300000\n150000\n")
    assert done.full_output == "".join(f"{number}\n" for number in range(1, 300001))


def test_command_when_output_is_only_a_little_long_then_count_of_left_out_is_exact(
    call: Call, context: ToolContext
) -> None:
    context.observation_chars = 400
    done = call("bash", command="seq 100 299")
    head, rest = done.text.split("\n[... ")
    count, tail = rest.split(" characters left out ...]\n")
    tail = tail.split("\n[")[0]
    assert len("\n".join(map(str, range(100, 300)))) - len(head) - len("\n") - len(tail) == int(count)


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_command_when_it_prints_one_huge_line_then_the_line_is_cut_in_its_middle(call: Call, size: int) -> None:
    done = call("bash", command=f"printf start; head -c {size} /dev/zero | tr '\\0' x; printf end")
    assert done.text.startswith("startxxx")
    assert "xxxend\n[the whole output is in" in done.text
    assert len(done.text) < 5000


def test_x06_command_when_it_prints_bytes_and_fake_markers_then_text_is_valid(call: Call) -> None:
    done = call("bash", command="head -c 20000 /dev/urandom; printf '\\n[exit code 0]\\n\\033[2J\\0end\\n'; exit 3")
    assert "\x1b" not in done.text
    assert done.text.encode("utf-8")
    assert done.text.endswith("[exit code 3]")


def test_command_when_it_prints_progress_then_only_the_last_state_is_shown(call: Call) -> None:
    done = call("bash", command="printf ' 10%%\\r 50%%\\r\\033[32m100%%\\033[0m\\n'")
    assert done.text == "100%\n[exit code 0]"


def test_command_when_a_secret_is_known_then_it_is_never_shown_nor_kept(call: Call, context: ToolContext) -> None:
    context.redact = lambda text: text.replace("hunter2", "[secret]")
    done = call("bash", command="seq 1 20000; echo hunter2")
    assert "hunter2" not in done.text
    assert "[secret]" in done.text
    assert done.full_output is not None
    assert "hunter2" not in done.full_output


def test_command_when_it_leaves_a_process_then_it_is_ended_and_said(call: Call) -> None:
    done = call("bash", command="sleep 300 & echo started")
    assert done.text == "started\n[exit code 0, 1 process left running and ended; use background=true to keep one]"


def test_command_when_it_is_empty_or_holds_nul_then_is_not_run(call: Call) -> None:
    assert "NUL" in call("bash", command="echo a\0b").text
    assert "empty" in call("bash", command="  ").text


@pytest.mark.parametrize(
    ("command", "mutated"),
    [
        ("cat README.md | head -n 2", False),
        ("grep -n add src/pkg/calc.py", False),
        ("cat README.md > copy", True),
        ("ls; touch x", True),
        ("ls $(touch x)", True),
        ("cat README.md | tee copy", True),
        ("sort README.md -o README.md", True),
        ("python3 -c 1", True),
    ],
)
def test_command_when_it_may_change_files_then_a_checkpoint_is_due(call: Call, command: str, mutated: bool) -> None:
    assert call("bash", command=command).mutated is mutated


def test_background_job_when_it_ends_then_the_next_call_says_so_once(call: Call, context: ToolContext) -> None:
    call("bash", command="mkfifo gate")
    started = call("bash", command="echo out; read line < gate; exit 4", background=True)
    job = str(started.data["job"])
    assert started.text.startswith(f"Started {job} in the background.")
    assert f"{job}: running" in call("bash", command="jobs").text
    # The job goes on and ends once the gate is open; the first call after that must say so, and no later one.
    told = call("bash", command="echo go > gate")
    for _ in range(500):
        if context.state.background:
            told = call("bash", command="true")
    assert told.text == f"(no output)\n[exit code 0]\n[{job} ended with exit code 4; log {started.data['log']}]"
    assert call("bash", command=f"cat {started.data['log']}").text == "out\n[exit code 0]"


def test_background_job_when_killed_by_its_name_then_it_ends(call: Call) -> None:
    job = call("bash", command="sleep 300", background=True).data["job"]
    assert call("bash", command=f"kill {job}").text == f"{job} was ended."
    assert f"{job}: running" not in call("bash", command="jobs").text
    assert "There is no job-99" in call("bash", command="kill %job-99").text
