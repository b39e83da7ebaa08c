"""Policies of the shipped rows: tools in the order of a careful model, arguments that fit the tree."""

from pathlib import Path

import pytest

from ostro.benchmarks.diffs import DiffError, apply_hunks, parse_diff
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.policy import scripted_turns
from ostro.benchmarks.sources import unpack_source

ORDER = [
    ("str_replace_editor", "view"),
    ("plan", ""),
    ("search", ""),
    ("str_replace_editor", "create"),
    ("bash", "python3 -m unittest -v"),
    ("str_replace_editor", "view"),
    ("str_replace_editor", "str_replace"),
    ("bash", "python3 -m unittest -v"),
    ("git", "diff"),
    ("submit", ""),
    ("submit", ""),
]


def test_turns_when_made_from_each_row_then_the_edits_make_the_gold_tree(
    small_rows: list[Instance], tmp_path: Path
) -> None:
    for instance in small_rows:
        tree = tmp_path / instance.instance_id
        tree.mkdir()
        unpack_source(instance.environment.source, tree, tmp_path)
        calls = [turn["calls"][0] for turn in scripted_turns(instance, tree)]
        assert [(call["name"], call["arguments"].get("command", "")) for call in calls] == ORDER
        (fix,) = parse_diff(instance.patch)
        edit = calls[6]["arguments"]
        text = (tree / edit["path"]).read_text()
        assert text.count(edit["old_str"]) == 1
        assert text.replace(edit["old_str"], edit["new_str"]) == apply_hunks(text, fix.hunks)


def test_turns_when_a_definition_is_near_the_change_then_it_is_searched_for(
    small_rows: list[Instance], tmp_path: Path
) -> None:
    unpack_source(small_rows[3].environment.source, tmp_path, tmp_path)
    search = scripted_turns(small_rows[3], tmp_path)[2]["calls"][0]
    assert search["arguments"] == {"pattern": "is_leap", "kind": "symbol"}


def test_turns_when_the_fix_makes_and_deletes_files_then_create_and_rm_are_used(
    small_rows: list[Instance], tmp_path: Path
) -> None:
    patch = (
        "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n"
        "diff --git a/old.py b/old.py\ndeleted file mode 100644\n--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1\n"
    )
    instance = small_rows[0].model_copy(update={"patch": patch, "test_patch": ""})
    calls = [turn["calls"][0]["arguments"] for turn in scripted_turns(instance, tmp_path)]
    assert {"command": "create", "path": "new.py", "file_text": "x = 1\n"} in calls
    assert {"command": "rm -- old.py"} in calls


def test_turns_when_the_patch_is_for_another_tree_then_it_says_which_file(
    small_rows: list[Instance], tmp_path: Path
) -> None:
    with pytest.raises(DiffError, match=r"smallbugs/chunks\.py: cannot be read"):
        scripted_turns(small_rows[0], tmp_path)
