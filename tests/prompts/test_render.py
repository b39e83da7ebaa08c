"""Every prompt as a model reads it, compared with the text under snapshots/.

After a wanted change: `UPDATE_SNAPSHOTS=1 pytest tests/prompts`, then read the difference in git.
"""

from __future__ import annotations

import os
from pathlib import Path

import jinja2
import pytest

from ostro.prompts.render import describe_tool, prompts_digest, render, template_names
from ostro.tools.registry import Toolset

SNAPSHOTS = Path(__file__).parent / "snapshots"
NAMES = ["bash", "str_replace_editor", "search", "git", "plan", "submit"]
ISSUE = '<issue id="7f3a">\nadd() subtracts.\n</issue id="7f3a">'

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "fresh_look": (
        "fresh_look.j2",
        {"title": "total() is one too high", "path": "price.py", "text": "def total(prices):\n    return 1"},
    ),
    "system": ("system.j2", {}),
    "task_full": (
        "task.j2",
        {
            "issue": ISSUE,
            "title": "add() subtracts",
            "workdir": "/workspace",
            "test_command": "python -m pytest -q",
            "files": [{"path": "price.py", "text": "price.py:\n     1\tdef total(prices):"}],
            "instructions": "Keep Python 3.8 working.",
            "repository_instructions": "<guidelines>\nUse tabs.\n</guidelines>",
            "notes": ["The repository has uncommitted changes that are not here."],
        },
    ),
    "task_plain": (
        "task.j2",
        {
            "issue": ISSUE,
            "title": "",
            "workdir": "/workspace",
            "test_command": "",
            "files": [],
            "instructions": "",
            "repository_instructions": "",
            "notes": [],
        },
    ),
    "no_call": ("no_call.j2", {"names": NAMES, "remaining": None, "path": ""}),
    "no_call_left": ("no_call.j2", {"names": NAMES, "remaining": 2, "path": "src/price.py"}),
    "no_call_last": ("no_call.j2", {"names": NAMES, "remaining": 0, "path": ""}),
    "invalid_call": (
        "invalid_call.j2",
        {"name": "bash", "problem": "command is missing.", "expected": "bash(command: string)"},
    ),
    "invalid_call_bare": ("invalid_call.j2", {"name": "bash", "problem": "the arguments are no JSON.", "expected": ""}),
    "unknown_tool": ("unknown_tool.j2", {"name": "shell", "names": NAMES, "suggestion": ""}),
    "unknown_tool_near": ("unknown_tool.j2", {"name": "bsh", "names": NAMES, "suggestion": "bash"}),
    "repeated_same": ("repeated.j2", {"pattern": "same", "times": 3}),
    "repeated_alternating": ("repeated.j2", {"pattern": "alternating", "times": 4}),
    "repeated_stale": ("repeated.j2", {"pattern": "stale", "times": 10}),
    "masked": ("masked.j2", {"call": "bash `ls -la src`", "lines": 212, "saved": ""}),
    "masked_saved": ("masked.j2", {"call": "bash `make`", "lines": 9000, "saved": "/tmp/ostro/output-3.txt"}),
    "cut_off_text": ("cut_off.j2", {"had_call": False, "max_tokens": 4096}),
    "cut_off_call": ("cut_off.j2", {"had_call": True, "max_tokens": 4096}),
    "limit_near": ("limit_near.j2", {"left": "5 steps"}),
    "review": (
        "review.j2",
        {
            "diff": "diff --git a/a.py b/a.py\n-x\n+y",
            "new_files": ["repro.py"],
            "test_files": ["tests/test_a.py"],
            "test_command": "pytest -q",
        },
    ),
    "review_plain": (
        "review.j2",
        {"diff": "diff --git a/a.py b/a.py\n-x\n+y", "new_files": [], "test_files": [], "test_command": ""},
    ),
    "empty_patch": ("empty_patch.j2", {"give_up": False}),
    "empty_patch_give_up": ("empty_patch.j2", {"give_up": True}),
    "plan_reminder": ("plan_reminder.j2", {"age": 15, "plan": "1. [x] look\n2. [>] mend"}),
    "interrupted_repeated": ("interrupted.j2", {"name": "bash", "repeated": True, "times": 1}),
    "interrupted_not_run": ("interrupted.j2", {"name": "bash", "repeated": False, "times": 3}),
    "not_run": ("not_run.j2", {"limit": 8}),
    "summary": ("summary.j2", {"max_words": 400}),
    "summarised": ("summarised.j2", {"summary": "add() is wrong.", "files": ["a.py", "b.py"]}),
    "pull_request": (
        "pull_request.j2",
        {"issue": ISSUE, "diff": "-x\n+y", "summary": "Add instead.", "title_chars": 72, "body_words": 200},
    ),
}


def check_snapshot(name: str, text: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(f"{text}\n", encoding="utf-8")
    assert f"{text}\n" == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_prompt_when_rendered_then_is_the_reviewed_text(name: str) -> None:
    template, values = CASES[name]
    check_snapshot(name, render(template, **values))


@pytest.mark.parametrize("name", Toolset.default(vision=True).names)
def test_tool_description_when_rendered_then_is_the_reviewed_text(name: str) -> None:
    tool = Toolset.default(vision=True).get(name)
    assert tool is not None
    check_snapshot(f"tool_{name}", describe_tool(name, **tool.description_values))


def test_templates_when_listed_then_each_has_a_snapshot() -> None:
    covered = {template for template, _ in CASES.values()}
    covered |= {f"tools/{name}.md" for name in Toolset.default(vision=True).names}
    assert set(template_names()) == covered


def test_snapshots_when_listed_then_each_belongs_to_a_case() -> None:
    expected = set(CASES) | {f"tool_{name}" for name in Toolset.default(vision=True).names}
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == expected


@pytest.mark.parametrize("name", CASES)
def test_prompt_when_a_value_is_missing_then_refuses_to_render(name: str) -> None:
    template, values = CASES[name]
    for missing in values:
        others = {key: value for key, value in values.items() if key != missing}
        # A value that only a branch uses may go unnoticed; where its absence shows, it must be an error.
        try:
            text = render(template, **others)
        except jinja2.UndefinedError:
            continue
        assert text == render(template, **values)


def test_system_prompt_when_counted_then_has_100_to_250_words() -> None:
    assert 100 <= len(render("system.j2").split()) <= 250


def test_system_prompt_when_rendered_then_holds_no_number_that_could_change() -> None:
    assert not any(character.isdigit() for character in render("system.j2"))


def test_issue_when_it_looks_like_a_template_then_stays_as_it_is() -> None:
    _, values = CASES["task_plain"]
    text = render("task.j2", **{**values, "issue": "{{ 7 * 7 }} {% include 'system.j2' %} <b>&amp;</b>"})
    assert "{{ 7 * 7 }} {% include 'system.j2' %} <b>&amp;</b>" in text


def test_template_when_unknown_then_says_so() -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        render("no_such.j2")


def test_digest_when_taken_twice_then_is_the_same_sha256() -> None:
    assert prompts_digest() == prompts_digest()
    assert len(prompts_digest()) == 64
