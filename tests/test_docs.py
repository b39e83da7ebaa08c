"""What the documentation shows works: commands parse, targets and links exist, reference pages fit the code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ostro.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(?:sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:sudo )?(?:ostro|make) [^`\n]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def shown_commands(program: str) -> list[str]:
    """Every command line of `program` in the pages, without prompt, pipe and remark."""
    blocks = (re.sub(r"\\\n *", "", block) for page in PAGES for block in BLOCK.findall(page.read_text()))
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [code for page in PAGES for code in INLINE.findall(page.read_text())]
    found: set[str] = set()
    for line in lines:
        text = re.split(r"\s{2,}|\s#|\s\(|\s>", line.strip().rpartition("| ")[2])[0]
        text = text.removeprefix("$ ").removeprefix("sudo ")
        if re.match(rf"{program} [a-z-]", text):
            found.add(text)
    return sorted(found)


def test_pages_when_searched_show_commands() -> None:
    assert len(shown_commands("ostro")) > 25
    assert {"make demo", "make test"} <= set(shown_commands("make"))


@pytest.mark.parametrize("line", shown_commands("ostro"))
def test_ostro_command_of_the_docs_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version")
        return
    assert words[0] in COMMANDS, line
    name, command, rest = cli.resolve_command(click.Context(cli), words)
    assert command is not None
    if rest in ([], ["--help"], ["COMMAND", "--help"]):
        return
    with command.make_context(name, rest, parent=click.Context(cli)) as context:
        if isinstance(command, click.Group) and (words := [*context._protected_args, *context.args]):
            child = command.get_command(context, words[0])
            assert child is not None, line
            child.make_context(words[0], words[1:], parent=context)


@pytest.mark.parametrize("line", shown_commands("make"))
def test_make_target_of_the_docs_exists(line: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = [word.rstrip(",.") for word in shlex.split(line)[1:] if "=" not in word]
    assert set(wanted) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_security_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _text_of(ROOT / file)]
    assert missing == []


def test_security_page_when_it_makes_a_promise_then_names_a_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    promises = text[text.index("## What is promised") : text.index("## Attempts noticed")]
    rows = [line for line in promises.splitlines() if line.startswith("| ") and "| shown by" not in line]
    assert rows
    assert [row for row in rows if "`tests/" not in row] == []


def _text_of(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def test_reference_pages_fit_the_code() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "typings")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_changelog_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in COMMANDS if name not in text] == []
