"""What `--sandbox auto|docker|local|none` comes down to, with an engine, without one, and with a wrong one."""

import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from ostro.sandbox.docker_connection import find_socket
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.local import find_means
from ostro.sandbox.open import SandboxChoice, choose, open_sandbox
from ostro.sandbox.owner import OWNER_FILE
from ostro.sandbox.protocol import Sandbox, SandboxError, SandboxSpec
from ostro.sandbox.repository import inspect_repository

NOWHERE = "unix:///nonexistent/docker.sock"


def spec(tmp_path: Path, *, image: str | None = None, in_image: bool = False) -> SandboxSpec:
    base = None if in_image else tmp_path / "base.git"
    return SandboxSpec(run_id="open", state_dir=tmp_path, base_git=base, image=image)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


def test_choose_none_is_taken_only_when_typed(tmp_path: Path) -> None:
    assert choose("none", spec(tmp_path)).backend == "none"


def test_choose_local_asks_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    assert choose("local", spec(tmp_path)).backend == "local"


def test_choose_auto_without_an_engine_is_local_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    chosen = choose("auto", spec(tmp_path))
    assert chosen.backend == "local"
    assert "no container engine answers at unix:///nonexistent/docker.sock" in chosen.reason


def test_choose_docker_without_an_engine_raises_with_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    with pytest.raises(SandboxError, match="no container engine answers") as caught:
        choose("docker", spec(tmp_path))
    assert caught.value.kind == "unavailable"
    assert "systemctl start docker" in caught.value.mend or "open -a Docker" in caught.value.mend


def test_choose_auto_when_only_the_image_has_the_workspace_does_not_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    with pytest.raises(SandboxError):
        choose("auto", spec(tmp_path, image="suite/task:1", in_image=True))


def test_choose_when_the_kind_is_unknown_names_the_kinds(tmp_path: Path) -> None:
    wrong: SandboxChoice = "dokcer"  # type: ignore[assignment]  # what a configuration file may hold
    with pytest.raises(SandboxError) as caught:
        choose(wrong, spec(tmp_path))
    assert caught.value.kind == "usage"
    assert caught.value.mend == "Choose one of auto, docker, local, none"


def test_choose_auto_when_the_image_is_a_tree_is_local(tmp_path: Path) -> None:
    assert choose("auto", spec(tmp_path, image=str(tmp_path))).backend == "local"


@pytest.mark.docker
def test_choose_auto_with_an_engine_and_the_image_is_docker(tmp_path: Path, docker_image: str) -> None:
    chosen = choose("auto", spec(tmp_path, image=docker_image))
    assert (chosen.backend, chosen.image) == ("docker", docker_image)
    assert chosen.engine is not None
    chosen.engine.close()


@pytest.mark.docker
def test_choose_auto_when_the_engine_cannot_get_the_image_is_local_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    chosen = choose("auto", spec(tmp_path, image="localhost:1/nobody/nothing:1"), say=said.append)
    assert chosen.backend == "local"
    assert "pulling image localhost:1/nobody/nothing:1" in chosen.reason
    assert said == ["pulling image localhost:1/nobody/nothing:1"]


def test_connect_when_something_else_answers_says_so() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(SandboxError) as caught:
            Engine.connect({"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert caught.value.kind == "unavailable"


def test_connect_when_the_host_is_reached_by_ssh_says_how_instead() -> None:
    with pytest.raises(SandboxError, match="ssh") as caught:
        Engine.connect({"DOCKER_HOST": "ssh://me@there"})
    assert "ssh -NL" in caught.value.mend


def test_find_socket_takes_a_rootless_one_where_the_usual_is_missing(tmp_path: Path) -> None:
    usual = Path("/var/run/docker.sock")
    rootless = tmp_path / "docker.sock"
    rootless.touch()
    found = find_socket({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    assert found == (usual if usual.exists() else rootless)


@pytest.mark.docker
def test_open_sandbox_docker_starts_in_the_workspace_and_marks_its_owner(
    tmp_path: Path, repository: Path, docker_image: str
) -> None:
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")
    given = SandboxSpec("open", tmp_path / "state", base.git_dir, base.commit, image=docker_image)
    said: list[str] = []
    with open_sandbox("docker", given, say=said.append) as sandbox:
        assert isinstance(sandbox, Sandbox)
        assert sandbox.name == "docker"
        assert sandbox.run("cat hello.py").exit_code == 0
        assert (tmp_path / "state" / OWNER_FILE).exists()
    assert said == ["sandbox: docker, as asked"]


def test_open_sandbox_auto_without_an_engine_is_embedded_and_says_why(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        find_means()
    except SandboxError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")
    said: list[str] = []
    given = SandboxSpec("open", tmp_path / "state", base.git_dir, base.commit, image="python:3.11")
    with open_sandbox("auto", given, say=said.append) as sandbox:
        assert sandbox.name in ("bubblewrap", "unshare")
        assert sandbox.run("cat hello.py").exit_code == 0
    assert "no container engine answers" in said[0]
