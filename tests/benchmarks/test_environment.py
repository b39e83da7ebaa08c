"""Environments of the shipped rows, and the grades of their gold patches, in both sandboxes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.environment_docker import ENV_REPOSITORY
from ostro.benchmarks.grading import grade
from ostro.benchmarks.instance import EnvironmentSetup, FilesSource, Instance
from ostro.benchmarks.recipe import Environment, environment_key
from ostro.benchmarks.sources import SetupError
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.protocol import SandboxError

NAMES = ("chunks", "slug", "shares", "leap", "lookup", "query")


def row(rows: list[Instance], name: str) -> Instance:
    return next(one for one in rows if one.instance_id == f"smallbugs__{name}")


@pytest.mark.parametrize("name", NAMES)
def test_grade_when_the_row_is_ours_then_the_base_fails_and_gold_passes(
    name: str, small_rows: list[Instance], instances_home: Path, tmp_path: Path
) -> None:
    instance = row(small_rows, name)
    environment = build_environment(instance, "local", instances_home)
    base = grade(instance, environment, b"", tmp_path / "base")
    gold = grade(instance, environment, instance.patch.encode(), tmp_path / "gold")
    assert base.fail_to_pass.failure == instance.fail_to_pass
    assert base.pass_to_pass.failure == ()
    assert base.exit_code != 0
    assert gold.verdict == "resolved"
    assert gold.findings == ()
    assert gold.consistency == "consistent"
    assert gold.exit_code == 0
    assert gold.tests_seen == len(instance.fail_to_pass) + len(instance.pass_to_pass)


def test_grade_when_the_patch_rewrites_the_tests_then_the_rows_own_tests_count(
    small_rows: list[Instance], instances_home: Path, tmp_path: Path
) -> None:
    instance = row(small_rows, "leap")
    environment = build_environment(instance, "local", instances_home)
    cheat = "--- /dev/null\n+++ b/tests/test_leap.py\n@@ -0,0 +1 @@\n+print('ok')\n"
    judged = grade(
        instance,
        environment,
        f"diff --git a/tests/test_leap.py b/tests/test_leap.py\nnew file mode 100644\n{cheat}".encode(),
        tmp_path,
    )
    assert judged.applied_by
    assert judged.fail_to_pass.failure == instance.fail_to_pass


def test_grade_when_the_patch_does_not_fit_then_no_test_runs(
    small_rows: list[Instance], instances_home: Path, tmp_path: Path
) -> None:
    instance = row(small_rows, "leap")
    environment = build_environment(instance, "local", instances_home)
    patch = b"--- a/absent.py\n+++ b/absent.py\n@@ -1 +1 @@\n-a\n+b\n"
    judged = grade(instance, environment, patch, tmp_path)
    assert judged.verdict == "patch_failed"
    assert judged.consistency == "unchecked"
    assert "absent.py" in judged.findings[0]


def test_build_when_it_is_there_then_it_is_taken_as_it_is(small_rows: list[Instance], instances_home: Path) -> None:
    first = build_environment(small_rows[0], "local", instances_home)
    changed = (Path(first.image) / "env").stat().st_mtime_ns
    assert build_environment(small_rows[0], "local", instances_home) == first
    assert (Path(first.image) / "env").stat().st_mtime_ns == changed


def test_build_when_an_install_step_fails_then_it_is_shown_and_nothing_is_kept(tmp_path: Path) -> None:
    setup = EnvironmentSetup(
        source=FilesSource(type="files", files={"a.py": ""}), install=("echo no such luck; exit 7",), test_cmd="true"
    )
    instance = Instance(instance_id="x", repo="x", problem_statement="x", environment_setup=setup)
    with pytest.raises(SetupError, match=r"exit code 7(.|\n)*no such luck"):
        build_environment(instance, "local", tmp_path)
    assert list((tmp_path / "instances" / "local").iterdir()) == []


def test_build_when_an_install_step_changes_the_tree_then_the_repository_has_it(tmp_path: Path) -> None:
    setup = EnvironmentSetup(
        source=FilesSource(type="files", files={"a.py": ""}),
        install=("pwd > where.txt", "test -x /opt/env/bin/python", "ls / > seen.txt"),
        test_cmd="true",
    )
    instance = Instance(instance_id="x", repo="x", problem_statement="x", environment_setup=setup)
    environment = build_environment(instance, "local", tmp_path)
    assert (environment.repository / "where.txt").read_text() == "/workspace\n"
    assert not {"home", "root"} & set((environment.repository / "seen.txt").read_text().split())


@pytest.fixture
def in_docker(small_rows: list[Instance], docker_image: str, tmp_path: Path) -> Iterator[tuple[Instance, Environment]]:
    instance = row(small_rows, "query")
    environment = build_environment(instance, "docker", tmp_path, base_image=docker_image)
    yield instance, environment
    engine = Engine.connect()
    base = engine.image(docker_image)
    assert base is not None
    for tag in (environment.image, f"{ENV_REPOSITORY}:{environment_key(instance.environment, base.id)}"):
        engine.remove_image(tag)
    engine.close()


@pytest.mark.docker
def test_grade_when_the_world_is_an_image_then_the_base_fails_and_gold_passes(
    in_docker: tuple[Instance, Environment], tmp_path: Path
) -> None:
    instance, environment = in_docker
    assert grade(instance, environment, b"", tmp_path / "base").fail_to_pass.failure == instance.fail_to_pass
    assert grade(instance, environment, instance.patch.encode(), tmp_path / "gold").verdict == "resolved"


@pytest.mark.docker
def test_build_when_the_base_image_is_missing_then_it_names_it(small_rows: list[Instance], tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="ostro/absent:1"):
        build_environment(small_rows[0], "docker", tmp_path, base_image="ostro/absent:1")
