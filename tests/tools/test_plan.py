"""The visible plan always has exactly one step in progress, until all are done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ostro.tools.plan import PlanArgs, one_in_progress, show_plan
from ostro.tools.protocol import PlanItem

STATUSES = st.sampled_from(["pending", "in_progress", "done"])


@given(st.lists(STATUSES, min_size=1, max_size=8))
def test_plan_when_statuses_are_any_then_one_is_in_progress_or_all_are_done(statuses: list[str]) -> None:
    items = [PlanItem(text=str(index), status=status) for index, status in enumerate(statuses)]
    fixed, correction = one_in_progress(items)
    active = [item for item in fixed if item.status == "in_progress"]
    assert len(active) == (0 if all(status == "done" for status in statuses) else 1)
    assert [item.text for item in fixed] == [item.text for item in items]
    assert [item.status == "done" for item in fixed] == [status == "done" for status in statuses]
    assert bool(correction) == (fixed != items)


def test_plan_when_items_are_strings_or_json_text_then_are_understood() -> None:
    assert PlanArgs.model_validate({"items": ["look", "mend"]}).items[1].status == "pending"
    sent = '[{"text": "look", "status": "done"}, "mend"]'
    assert [item.text for item in PlanArgs.model_validate({"items": sent}).items] == ["look", "mend"]


def test_plan_when_shown_then_marks_each_status() -> None:
    items = [PlanItem(text="a", status="done"), PlanItem(text="b", status="in_progress"), PlanItem(text="c")]
    assert show_plan(items) == "1. [x] a\n2. [>] b\n3. [ ] c"
