"""Only what certainly belongs to a dead ostro is removed: judged by pid, start time, boot and pid namespace."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.protocol import SandboxError
from ostro.sandbox.reaper import (
    LABEL,
    OWNER_FILE,
    Owner,
    current_owner,
    owner_is_dead,
    reap,
    reap_engine,
    reap_folders,
    write_owner,
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    try:
        connected = Engine.connect()
    except SandboxError as error:
        pytest.skip(f"no container engine: {error}")
    yield connected
    connected.close()


@pytest.fixture
def scratch_image(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """An image of one empty folder: enough for containers that never start."""
    tag = f"ostro-test/scratch:{secrets.token_hex(4)}"
    (tmp_path / "image").mkdir()
    packed = subprocess.run(["tar", "-C", str(tmp_path / "image"), "-c", "."], stdout=subprocess.PIPE, check=True)
    archive = tmp_path / "image.tar"
    archive.write_bytes(packed.stdout)
    with archive.open("rb") as tree:
        engine.import_image(tree, tag, [])
    yield tag
    engine.remove_image(tag)


@pytest.fixture
def dead_owner() -> Owner:
    """An owner that lived in this boot and this pid namespace, and was killed."""
    script = "from ostro.sandbox.reaper import current_owner; import json, dataclasses, sys, time\n"
    script += "print(json.dumps(dataclasses.asdict(current_owner())), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        owner = Owner(**json.loads(process.stdout.readline()))
        assert not owner_is_dead(owner, current_owner())
        process.kill()
    return owner


def test_owner_of_a_living_process_is_not_dead() -> None:
    assert not owner_is_dead(current_owner(), current_owner())


def test_owner_that_was_killed_is_dead(dead_owner: Owner) -> None:
    assert owner_is_dead(dead_owner, current_owner())


def test_owner_when_its_pid_was_reused_is_dead() -> None:
    here = current_owner()
    assert owner_is_dead(replace(here, started="1"), here)


def test_owner_of_an_earlier_boot_of_this_machine_is_dead() -> None:
    here = current_owner()
    assert owner_is_dead(replace(here, boot="earlier"), here)


def test_owner_on_another_machine_is_not_judged(dead_owner: Owner) -> None:
    assert not owner_is_dead(replace(dead_owner, boot="other", host="other"), current_owner())


def test_owner_in_another_pid_namespace_is_not_judged(dead_owner: Owner) -> None:
    assert not owner_is_dead(replace(dead_owner, pid_namespace="pid:[1]"), current_owner())


def test_labels_say_the_owner_and_nothing_else_does() -> None:
    here = current_owner()
    assert Owner.from_labels(here.labels()) == here
    assert Owner.from_labels({}) is None
    assert Owner.from_labels({**here.labels(), f"{LABEL}.owner": "x:1"}) is None


def test_reap_folders_takes_the_dead_past_their_grace_and_nothing_else(tmp_path: Path, dead_owner: Owner) -> None:
    for name in ("mine", "dead", "foreign", "damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tree").write_text("x")
    write_owner(tmp_path / "mine")
    (tmp_path / "dead" / OWNER_FILE).write_text(json.dumps(asdict(dead_owner)))
    (tmp_path / "damaged" / OWNER_FILE).write_text("{")
    (tmp_path / "link").symlink_to(tmp_path / "dead")

    assert reap_folders(tmp_path, grace_s=3600).folders == ()
    assert (tmp_path / "dead").exists()
    assert reap_folders(tmp_path, grace_s=0).folders == (tmp_path / "dead",)
    left = {entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")}
    assert left == {"mine", "foreign", "damaged", "link"}


def test_reap_folders_leaves_those_of_a_spared_run(tmp_path: Path, dead_owner: Owner) -> None:
    names = ("run-1", "run-1-main", "run-10")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER_FILE).write_text(json.dumps(asdict(dead_owner)))
    assert reap_folders(tmp_path, grace_s=0, spare=("run-1",)).folders == (tmp_path / "run-10",)
    assert {entry.name for entry in tmp_path.iterdir()} >= {"run-1", "run-1-main"}


def test_reap_without_an_engine_still_takes_the_folders(
    tmp_path: Path, dead_owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / OWNER_FILE).write_text(json.dumps(asdict(dead_owner)))
    reaped = reap(tmp_path, grace_s=0)
    assert (reaped.folders, reaped.containers) == ((tmp_path / "dead",), ())


def test_reap_folders_when_there_is_no_folder_does_nothing(tmp_path: Path) -> None:
    assert reap_folders(tmp_path / "none").folders == ()


@pytest.mark.docker
def test_e09_reap_engine_removes_twenty_orphans_and_no_foreign_one(
    engine: Engine, scratch_image: str, dead_owner: Owner, tmp_path: Path
) -> None:
    tag = secrets.token_hex(4)

    def make(kind: str, number: int, labels: dict[str, str]) -> str:
        volume = f"ostro-test-{tag}-{kind}-{number}"
        engine.create_volume(volume, labels)
        mount = {"Type": "volume", "Source": volume, "Target": "/v"}
        body = {"Image": scratch_image, "Cmd": ["none"], "Labels": labels, "HostConfig": {"Mounts": [mount]}}
        return engine.create_container(body, volume)

    orphans = [make("orphan", number, {LABEL: "1", **dead_owner.labels()}) for number in range(20)]
    foreign = {
        "living": {LABEL: "1", **current_owner().labels()},
        "unlabelled": {"app": "somebody's"},
        "half": {LABEL: "1"},
        "elsewhere": {LABEL: "1", **replace(dead_owner, boot="b", host="h").labels()},
        "namespace": {LABEL: "1", **replace(dead_owner, pid_namespace="pid:[1]").labels()},
        "unmarked": dead_owner.labels(),
    }
    others = {kind: make(kind, 0, labels) for kind, labels in foreign.items()}
    try:
        reaped = reap_engine(engine, tmp_path)
        assert len([name for name in reaped.containers if f"-{tag}-orphan-" in name]) == 20
        assert len([name for name in reaped.volumes if f"-{tag}-orphan-" in name]) == 20
        assert all(engine.state(container) is None for container in orphans)
        assert all(engine.state(container) is not None for container in others.values())
        again = reap_engine(engine, tmp_path)
        assert not [name for name in again.containers + again.volumes if tag in name]
    finally:
        for kind, container in others.items():
            engine.remove_container(container)
            engine.remove_volume(f"ostro-test-{tag}-{kind}-0")


def test_reap_folders_when_run_by_two_starts_at_once_removes_once(tmp_path: Path, dead_owner: Owner) -> None:
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / OWNER_FILE).write_text(json.dumps(asdict(dead_owner)))
    script = (
        "import sys, pathlib; from ostro.sandbox.reaper import reap_folders; "
        "reap_folders(pathlib.Path(sys.argv[1]), grace_s=0)"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**os.environ}) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert not (tmp_path / "dead").exists()
