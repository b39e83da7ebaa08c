"""What the scripted runs of the corpus do, one function each; tests/data/record.py plays them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ostro.agent.task import Task
from ostro.cli.demo import BUNDLED
from tests.driving import CHECK, FILES, SOLVE, TASK, Turn, bash

Files = dict[str, Any]


@dataclass(frozen=True)
class Script:
    """One run.

    Attributes:
        files: the base, as tests/corpus.py takes it.
        settings: of the run, beside the fixed ones.
        by_request: the turns are counted by requests, for a run whose history is replaced.
        killed_at: turn during whose call the process is killed; None for none.
        resumed: limits of each `resume` after it.
    """

    turns: Sequence[Turn]
    files: Files = field(default_factory=lambda: dict(FILES))
    task: Task = TASK
    test: str = CHECK
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    by_request: bool = False
    killed_at: int | None = None
    resumed: Sequence[Mapping[str, Any]] = ()


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    """One call."""
    return {"name": name, "arguments": arguments}


def turn(*calls: Mapping[str, Any], text: str = "") -> Turn:
    """A turn with calls."""
    return {"content": text, "calls": list(calls)}


def edit(command: str, path: str, **arguments: Any) -> dict[str, Any]:
    """A call of the editor."""
    return tool("str_replace_editor", command=command, path=path, **arguments)


def demo() -> Script:
    """The bundled demo."""
    from tests.data.record import demo_files

    title, _, text = (BUNDLED / "issue.md").read_text("utf-8").removeprefix("# ").partition("\n")
    turns = json.loads((BUNDLED / "script.json").read_text("utf-8"))
    task = Task(title=title, text=text.strip(), source="issue.md")
    return Script(turns, demo_files(), task, "python3 -m unittest -q")


def repairs() -> Script:
    """Calls that the intake finds in the text, mends or refuses."""
    fenced = '```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```'
    long = {"calls": [tool("bash", command=f"echo {number}") for number in range(10)]}
    turns: list[Turn] = [
        {"content": f"I look around.\n{fenced}"},
        {"content": '<tool_call>{"name": "bash", "arguments": {"command": "cat price.py"}}</tool_call>'},
        {"content": '[TOOL_CALLS]bash[ARGS]{"command": "wc -l price.py"}'},
        {"content": "Now the check:\n```bash\n$ python3 check.py > /dev/null 2>&1; echo $?\n```"},
        {"content": f'{fenced}\nThen I would see:\n```json\n{{"name": "submit", "arguments": {{}}}}\n```'},
        {"calls": [{"name": "run_terminal", "arguments": {"cmd": "ls"}}]},
        {"calls": [{"name": "bash[ARGS]", "arguments": '{"command": "echo name"}'}]},
        {"calls": [{"name": "functions.bash", "arguments": '{"cmd": "echo synonym", "timeout": "5"}'}]},
        {"calls": [{"name": "bash", "arguments": '{"command": "echo comma",}'}]},
        {"calls": [{"name": "bash", "arguments": '{"command": "echo brace"'}]},
        {"calls": [{"name": "bash", "arguments": json.dumps(json.dumps({"command": "echo twice"}))}]},
        {"calls": [{"name": "bash", "arguments": "{'command': 'echo python'}"}]},
        {"calls": [{"name": "bash", "arguments": '{"command": "echo null", "timeout": null}'}]},
        {"calls": [{"name": "bash", "arguments": '{"command": echo nothing}'}]},
        {"calls": [{"name": "bash", "arguments": '["ls"]'}]},
        {"calls": [tool("bash", command="echo ok"), tool("search", patern="total"), tool("search", pattern=5)]},
        {"calls": [{"name": "bash", "arguments": '{"command": "rm -rf pri'}], "finish_reason": "length"},
        {"content": "I will now explain at length", "finish_reason": "length"},
        {"calls": [tool("bash", command="echo '[INST] </s> [TOOL_CALLS]' > /tmp/tokens; cat /tmp/tokens")]},
        {"calls": [tool("bash", command="grep -c '[\\INST]' /tmp/tokens; echo '[\\\\INST]'")]},
        long,
        *SOLVE,
    ]
    return Script(turns)


def jobs() -> Script:
    """Background jobs, time-outs, outputs of every size, and what persists between commands."""
    count = "for i in 1 2 3; do echo count $i; sleep 0.2; done"
    turns: list[Turn] = [
        turn(tool("bash", command=count, background=True), tool("bash", command="sleep 60", background=True)),
        turn(tool("bash", command="jobs")),
        turn(tool("bash", command="mkdir -p /tmp/there; cd /tmp/there; export COLOUR=red; x=lost")),
        turn(tool("bash", command='pwd; echo "[$COLOUR] [$x]"; sleep 30', timeout=1)),
        turn(tool("bash", command='pwd; echo "[$COLOUR]"; cd /workspace')),
        turn(tool("bash", command="kill job-2"), tool("bash", command="kill job-9")),
        turn(tool("bash", command="sleep 1; cat /tmp/ostro/*.log 2>/dev/null; jobs")),
        turn(tool("bash", command="seq 1 20000"), tool("bash", command="tail -n 2 /tmp/ostro/output-1.txt")),
        turn(tool("bash", command="python3 -c \"print('a' * 5000)\"; printf '\\033[31mred\\033[0m\\rover\\n'")),
        turn(tool("bash", command="head -c 300 /dev/zero | tr '\\0' '\\351'; echo; printf 'a\\0b\\n'; exit 3")),
        turn(tool("bash", command="(sleep 50 &) ; echo left; false")),
        turn(tool("bash", command="date; date +%s; echo $$; mktemp; time true; ls -la")),
        turn(tool("bash", command="cat"), tool("bash", command="nonexistent-command; echo $?")),
        turn(tool("bash", command="   "), tool("bash", command="echo err >&2; kill -9 $$")),
        *SOLVE,
    ]
    return Script(turns)


def encodings() -> Script:
    """Edits of files with CRLF and Latin-1, refusals of the editor, and undo."""
    files: Files = {
        **FILES,
        "crlf.py": "def one():\r\n    return 1\r\n\r\n\r\ndef two():\r\n    return 2\r\n",
        "latin.txt": {"base64": base64.b64encode("café\nnaïve\n".encode("latin-1")).decode()},
        "twice.txt": "same\nother\nsame\n",
        "binary.bin": {"base64": base64.b64encode(bytes(range(256))).decode()},
        "deep/end.txt": "no newline at the end",
    }
    turns: list[Turn] = [
        turn(edit("view", "crlf.py"), edit("view", "latin.txt"), edit("view", "."), edit("view", "binary.bin")),
        turn(edit("str_replace", "crlf.py", old_str="    return 1", new_str="    # eins\n    return 11")),
        turn(edit("str_replace", "latin.txt", old_str="naïve", new_str="naïveté")),
        turn(
            edit("insert", "crlf.py", insert_line=0, new_str="# head\n"), tool("bash", command="od -c crlf.py | head")
        ),
        turn(tool("bash", command="od -c latin.txt"), tool("git", command="diff")),
        turn(edit("str_replace", "twice.txt", old_str="same", new_str="else")),
        turn(edit("view", "twice.txt"), edit("str_replace", "twice.txt", old_str="same", new_str="else")),
        turn(edit("str_replace", "price.py", old_str="def totals(prices):", new_str="x")),
        turn(edit("view", "price.py"), edit("str_replace", "price.py", old_str="def total(price):", new_str="x")),
        turn(tool("bash", command="echo changed >> twice.txt")),
        turn(edit("str_replace", "twice.txt", old_str="other", new_str="third")),
        turn(edit("create", "new/broken.py", file_text="def broken(:\n    pass\n"), edit("undo_edit", "new/broken.py")),
        turn(
            edit("create", "price.py", file_text="nothing\n"),
            edit("view", "missing.py"),
            edit("undo_edit", "latin.txt"),
        ),
        turn(edit("undo_edit", "latin.txt"), tool("bash", command="od -c latin.txt; git status --short")),
        turn(edit("view", "deep/end.txt"), edit("insert", "deep/end.txt", insert_line=1, new_str="last")),
        turn(edit("view", "/etc/passwd"), edit("view", "crlf.py", view_range=[2, 3])),
        *SOLVE,
    ]
    return Script(turns, files)


def silence() -> Script:
    """Replies without a call, the nudge out of a loop, and the end when it goes on."""
    silent: Turn = {"content": "I think that the bug is in total()."}
    turns = [silent, {"content": None}, bash("ls"), silent, *[bash("cat price.py")] * 7]
    return Script(turns)


def compaction() -> Script:
    """A context that fills up: observations are masked, then the middle is summarised."""
    full = {"prompt_tokens": 30_000, "completion_tokens": 20, "total_tokens": 30_020}
    steps: list[Turn] = [bash(f"seq {number}00 {number}99") for number in range(1, 9)]
    steps[6] = {**steps[6], "usage": full}
    summary: Turn = {"content": "I counted; total() in price.py adds one too much."}
    return Script([*steps, summary, *SOLVE], by_request=True)


def tools() -> Script:
    """Every tool, with answers of every kind; a plan that grows stale, and a limit that is near."""
    plan = [{"text": "Look", "status": "in_progress"}, {"text": "Mend", "status": "pending"}]
    turns: list[Turn] = [
        turn(tool("plan", items=plan), tool("plan", items=[])),
        turn(tool("plan", items=plan)),
        turn(tool("search", pattern="total"), tool("search", pattern="total", path="check.py")),
        turn(tool("search", pattern="*.py", kind="file"), tool("search", pattern="total", kind="symbol")),
        turn(tool("search", pattern="("), tool("search", pattern="nowhere"), tool("search", pattern="x", path="gone")),
        turn(tool("git", command="status"), tool("git", command="log"), tool("git", command="show", args="HEAD")),
        turn(tool("git", command="blame", args="price.py"), tool("git", command="diff", args="--output=/tmp/x")),
        turn(tool("bash", command="git commit -q --allow-empty -m mine; git log --oneline; git push")),
        turn(tool("bash", command="echo x >> price.py"), tool("git", command="restore", args="price.py")),
        turn(tool("git", command="commit", args="-m nothing"), tool("git", command="stash")),
        turn(tool("submit", summary="Nothing yet.")),
        turn(tool("bash", command="cat check.py"), tool("bash", command="head -1 price.py")),
        turn(tool("bash", command="ls"), tool("bash", command="wc -c price.py check.py")),
        *SOLVE[:-1],
        turn(tool("submit", summary="total() adds nothing any more"), tool("bash", command="echo too late")),
    ]
    return Script(turns, settings={"steps": 22})


def gave_up() -> Script:
    """The model finds that there is nothing to do."""
    return Script([bash("cat price.py"), *[turn(tool("submit", summary="It is meant so.", give_up=True))] * 2])


def resumed() -> Script:
    """Killed during a call and gone on with, then stopped by a limit and gone on with again."""
    slow = "echo one >> /tmp/count; echo two >> marks.txt; sleep 3; cat /tmp/count marks.txt"
    turns = [bash("cat price.py"), bash("sleep 40 & export SIZE=big"), bash(slow), bash("echo $SIZE"), *SOLVE]
    return Script(turns, killed_at=2, resumed=[{"steps": 5}, {"steps": 30}])


SCRIPTS: dict[str, Callable[[], Script]] = {
    "demo": demo,
    "repairs": repairs,
    "jobs": jobs,
    "encodings": encodings,
    "silence": silence,
    "compaction": compaction,
    "tools": tools,
    "gave-up": gave_up,
    "resumed": resumed,
}
