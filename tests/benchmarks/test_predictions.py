"""Predictions in, in every shape that other agents write, and out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.benchmarks.instance import Instance
from ostro.benchmarks.predictions import Prediction, PredictionError, read_predictions, write_predictions

ROWS = [
    Instance(instance_id=name, repo="o/r", problem_statement="x", patch="--- a/f\n", FAIL_TO_PASS=("t",))
    for name in ("o__r-1", "o__r-2")
]
ONE = {"instance_id": "o__r-1", "model_name_or_path": "m", "model_patch": "--- a/x\n"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", json.dumps(ONE) + "\n\n"),
        ("a.json", json.dumps([ONE])),
        ("a.json", json.dumps({"o__r-1": ONE})),
        ("a.json", json.dumps({"o__r-1": {"model_patch": "--- a/x\n", "model_name_or_path": "m"}})),
    ],
)
def test_read_when_the_shape_is_one_that_agents_write_then_it_is_understood(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert read_predictions(tmp_path / name, ROWS).by_id == {"o__r-1": Prediction(**ONE)}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.jsonl", "{", "a.jsonl:1: not JSON"),
        ("a.jsonl", '{"model_patch": ""}', "a.jsonl:1: instance_id"),
        ("a.jsonl", json.dumps(ONE) + "\n" + json.dumps(ONE), "o__r-1 is predicted twice"),
        ("a.json", json.dumps({"o__r-2": ONE}), "holds the prediction of o__r-1"),
        ("a.json", "3", "neither a list nor an object"),
        ("a.json", json.dumps([ONE | {"instance_id": "z"}]), "none of its 1 ids is in the task set"),
        ("a.jsonl", "", "holds no prediction"),
        ("a.jsonl", json.dumps(ONE | {"model_patch": "a\ud800"}), "character 2 is half of a pair"),
    ],
)
def test_read_when_the_file_cannot_be_used_then_one_line_says_where(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PredictionError, match=problem) as caught:
        read_predictions(tmp_path / name, ROWS)
    assert "\n" not in str(caught.value)


def test_read_when_patches_are_null_or_ids_unknown_then_they_are_counted(tmp_path: Path) -> None:
    rows = [ONE | {"model_patch": None}, ONE | {"instance_id": "other"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    found = read_predictions(tmp_path / "a.json", ROWS)
    assert found.null == 1
    assert found.unknown == ("other",)
    assert found.by_id["o__r-1"].patch == b""


def test_read_when_the_rows_themselves_are_given_then_they_are_no_predictions_without_a_patch(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS[0].model_dump_json(by_alias=True) + "\n")
    with pytest.raises(PredictionError, match="model_patch: Field required"):
        read_predictions(tmp_path / "rows.jsonl", ROWS)


def test_read_when_gold_is_asked_for_then_the_rows_own_patches_come() -> None:
    assert read_predictions("gold", ROWS).by_id["o__r-2"].patch == b"--- a/f\n"
    assert read_predictions("null", ROWS).null == 2


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=2))
def test_write_when_read_again_then_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, patches: list[str]
) -> None:
    made = [
        Prediction(instance_id=row.instance_id, model_name_or_path="m", model_patch=patch)
        for row, patch in zip(ROWS, [*patches, "x"], strict=False)
    ]
    folder = tmp_path_factory.mktemp("predictions")
    write_predictions(made, folder / "a.jsonl")
    write_predictions(made, folder / "a.json", "json")
    for name in ("a.jsonl", "a.json"):
        assert list(read_predictions(folder / name, ROWS).by_id.values()) == made
