"""Rows in, instances out, and what is said of rows that cannot be used."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from ostro.benchmarks.instance import InstanceError, SdistSource
from ostro.benchmarks.instance_files import choose, read_instances

SMALL = Path(__file__).parent / "data" / "small.jsonl"


def row(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "instance_id": "o__r-1",
        "repo": "o/r",
        "base_commit": "",
        "problem_statement": "It is broken.",
        "patch": "",
        "test_patch": "",
        "FAIL_TO_PASS": [],
        "PASS_TO_PASS": [],
        "environment_setup": {
            "source": {"type": "sdist", "requirement": "x==1", "filename": "x-1.tar.gz", "sha256": "0" * 64},
            "test_cmd": "python -m pytest -rA",
        },
    }
    return plain | changes


def test_read_when_the_shipped_rows_are_read_then_all_six_are_there() -> None:
    instances = read_instances(SMALL)
    assert len(instances) == 6
    assert all(one.fail_to_pass and one.pass_to_pass and one.patch and one.test_patch for one in instances)


def test_read_when_a_folder_mixes_json_and_jsonl_then_rows_come_in_the_order_of_the_names(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(row(instance_id="second")))
    (tmp_path / "a.jsonl").write_text(json.dumps(row(instance_id="first")) + "\n\n")
    (tmp_path / "c.json").write_text(json.dumps([row(instance_id="third"), row(instance_id="fourth")]))
    (tmp_path / "README.md").write_text("not a row")
    assert [one.instance_id for one in read_instances(tmp_path)] == ["first", "second", "third", "fourth"]


def test_read_when_test_names_are_a_json_text_then_they_are_read_as_upstream_has_them(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(row(FAIL_TO_PASS='["t::a", "t::b"]', surplus="left aside")))
    (one,) = read_instances(tmp_path)
    assert one.fail_to_pass == ("t::a", "t::b")
    assert isinstance(one.environment.source, SdistSource)


def test_read_when_a_text_holds_a_line_separator_then_the_row_stays_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row(problem_statement="a\u2028b"), ensure_ascii=False) + "\n")
    assert read_instances(tmp_path)[0].problem_statement == "a\u2028b"


def test_environment_when_the_row_has_none_then_asking_for_it_says_so(tmp_path: Path) -> None:
    plain = row()
    del plain["environment_setup"]
    (tmp_path / "a.json").write_text(json.dumps(plain))
    (one,) = read_instances(tmp_path)
    with pytest.raises(InstanceError, match="o__r-1: the row has no environment_setup"):
        _ = one.environment


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "a.json: not JSON"),
        ("[1]", "a.json: row"),
        ("[]", "holds no rows"),
        (json.dumps(row(instance_id="../x")), "a.json: instance_id"),
        (json.dumps(row(FAIL_TO_PASS="[")), "a.json: FAIL_TO_PASS"),
        (json.dumps(row(patch="--- a/f")), "FAIL_TO_PASS names no test"),
        (json.dumps([row(), row()]), "comes twice"),
        (json.dumps(row(environment_setup={"source": {"type": "svn"}, "test_cmd": "x"})), "environment_setup.source"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_read_when_the_file_cannot_be_used_then_one_line_says_where(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "a.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InstanceError, match=problem) as caught:
        read_instances(tmp_path)
    assert "\n" not in str(caught.value)


def test_read_when_nothing_is_there_then_it_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="no such file") as caught:
        read_instances(tmp_path / "absent")
    assert ".jsonl" in caught.value.mend


def test_read_when_the_rows_are_swebench_5_then_their_columns_are_understood(tmp_path: Path) -> None:
    columns = {
        "image": "swebench/x:latest",
        "eval_script": "true",
        "eval_type": "fail_only",
        "log_parser": "parse_log_sphinx",
        "environment_setup": None,
    }
    (tmp_path / "a.json").write_text(json.dumps(row(**columns)))
    (one,) = read_instances(tmp_path)
    assert (one.image, one.eval_type, one.log_parser) == ("swebench/x:latest", "fail_only", "pytest_v2")


def test_read_when_the_file_is_parquet_then_rows_come_as_from_json(tmp_path: Path) -> None:
    pa: Any = importlib.import_module("pyarrow")  # it has no types
    parquet: Any = importlib.import_module("pyarrow.parquet")
    plain = row(FAIL_TO_PASS='["t::a"]', hints_text="")
    del plain["environment_setup"], plain["PASS_TO_PASS"]
    parquet.write_table(pa.Table.from_pylist([plain]), tmp_path / "test.parquet")
    (one,) = read_instances(tmp_path / "test.parquet")
    assert one.fail_to_pass == ("t::a",)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InstanceError, match=r"bad.parquet: not Parquet"):
        read_instances(tmp_path / "bad.parquet")


def test_read_when_the_folder_is_a_task_repository_then_each_folder_is_a_row(tmp_path: Path) -> None:
    task = tmp_path / "tasks" / "o__r-7"
    task.mkdir(parents=True)
    (tmp_path / "sweb.yaml").write_text("datasets: {}\n")
    (task / "task.yaml").write_text(
        "repo: o/r\nversion: '1.0'\nlog_parser: parse_log_pytest\neval_type: pass_and_fail\n"
    )
    (task / "tests.json").write_text(json.dumps({"FAIL_TO_PASS": ["t::a"], "PASS_TO_PASS": []}))
    (task / "problem_statement.md").write_text("It breaks.")
    (task / "gold.patch").write_bytes(b"--- a/f\r\n+++ b/f\r\n")
    (task / "test.patch").write_text("--- a/t\n")
    (task / "eval.sh").write_text("true\n")
    (one,) = read_instances(tmp_path)
    assert (one.instance_id, one.problem_statement, one.eval_script) == ("o__r-7", "It breaks.", "true\n")
    assert one.patch == "--- a/f\r\n+++ b/f\r\n"
    (task / "task.yaml").write_text("repo: [")
    with pytest.raises(InstanceError, match=r"task.yaml: not YAML"):
        read_instances(tmp_path)


def test_read_when_the_suite_is_asked_for_then_its_languages_are_there() -> None:
    suite = read_instances("builtin")
    assert {one.environment.log_parser for one in suite} == {"pytest", "unittest", "node", "gotest"}


def test_read_when_a_repository_is_named_relatively_then_it_lies_beside_the_file(tmp_path: Path) -> None:
    source = {"type": "git", "repository": "../base", "commit": "0" * 40}
    (tmp_path / "a.json").write_text(json.dumps(row(environment_setup={"source": source, "test_cmd": "x"})))
    (one,) = read_instances(tmp_path)
    assert one.environment.source.model_dump()["repository"] == str(tmp_path.parent / "base")


def test_choose_when_an_id_is_not_there_then_it_is_named() -> None:
    rows = read_instances(SMALL)
    assert [one.instance_id for one in choose(rows, ["smallbugs__slug"])] == ["smallbugs__slug"]
    with pytest.raises(InstanceError, match="no instance nothing"):
        choose(rows, ["nothing"])
