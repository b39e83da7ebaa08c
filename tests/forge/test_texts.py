"""What leaves for the forge and the job's log: inert, bounded, and the evidence as strict as the seam needs it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ostro.agent.errors import UsageError
from ostro.agent.outcome import Ending
from ostro.forge.evidence import EVIDENCE_FILE, PATCH_NAME, Evidence, read_evidence, write_evidence
from ostro.forge.job_output import (
    SUMMARY_BYTES,
    annotation,
    annotation_lines,
    inert_log_line,
    write_outputs,
    write_summary,
)
from ostro.forge.published_text import code, code_block, one_line, paragraph, plain
from ostro.forge.status import NEXT_STEPS
from tests.forge.conftest import PATCH, Scene

NASTY = st.text(st.sampled_from("ab1 \n`#@/<>[]()!|&;:$\\-~*_\u202e\u200b"), max_size=60) | st.sampled_from(
    ["fixes #1", "Closes: o/r#2", "resolves https://x.example/issues/3", "@all", "/merge", "<!-- x -->", "GH-12",
     "![a](https://e.example)", "\n/close", "`fixes #4`", "::error::x", "x\n> /label ~a", "\n### Evidence\n", "\n===\n",
     "``<details>`", "\\`<img src=x>`", "a ` b\nc `<b>` d", "\\[x\\](//e.example)", "\n```\n", "\n- ~~~\n", "\n|-|-|\n",
     "[a]: //e.example", "\n- # x"]
)  # fmt: skip
RENDERED = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HARMLESS = {"paragraph", "text", "inline", "softbreak", "hardbreak", "code_inline", "code_block", "fence", "hr", "em",
            "strong", "s", "bullet_list", "ordered_list", "list_item", "text_special"}  # fmt: skip
"""The kinds of token that a text may bring with it: no heading, table, link, picture or HTML."""


def kinds(markdown: str) -> set[str]:
    tokens = RENDERED.parse(markdown)
    found = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    return {kind.removesuffix("_open").removesuffix("_close") for kind in found}


@given(st.lists(NASTY, max_size=4).map(" ".join))
def test_paragraph_when_given_anything_then_a_forge_does_nothing_with_it(text: str) -> None:
    shown = paragraph(text, limit=500)
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", shown, flags=re.MULTILINE | re.DOTALL)

    assert kinds(shown) <= HARMLESS
    assert re.search(r"\b(?:fix(?:es)?|clos(?:es)?|resolves)[\s:]+\S*#\d", outside, re.IGNORECASE) is None
    assert re.search(r"[@#]\w", re.sub(r"&#\d\d\d?;", "", outside)) is None
    assert re.search(r"^[ \t>*+-]*/[A-Za-z]", outside, re.MULTILINE) is None
    assert "://" not in outside.replace("\u200b://", "")


@given(st.lists(NASTY, max_size=4).map(" ".join))
def test_paragraph_when_between_others_then_they_stay_what_they_are(text: str) -> None:
    tokens = RENDERED.parse(f"before\n\n{paragraph(text, limit=500)}\n\n### Evidence\n")
    assert [token.type for token in tokens[-3:]] == ["heading_open", "inline", "heading_close"]


def test_paragraph_when_it_holds_code_then_that_is_shown_as_it_is() -> None:
    shown = paragraph("Use `List<int>`:\n\n```python\nx: List[int] = []\n```\n\nDone.", limit=500)
    assert shown == "Use `List<int>`:\n\n```text\nx: List[int] = []\n```\n\nDone."


def test_paragraph_when_it_is_nothing_but_markup_then_what_comes_of_it_is_bounded() -> None:
    assert 6_000 <= len(paragraph("|" * 10_000, limit=6000)) <= 12_000


@pytest.mark.parametrize("said", ["[skip ci]", "[ci skip]", "[No CI]", "[skip actions]", "[skip-ci]", "[ci_skip]"])
def test_texts_when_they_tell_a_forge_to_skip_ci_then_it_does_not(said: str) -> None:
    for shown in (one_line(f"Mend it {said}", limit=100), plain(f"Mend it {said}", limit=100)):
        assert said not in shown
        assert shown.replace("\u200b", "") == f"Mend it {said}"


def test_code_when_the_text_holds_characters_that_nobody_sees_then_they_are_spelt_out() -> None:
    assert code("a\u202etxt.py") == "`a\\u202etxt.py`"


@given(NASTY, NASTY)
def test_one_line_when_given_anything_then_it_is_one_short_line(first: str, second: str) -> None:
    shown = one_line(f"{first}\n{second}", limit=40)
    assert len(shown) <= 40
    assert "\n" not in shown


@given(st.text(st.sampled_from("a` \n~"), max_size=40))
def test_code_when_the_text_holds_ticks_then_nothing_ends_the_span(text: str) -> None:
    span = code(text)
    ticks = re.match("`+", span)
    assert ticks is not None
    assert span.endswith(ticks[0])
    assert ticks[0] not in span[len(ticks[0]) : -len(ticks[0])].replace("`" * (len(ticks[0]) + 1), "")
    fence = re.match("`+", code_block(text, limit=100))
    assert fence is not None
    assert fence[0] not in text


@given(st.text(), st.text())
def test_annotation_when_its_text_holds_commands_then_it_stays_one_command(message: str, title: str) -> None:
    line = annotation("warning", message, title=title)
    assert line.splitlines()[0].startswith("::warning")
    assert "\n" not in line
    assert "\r" not in line
    head = line[2:].split("::")[0]
    assert "," not in head.removeprefix("warning title=")


def test_annotation_when_escaped_then_as_the_runner_wants_it() -> None:
    assert annotation("error", "a%b\r\nc", title="t: x, y") == "::error title=t%3A x%2C y::a%25b%0D%0Ac"


def test_annotations_when_there_are_more_than_are_shown_then_the_last_says_how_many() -> None:
    few = annotation_lines("warning", [f"line {number}" for number in range(10)], title="Ostro")
    assert few == tuple(f"::warning title=Ostro::line {number}" for number in range(10))
    many = annotation_lines("warning", [f"line {number}" for number in range(25)])
    assert many[8:] == (
        "::warning::line 8",
        "::warning::16 more are in the step's summary and in the files of the run.",
    )


@given(st.lists(st.sampled_from(["::", "##[", ":", "#", " ", "\n", "\r", "x", "\x85", "\u2028", "\v"])).map("".join))
def test_log_line_when_it_holds_a_workflow_command_then_it_is_none_any_more(text: str) -> None:
    shown = inert_log_line(text)
    assert [line for line in shown.split("\n") if line.lstrip().startswith("::")] == []
    assert "##[" not in shown


def test_log_line_when_it_names_a_test_then_it_stays_as_it_is() -> None:
    assert inert_log_line("bash pytest tests/x.py::test_y") == "bash pytest tests/x.py::test_y"


def test_outputs_when_a_value_holds_lines_then_it_cannot_make_another_output(tmp_path: Path) -> None:
    path = tmp_path / "outputs"
    write_outputs(path, {"reason": "x\nend-0\nskipped=true", "issue": "1"})
    delimiters = re.findall(r"<<(end-[0-9a-f]{32})$", path.read_text(), re.MULTILINE)
    assert len(set(delimiters)) == 2


def test_summary_when_it_is_too_large_then_it_is_cut_with_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    write_summary(path, "ä" * SUMMARY_BYTES)
    assert SUMMARY_BYTES - 8 < path.stat().st_size <= SUMMARY_BYTES
    assert path.read_text().endswith("1 MiB ...]_\n")


def test_next_steps_when_listed_are_there_for_every_ending_but_success() -> None:
    assert set(Ending) - set(NEXT_STEPS) == {Ending.SUBMITTED}


def test_evidence_when_written_then_it_is_read_again(scene: Scene, tmp_path: Path) -> None:
    evidence = scene.evidence()
    write_evidence(tmp_path, evidence, PATCH)
    assert read_evidence(tmp_path) == (evidence, PATCH)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema"),
        ({"branch": "-x"}, "branch"),
        ({"branch": "a b"}, "branch"),
        ({"base_commit": "main"}, "base_commit"),
        ({"issue": 0}, "issue"),
        ({"extra": 1}, "extra"),
        ({"cost_usd": -1}, "cost_usd"),
        ({"actor": "a\nb"}, "actor"),
        ({"reason": "x" * 5000}, "reason"),
        ({"trigger": "label: fix) fixes #99"}, "trigger"),
        ({"cost_source": "@everyone"}, "cost_source"),
        ({"run_url": "https://x.example/a) [b](https://y.example"}, "run_url"),
    ],
)
def test_evidence_when_a_value_is_not_what_solve_writes_then_it_is_refused(
    scene: Scene, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    write_evidence(tmp_path, scene.evidence(), PATCH)
    data = json.loads((tmp_path / EVIDENCE_FILE).read_text()) | change
    (tmp_path / EVIDENCE_FILE).write_text(json.dumps(data))
    with pytest.raises(UsageError, match=f"is not what .*{said}"):
        read_evidence(tmp_path)


def test_evidence_when_the_patch_is_another_or_a_link_then_it_is_refused(scene: Scene, tmp_path: Path) -> None:
    write_evidence(tmp_path, scene.evidence(), PATCH)
    (tmp_path / PATCH_NAME).write_bytes(PATCH + b"\n")
    with pytest.raises(UsageError, match="digest"):
        read_evidence(tmp_path)
    (tmp_path / PATCH_NAME).unlink()
    (tmp_path / PATCH_NAME).symlink_to("/etc/passwd")
    with pytest.raises(Exception, match="cannot read"):
        read_evidence(tmp_path)
    (tmp_path / PATCH_NAME).unlink()
    os.mkfifo(tmp_path / PATCH_NAME)
    with pytest.raises(UsageError, match="digest"):
        read_evidence(tmp_path)


def test_evidence_when_not_green_then_says_so(scene: Scene) -> None:
    assert scene.evidence().green
    assert not scene.evidence(outcome=Ending.STEP_LIMIT).green
    assert not scene.evidence(b"").green
    assert Evidence.model_json_schema()["additionalProperties"] is False
