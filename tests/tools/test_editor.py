"""The editor in a real sandbox: what it changes, what it refuses, and what it says."""

from __future__ import annotations

import pytest

from ostro.tools.protocol import ToolContext
from tests.tools.conftest import CALC, Call

EDITOR = "str_replace_editor"
CALC_PATH = "src/pkg/calc.py"


def content(context: ToolContext, path: str) -> bytes:
    return context.sandbox.read(path)


def test_view_when_file_is_short_then_shows_all_lines_numbered(call: Call, context: ToolContext) -> None:
    shown = call(EDITOR, command="view", path=CALC_PATH)
    assert shown.text.startswith("     1\timport os\n     2\t\n")
    assert shown.text.endswith("    13\t        return result")
    absolute = call(EDITOR, command="view", path=f"{context.sandbox.workdir}/{CALC_PATH}")
    assert absolute.text == shown.text


def test_view_when_range_is_given_then_shows_it_and_says_of_how_many(call: Call, context: ToolContext) -> None:
    context.sandbox.write("forty.txt", b"".join(b"line %d\n" % number for number in range(1, 41)))
    shown = call(EDITOR, command="view", path="forty.txt", view_range=[4, 23]).text
    assert shown.startswith("     4\tline 4\n")
    assert shown.endswith("    23\tline 23\n[lines 4-23 of 40]")


def test_view_when_range_is_a_keyhole_then_widened(call: Call) -> None:
    shown = call(EDITOR, command="view", path=CALC_PATH, view_range=[4, 5]).text
    assert shown.startswith("     4\tdef add(a, b):\n     5\t    return a - b\n")
    assert shown.endswith("[lines 4-13 of 13]")


def test_view_when_it_carries_an_edit_then_says_that_nothing_was_edited(call: Call) -> None:
    shown = call(EDITOR, command="view", path=CALC_PATH, old_str="a - b", new_str="a + b").text
    assert "nothing was edited" in shown
    assert "return a - b" in shown


def test_view_when_range_is_wrong_then_says_how(call: Call) -> None:
    assert "    13\t" in call(EDITOR, command="view", path=CALC_PATH, view_range="[12, -1]").text
    assert "has 13 lines" in call(EDITOR, command="view", path=CALC_PATH, view_range=[50, 60]).text
    assert "ends before" in call(EDITOR, command="view", path=CALC_PATH, view_range=[5, 4]).text
    assert "two numbers" in call(EDITOR, command="view", path=CALC_PATH, view_range=[5]).text


def test_view_when_file_is_large_then_shows_the_beginning_and_how_to_go_on(call: Call, context: ToolContext) -> None:
    context.sandbox.write("big.txt", b"".join(b"line %d\n" % number for number in range(20_000)))
    shown = call(EDITOR, command="view", path="big.txt")
    assert len(shown.text) < context.observation_chars + 200
    assert "of 20000; use view_range" in shown.text


def test_view_when_path_is_a_directory_then_lists_two_levels(call: Call, context: ToolContext) -> None:
    context.sandbox.write("node_modules/dep/index.js", b"x")
    context.sandbox.write("src/pkg/deep/er/x.py", b"x")
    text = call(EDITOR, command="view", path=".").text
    assert "src/\nsrc/pkg/\n" in text
    assert "tests/test_calc.py" in text
    assert "node_modules/ (not shown)" in text
    assert "er/x.py" not in text
    assert ".git" not in text


def test_view_when_directory_is_full_then_says_how_many_are_left_out(call: Call, context: ToolContext) -> None:
    context.sandbox.run(f"cd {context.sandbox.workdir} && mkdir many && cd many && seq 1 500 | xargs touch", cwd="/")
    assert "[300 more entries" in call(EDITOR, command="view", path="many").text


def test_view_when_file_is_missing_then_names_one_of_the_same_name(call: Call) -> None:
    assert (
        call(EDITOR, command="view", path="calc.py").text == "There is no file calc.py. Did you mean src/pkg/calc.py?"
    )
    assert call(EDITOR, command="view", path="nowhere.py").text == "There is no file nowhere.py."


@pytest.mark.parametrize(
    ("data", "words"),
    [("a\n".encode("utf-16"), "UTF-16"), (b"\x7fELF\0\0", "binary"), (b"x" * 9_000_000, "cannot be opened here")],
)
def test_view_when_file_is_no_text_of_a_usual_size_then_says_what_it_is(
    call: Call, context: ToolContext, data: bytes, words: str
) -> None:
    context.sandbox.write("odd", data)
    shown = call(EDITOR, command="view", path="odd")
    assert words in shown.text
    assert not shown.ok


def test_view_when_path_is_a_fifo_then_does_not_wait(call: Call, context: ToolContext) -> None:
    context.sandbox.run("mkfifo pipe", cwd=context.sandbox.workdir)
    assert "cannot be opened here" in call(EDITOR, command="view", path="pipe").text


def test_replace_when_text_is_unique_then_edits_and_shows_the_place(call: Call, context: ToolContext) -> None:
    done = call(EDITOR, command="str_replace", path=CALC_PATH, old_str="a - b", new_str="a + b")
    assert content(context, CALC_PATH).decode() == CALC.replace("a - b", "a + b")
    assert done.text.startswith(f"Edited {CALC_PATH}:\n     2\t")
    assert "     5\t    return a + b" in done.text
    assert done.mutated


def test_replace_when_text_is_missing_then_nothing_changes_and_the_nearest_block_is_shown(
    call: Call, context: ToolContext
) -> None:
    done = call(EDITOR, command="str_replace", path=CALC_PATH, old_str="def add(x, y):\n    return x - y", new_str="x")
    assert content(context, CALC_PATH).decode() == CALC
    assert not done.ok
    assert not done.mutated
    assert "     4\tdef add(a, b):" in done.text
    assert "+    return a - b" in done.text


def test_replace_when_text_is_ambiguous_then_lists_the_lines(call: Call) -> None:
    done = call(EDITOR, command="str_replace", path=CALC_PATH, old_str="result", new_str="x")
    assert "matches 4 times, at lines 10, 12, 13." in done.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"old_str": "a - b"}, 'str_replace needs new_str ("" to delete)'),
        ({"new_str": "a - b"}, "str_replace needs old_str"),
        ({"old_str": "", "new_str": "x"}, "old_str is empty"),
        ({"old_str": "a - b", "new_str": "a - b"}, "are the same"),
    ],
)
def test_replace_when_an_argument_is_useless_then_says_which(call: Call, arguments: dict[str, str], words: str) -> None:
    done = call(EDITOR, command="str_replace", path=CALC_PATH, **arguments)
    assert words in done.text
    assert not done.ok


def test_replace_when_file_changed_since_it_was_seen_then_shows_what_changed_and_accepts_the_next(
    call: Call, context: ToolContext
) -> None:
    call(EDITOR, command="view", path=CALC_PATH)
    call("bash", command=f"sed -i s/total/sum/ {CALC_PATH}")
    edit = {"command": "str_replace", "path": CALC_PATH, "old_str": "a - b", "new_str": "a + b"}
    refused = call(EDITOR, **edit)
    assert not refused.ok
    assert "-    def total(self, numbers):" in refused.text
    assert "+    def sum(self, numbers):" in refused.text
    assert "@@ -7,5 +7,5 @@" in refused.text
    assert b"a - b" in content(context, CALC_PATH)
    assert call(EDITOR, **edit).ok


def test_replace_when_old_content_is_unknown_after_a_resume_then_asks_for_a_view(
    call: Call, context: ToolContext
) -> None:
    call(EDITOR, command="view", path=CALC_PATH)
    context.contents.clear()
    call("bash", command=f"sed -i s/total/sum/ {CALC_PATH}")
    edit = {"command": "str_replace", "path": CALC_PATH, "old_str": "a - b", "new_str": "a + b"}
    assert "View it again first" in call(EDITOR, **edit).text
    call(EDITOR, command="view", path=CALC_PATH)
    assert call(EDITOR, **edit).ok


def test_replace_when_syntax_breaks_then_says_where_and_the_edit_stands(call: Call, context: ToolContext) -> None:
    done = call(EDITOR, command="str_replace", path=CALC_PATH, old_str="def add(a, b):", new_str="def add(a, b:")
    assert "no longer parses: line 4:" in done.text
    assert "undo_edit" in done.text
    assert done.ok
    assert b"def add(a, b:" in content(context, CALC_PATH)


def test_replace_when_file_was_broken_before_then_does_not_blame_the_edit(call: Call, context: ToolContext) -> None:
    context.sandbox.write("old.py", b"print 'python 2'\nx = 1\n")
    done = call(EDITOR, command="str_replace", path="old.py", old_str="x = 1", new_str="x = 2")
    assert "parses" not in done.text


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("a.json", '{\n  "a": 1,\n}\n', "line 3"),
        ("a.toml", "[a]\nb = \n", "line 2"),
        ("a.sh", "if true; then\necho\n", "line 3"),
        ("run", "#!/bin/sh\nfor x in; do\n", "line 3"),
        ("tool", "#!/usr/bin/env python3\ndef f(:\n", "line 2"),
        ("a.py", "x = 1\n  y = 2\n", "line 2"),
    ],
)
def test_create_when_text_does_not_parse_then_says_where(call: Call, path: str, text: str, line: str) -> None:
    done = call(EDITOR, command="create", path=path, file_text=text)
    assert f"no longer parses: {line}" in done.text or f"(at {line}" in done.text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.json", '{"a": [1, 2]}'),
        ("a.toml", "a = 1\r\n"),
        ("a.sh", "case x in a) ;; esac\n"),
        ("a.py", "print(f'{1!r}')\n"),
        ("a.txt", "if (:\n"),
        ("empty.py", ""),
    ],
)
def test_create_when_text_parses_or_has_no_syntax_then_there_is_no_warning(call: Call, path: str, text: str) -> None:
    assert "Warning" not in call(EDITOR, command="create", path=path, file_text=text).text


def test_create_when_javascript_breaks_then_says_where_if_node_is_there(call: Call, context: ToolContext) -> None:
    broken = call(EDITOR, command="str_replace", path="web/app.js", old_str="class App {", new_str="class App (")
    module = call(EDITOR, command="create", path="m.js", file_text="import x from 'y';\nexport const a = 1;\n")
    assert ("line 3: SyntaxError" in broken.text) is context.sandbox.has("node")
    assert "Warning" not in module.text


def test_create_when_file_is_new_then_writes_it_with_its_folders(call: Call, context: ToolContext) -> None:
    done = call(EDITOR, command="create", path="new/deep/a.txt", file_text="one\ntwo\n")
    assert done.text == "Created new/deep/a.txt (2 lines)."
    assert content(context, "new/deep/a.txt") == b"one\ntwo\n"


def test_create_when_file_exists_then_refuses_unless_it_is_empty(call: Call, context: ToolContext) -> None:
    assert "exists already" in call(EDITOR, command="create", path="README.md", file_text="x").text
    context.sandbox.write("empty.txt", b"")
    assert call(EDITOR, command="create", path="empty.txt", file_text="x\n").ok
    assert call(EDITOR, command="undo_edit", path="empty.txt").ok
    assert content(context, "empty.txt") == b""
    assert "is a directory" in call(EDITOR, command="create", path="src", file_text="x").text
    assert "could not be written" in call(EDITOR, command="create", path="README.md/x", file_text="x").text


@pytest.mark.parametrize(
    ("before", "line", "text", "after"),
    [
        (b"a\nb\n", 0, "x", b"x\na\nb\n"),
        (b"a\nb\n", 1, "x\n", b"a\nx\nb\n"),
        (b"a\nb\n", 2, "x", b"a\nb\nx\n"),
        (b"a\nb", 2, "x\n", b"a\nb\nx"),
        (b"a\r\nb\r\n", 1, "x\ny", b"a\r\nx\r\ny\r\nb\r\n"),
        (b"", 0, "x", b"x\n"),
        (b"a\nb\n", 1, "\n", b"a\n\nb\n"),
    ],
)
def test_insert_when_line_is_given_then_text_stands_after_it(
    call: Call, context: ToolContext, before: bytes, line: int, text: str, after: bytes
) -> None:
    context.sandbox.write("a.txt", before)
    call(EDITOR, command="view", path="a.txt")
    done = call(EDITOR, command="insert", path="a.txt", insert_line=line, new_str=text)
    assert done.ok, done.text
    assert content(context, "a.txt") == after


def test_insert_when_file_was_never_seen_or_line_is_outside_then_refuses(call: Call) -> None:
    edit = {"command": "insert", "path": CALC_PATH, "new_str": "x"}
    assert "View src/pkg/calc.py before" in call(EDITOR, insert_line=1, **edit).text
    call(EDITOR, command="view", path=CALC_PATH)
    assert "outside the file, which has 13 lines" in call(EDITOR, insert_line=14, **edit).text
    assert "needs insert_line" in call(EDITOR, **edit).text


def test_undo_when_repeated_then_takes_back_edit_after_edit(call: Call, context: ToolContext) -> None:
    edit = {"command": "str_replace", "path": CALC_PATH}
    call(EDITOR, old_str="a - b", new_str="a + b", **edit)
    call(EDITOR, old_str="import os\n", new_str="", **edit)
    undone = call(EDITOR, command="undo_edit", path=CALC_PATH)
    assert "+import os" in undone.text
    assert content(context, CALC_PATH).decode() == CALC.replace("a - b", "a + b")
    call(EDITOR, command="undo_edit", path=CALC_PATH)
    assert content(context, CALC_PATH).decode() == CALC
    assert "no edit of src/pkg/calc.py left" in call(EDITOR, command="undo_edit", path=CALC_PATH).text


def test_undo_when_file_changed_by_other_means_then_refuses(call: Call, context: ToolContext) -> None:
    call(EDITOR, command="str_replace", path=CALC_PATH, old_str="a - b", new_str="a + b")
    call("bash", command=f"echo '# more' >> {CALC_PATH}")
    assert "could lose work" in call(EDITOR, command="undo_edit", path=CALC_PATH).text
    assert b"a + b" in content(context, CALC_PATH)


def test_undo_when_file_was_created_then_removes_it(call: Call) -> None:
    call(EDITOR, command="create", path="scratch.py", file_text="x = 1\n")
    assert "Removed scratch.py" in call(EDITOR, command="undo_edit", path="scratch.py").text
    assert "There is no file scratch.py" in call(EDITOR, command="view", path="scratch.py").text


def test_edit_when_file_is_executable_then_keeps_its_mode(call: Call, context: ToolContext) -> None:
    context.sandbox.write("run.sh", b"#!/bin/sh\necho a\n")
    context.sandbox.run("chmod 755 run.sh", cwd=context.sandbox.workdir)
    call(EDITOR, command="str_replace", path="run.sh", old_str="echo a", new_str="echo b")
    assert context.sandbox.run("./run.sh", cwd=context.sandbox.workdir).output.text() == "b\n"


def test_state_when_saved_and_read_back_then_undo_still_works(call: Call, context: ToolContext) -> None:
    context.sandbox.write("latin.txt", "é = 'ü'\r\n".encode("latin-1"))
    call(EDITOR, command="str_replace", path="latin.txt", old_str="'ü'", new_str="'ö'")
    assert content(context, "latin.txt") == "é = 'ö'\r\n".encode("latin-1")
    context.state = type(context.state).model_validate_json(context.state.model_dump_json())
    call(EDITOR, command="undo_edit", path="latin.txt")
    assert content(context, "latin.txt") == "é = 'ü'\r\n".encode("latin-1")


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
def test_path_when_it_cannot_be_one_then_says_so(call: Call, path: str) -> None:
    done = call(EDITOR, command="view", path=path)
    assert not done.ok
    assert "The path" in done.text


@pytest.mark.parametrize("name", ["with space.txt", "quote'd.txt", "-dash.txt", "dollar$(touch x).txt", "ümlaut.txt"])
def test_path_when_its_name_is_odd_then_works_like_any_other(call: Call, context: ToolContext, name: str) -> None:
    assert call(EDITOR, command="create", path=name, file_text="a\n").ok
    assert call(EDITOR, command="str_replace", path=name, old_str="a", new_str="b").ok
    assert content(context, name) == b"b\n"
    assert call(EDITOR, command="undo_edit", path=name).ok
    assert call(EDITOR, command="undo_edit", path=name).ok
    assert "There is no file" in call(EDITOR, command="view", path=name).text


@pytest.mark.parametrize("command", ["view", "create"])
def test_path_when_the_system_cannot_open_it_then_says_why(call: Call, context: ToolContext, command: str) -> None:
    context.sandbox.run("ln -sf loop loop", cwd=context.sandbox.workdir)
    looped = call(EDITOR, command=command, path="loop", file_text="x")
    assert not looped.ok
    assert "loop" in looped.text
    long = call(EDITOR, command=command, path="n" * 300, file_text="x")
    assert not long.ok
    below = call(EDITOR, command=command, path="README.md/below", file_text="x")
    assert not below.ok


def test_path_when_it_leads_outside_the_workspace_then_only_the_sandbox_is_seen(call: Call) -> None:
    assert call(EDITOR, command="create", path="/tmp/ostro-note.txt", file_text="a\n").ok
    assert "     1\ta" in call(EDITOR, command="view", path="/tmp/../tmp/ostro-note.txt").text
    assert call(EDITOR, command="undo_edit", path="/tmp/ostro-note.txt").ok


def test_create_when_the_file_was_seen_and_most_of_it_is_kept_then_rewritten(call: Call, context: ToolContext) -> None:
    context.sandbox.write("price.py", b"def total(prices):\r\n    # all of them\r\n    return sum(prices) + 1\r\n")
    call(EDITOR, command="view", path="price.py")
    new = "def total(prices):\n    # all of them\n    return sum(prices)"
    assert call(EDITOR, command="create", path="price.py", file_text=new).ok
    assert content(context, "price.py") == b"def total(prices):\r\n    # all of them\r\n    return sum(prices)\r\n"
    assert call(EDITOR, command="undo_edit", path="price.py").ok
    assert content(context, "price.py").endswith(b"+ 1\r\n")


def test_create_when_the_text_is_only_a_part_of_the_file_then_refused(call: Call, context: ToolContext) -> None:
    call(EDITOR, command="view", path=CALC_PATH)
    before = content(context, CALC_PATH)
    shown = call(EDITOR, command="create", path=CALC_PATH, file_text="def add(a, b):\n    return a + b\n")
    assert "keeps only" in shown.text
    assert content(context, CALC_PATH) == before


def test_create_when_the_file_was_never_seen_then_refused(call: Call, context: ToolContext) -> None:
    before = content(context, CALC_PATH)
    assert (
        "View it first" in call(EDITOR, command="create", path=CALC_PATH, file_text=before.decode() + "# more\n").text
    )
    assert content(context, CALC_PATH) == before
