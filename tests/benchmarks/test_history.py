"""What the agent's sandbox must not hold: the project's future, the known fix, the hidden tests."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import specification
from ostro.benchmarks.instance import EnvironmentSetup, GitSource, Instance
from ostro.benchmarks.recipe import Environment, Flavour
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import Sandbox

SECRET = "the_fix_from_the_future"


def git(repository: Path, *arguments: str, stdin: str | None = None) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(repository), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "gc.auto=0"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=repository, env=environment, check=True, capture_output=True, text=True,
        input=stdin,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """A repository, its base commit, and the ids of all that came after: commit, tag, reflog entry, loose, packed."""
    repository = tmp_path_factory.mktemp("planted")
    git(repository, "init", "-q", "-b", "main")
    (repository / "code.py").write_text("x = 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "base")
    base = git(repository, "rev-parse", "HEAD")
    (repository / "code.py").write_text(f"x = 2  # {SECRET}\n")
    git(repository, "commit", "-qam", "future")
    future = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "-am", "release", "v2")
    tag = git(repository, "rev-parse", "v2")
    (repository / "code.py").write_text(f"x = 3  # {SECRET}\n")
    git(repository, "commit", "-qam", "undone")
    undone = git(repository, "rev-parse", "HEAD")
    git(repository, "repack", "-adq")
    packed = git(repository, "rev-parse", f"{future}:code.py")
    git(repository, "reset", "-q", "--hard", base)  # the reflog knows where it was
    loose = git(repository, "hash-object", "-w", "--stdin", stdin=SECRET)
    return repository, base, [future, tag, undone, packed, loose]


def instance(repository: Path, base: str) -> Instance:
    source = GitSource(type="git", repository=str(repository), commit=base)
    return Instance(
        instance_id="planted__history-1",
        repo="planted",
        problem_statement="x",
        patch=f"--- a/code.py\n+++ b/code.py\n@@ -1 +1 @@\n-x = 1\n+x = 2  # {SECRET}\n",
        test_patch=f"--- /dev/null\n+++ b/test_code.py\n@@ -0,0 +1 @@\n+# {SECRET}\n",
        FAIL_TO_PASS=("test_code.py::test_x",),
        environment_setup=EnvironmentSetup(source=source, test_cmd="true"),
    )


def look(box: Sandbox, ids: list[str]) -> None:
    """Assert, from inside, that nothing of the future can be seen."""
    assert box.run("cat code.py").output.text() == "x = 1\n"
    for one in ids:
        assert box.run(f"git cat-file -e {one}").exit_code != 0, one
    assert box.run("git rev-list --all --reflog --count").output.text().strip() == "1"
    assert box.run("git tag; git remote; git stash list").output.text() == ""
    objects = "git cat-file --batch-all-objects --batch-check='%(objectname)'"
    assert box.run(f"{objects} | xargs -n1 git cat-file -p | grep -c {SECRET}").output.text().strip() == "0"
    pattern = SECRET.replace("future", "[f]uture")  # the command itself lies in the sandbox, too
    searched = f"grep -rlI {pattern} / --exclude-dir={{proc,sys,dev,usr}} 2>/dev/null"
    assert box.run(searched, timeout_s=600).output.text() == ""


def test_sandbox_when_the_repository_has_a_future_then_nothing_of_it_can_be_reached(
    planted: tuple[Path, str, list[str]], instances_home: Path, tmp_path: Path
) -> None:
    repository, base, ids = planted
    row = instance(repository, base)
    environment = build_environment(row, "local", instances_home)
    with open_sandbox("local", specification(row, environment, tmp_path)) as box:
        look(box, ids)


@pytest.fixture
def official_image(planted: tuple[Path, str, list[str]], docker_image: str, tmp_path: Path) -> Iterator[str]:
    """An image as SWE-bench's are: the repository with all its history in /testbed."""
    from ostro.benchmarks.environment_docker import _container, _put

    tag = "ostro/test-official:planted"
    engine = Engine.connect()
    with _container(engine, docker_image, workdir="/", env={}) as container:
        _put(engine, container, planted[0], "/testbed")
        engine.commit(container, tag)
    yield tag
    engine.remove_image(tag)
    engine.close()


@pytest.mark.docker
def test_sandbox_when_the_image_is_official_then_nothing_of_the_future_can_be_reached(
    planted: tuple[Path, str, list[str]], official_image: str, tmp_path: Path
) -> None:
    row = instance(planted[0], planted[1]).model_copy(update={"setup": None, "image": official_image})
    row = row.model_copy(update={"eval_script": "", "repo": "pallets/flask"})
    flavour: Flavour = "docker"
    environment: Environment = build_environment(row, flavour, tmp_path / "home")
    assert environment.workdir == "/testbed"
    try:
        with open_sandbox(flavour, specification(row, environment, tmp_path / "run")) as box:
            look(box, planted[2])
    finally:
        engine = Engine.connect()
        engine.remove_image(environment.image)
        engine.close()
    assert list((tmp_path / "home" / "instances" / "logs").glob("*.log"))
