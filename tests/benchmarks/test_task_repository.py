"""Task repositories: what is written is what is read, and people and git can work with it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.task_repository import read_tasks, write_task
from tests.benchmarks.test_instance import row
from tests.benchmarks.test_task_maker import init_task, repository

__all__ = ["repository"]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
sources = st.one_of(
    st.builds(lambda files: {"type": "files", "files": files}, st.dictionaries(words, words, max_size=3)),
    st.just({"type": "git", "repository": "/srv/r", "commit": "a" * 40}),
)
setups = st.fixed_dictionaries(
    {"source": sources, "test_cmd": words.filter(bool)},
    optional={"env": st.dictionaries(words, words, max_size=2), "install": st.lists(words, max_size=2)},
)
rows = st.fixed_dictionaries(
    {"instance_id": names, "repo": words, "problem_statement": words, "FAIL_TO_PASS": st.lists(words, min_size=1)},
    optional={
        "PASS_TO_PASS": st.lists(words), "patch": words, "test_patch": words, "hints_text": words, "version": words,
        "image": words, "eval_script": words, "eval_type": st.sampled_from(["pass_and_fail", "fail_only"]),
        "log_parser": st.sampled_from(["pytest", "gotest"]), "environment_setup": setups,
    },
)  # fmt: skip


STRANGE = {
    "instance_id": "a",
    "repo": "\u2028a",
    "problem_statement": "x",
    "FAIL_TO_PASS": ["t"],
    "environment_setup": {
        "source": {"type": "files", "files": {"a\x85b": "one\ntwo\u2029three\x85\n"}},
        "test_cmd": "\x85",
    },
}


@given(made=rows)
@example(made=STRANGE)
@settings(max_examples=60, deadline=None)
def test_write_when_read_again_then_it_is_the_same_row(
    made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    instance = Instance.model_validate(made)
    repository = tmp_path_factory.mktemp("tasks")
    write_task(instance, repository)
    assert read_instances(repository) == [instance]


def test_write_when_the_suite_is_written_then_all_of_it_comes_back_in_files_for_people(tmp_path: Path) -> None:
    suite = read_instances("builtin")
    for one in suite:
        write_task(one, tmp_path)
    assert read_instances(tmp_path) == sorted(suite, key=lambda one: one.instance_id)
    task = tmp_path / "tasks" / "ostro__ledger"
    assert (task / "gold.patch").read_text() == next(one.patch for one in suite if one.instance_id == task.name)
    assert "\n        def " in (task / "task.yaml").read_text(), "a file of the tree stands there line by line"
    assert (tmp_path / "sweb.yaml").read_text() == f"datasets:\n- {tmp_path.name}\nsplits:\n- test\n"


def test_write_when_a_patch_has_odd_bytes_and_line_ends_then_they_stay(tmp_path: Path) -> None:
    patch = b"--- a/f\r\n+++ b/f\r\n-\xff\n+ok\n"
    made = row(patch=patch.decode("utf-8", "surrogateescape"), FAIL_TO_PASS=["t"])
    folder = write_task(Instance.model_validate(made), tmp_path)
    assert (folder / "gold.patch").read_bytes() == patch
    (one,) = read_instances(tmp_path)
    assert one.patch.encode("utf-8", "surrogateescape") == patch


def test_write_when_the_task_is_there_then_refused_and_a_named_data_set_is_kept(tmp_path: Path) -> None:
    (tmp_path / "sweb.yaml").write_text("datasets: [mine]\nsplits: [test]\n")
    write_task(Instance.model_validate(row()), tmp_path)
    with pytest.raises(InstanceError, match="o__r-1 is there already"):
        write_task(Instance.model_validate(row()), tmp_path)
    ((_, read),) = read_tasks(tmp_path)
    assert (read["datasets"], read["split"]) == (["mine"], "test")


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("task.yaml", "- a", "not a mapping"),
        ("task.yaml", "instance_id: other\nrepo: r", "instance_id is 'other', its folder 'o__r-1'"),
        ("tests.json", "[]", "not an object with FAIL_TO_PASS"),
        ("tests.json", None, "No such file"),
    ],
)
def test_read_when_a_file_of_a_task_is_not_as_it_should_be_then_it_is_named(
    tmp_path: Path, file: str, content: str | None, problem: str
) -> None:
    path = write_task(Instance.model_validate(row()), tmp_path) / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InstanceError, match=problem) as caught:
        read_instances(tmp_path)
    assert str(path) in str(caught.value)


def test_init_task_when_out_is_a_folder_then_a_task_repository_is_there(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mytasks"
    assert init_task(repository, "--out", str(out)) == 0
    (one,) = read_instances(out)
    assert one.fail_to_pass == ("test_value (tests.test_number.TestDouble.test_value)",)
    assert json.loads((out / "tasks" / "made__number-1" / "tests.json").read_text())["FAIL_TO_PASS"]
    assert init_task(repository, "--out", str(out)) == 2
    assert "has a task made__number-1 already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--out", "x.json"], "x.json takes no task"),
        (["--out", "."], "takes no task"),
        (["--id", "a/b"], "the task 'a/b': instance_id"),
    ],
)
def test_init_task_when_a_value_cannot_be_used_then_one_line_says_so(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str],
    problem: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(repository)
    assert init_task(repository, *arguments) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1


def test_read_when_the_tests_need_pictures_then_the_row_is_refused(tmp_path: Path) -> None:
    assets = {"test_patch": [{"path": "expected.png", "url": "https://example.org/1.png"}], "patch": []}
    (tmp_path / "a.json").write_text(json.dumps(row(image_assets=json.dumps(assets))))
    with pytest.raises(InstanceError, match="image_assets names binary files"):
        read_instances(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(row(image_assets={"problem_statement": ["x"], "patch": []})))
    assert len(read_instances(tmp_path)) == 1
