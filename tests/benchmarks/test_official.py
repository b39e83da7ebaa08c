"""SWE-bench's conventions: image names, and the test commands of its projects."""

import pytest

from ostro.benchmarks import official
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.test_plan import plan_of


def row(repo: str = "django/django", **changes: object) -> Instance:
    plain = {
        "instance_id": "Django__django-11099",
        "repo": repo,
        "problem_statement": "x",
        "test_patch": (
            "diff --git a/tests/auth_tests/test_validators.py b/tests/auth_tests/test_validators.py\n"
            "diff --git a/tests/data.json b/tests/data.json\n"
        ),
    }
    return Instance.model_validate(plain | changes)


def test_image_name_when_the_row_names_none_then_it_is_the_official_one() -> None:
    assert official.image_name(row()) == "swebench/sweb.eval.x86_64.django_1776_django-11099:latest"
    assert official.image_name(row(image="mine:1")) == "mine:1"


def test_plan_when_the_row_is_plain_then_the_projects_command_runs_its_tests() -> None:
    plan = plan_of(row())
    assert plan.command.endswith("--settings=test_sqlite --parallel 1 auth_tests.test_validators")
    assert plan.parser == "django"
    assert plan_of(row("pallets/flask")).command.endswith("pytest -rA tests/auth_tests/test_validators.py")


def test_plan_when_the_project_is_unknown_then_it_says_what_the_row_lacks() -> None:
    with pytest.raises(InstanceError, match="neither how to test o/r") as caught:
        plan_of(row("o/r"))
    assert "environment_setup" in caught.value.mend


def test_environment_when_only_an_image_would_do_then_the_embedded_sandbox_says_so(tmp_path: object) -> None:
    from pathlib import Path

    with pytest.raises(InstanceError, match="its image is needed"):
        build_environment(row(), "local", Path(str(tmp_path)))


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"eval_script": "true"}, "no log_parser"),
        ({"eval_script": "true", "log_parser": "parse_log_pytest"}, "no markers"),
    ],
)
def test_plan_when_the_script_is_not_as_swebench_has_it_then_it_is_refused(
    columns: dict[str, str], problem: str
) -> None:
    with pytest.raises(InstanceError, match=problem):
        plan_of(row(**columns))
