"""Rows in, instances out, and what is said of rows that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from ostro.benchmarks.instance import InstanceError, SdistSource
from ostro.benchmarks.instance_files import read_instances

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
        (json.dumps(row(environment_setup={"source": {"type": "git"}, "test_cmd": "x"})), "environment_setup.source"),
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
