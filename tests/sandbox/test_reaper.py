"""Only what certainly belongs to a dead ostro is removed: judged by pid, start time, boot and pid namespace."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.owner import LABEL, OWNER_FILE, Owner, claim, current_owner, owner_is_dead, start_time
from ostro.sandbox.protocol import SandboxError
from ostro.sandbox.reaper import DEFAULT_GRACE_S, FOLDER_LABEL, MARKS, RUN_LABEL, reap, reap_engine, reap_folders


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
    script = "from ostro.sandbox.owner import current_owner; import json, dataclasses, sys, time\n"
    script += "print(json.dumps(dataclasses.asdict(current_owner())), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        owner = Owner(**json.loads(process.stdout.readline()))
        assert not owner_is_dead(owner, current_owner())
        process.kill()
    return owner


def past_grace(sandboxes: Path, name: str) -> None:
    """Make the marks of a first sight older than the grace, but only ours: other tests use the engine, too."""
    for mark in (sandboxes / MARKS).glob(f"*{name}*"):
        os.utime(mark, (0, time.time() - DEFAULT_GRACE_S - 1))


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
    claim(tmp_path / "mine")
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

    def volumes(kind: str) -> list[str]:
        argv = ["docker", "volume", "ls", "-q", "--filter", f"name=ostro-test-{tag}-{kind}"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

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
        reap_engine(engine, tmp_path)
        for container in orphans:
            engine.wait(container, removed=True)  # the pass of another program may be at it, too
        assert all(engine.state(container) is None for container in orphans)
        assert all(engine.state(container) is not None for container in others.values())
        assert len(volumes("orphan")) == 20
        past_grace(tmp_path, tag)
        reap_engine(engine, tmp_path)
        assert volumes("orphan") == []
        assert {name.split("-")[3] for name in volumes("")} == set(foreign)
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


@pytest.mark.docker
def test_reap_engine_leaves_a_volume_whose_folder_has_a_living_owner_and_one_of_a_spared_run(
    engine: Engine, dead_owner: Owner, tmp_path: Path
) -> None:
    tag = secrets.token_hex(4)
    claim(tmp_path / "taken")
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / OWNER_FILE).write_text(json.dumps(asdict(dead_owner)))
    labels = {LABEL: "1", **dead_owner.labels()}
    made = {
        f"ostro-test-{tag}-{name}": {**labels, RUN_LABEL: f"{name}-main", FOLDER_LABEL: str(tmp_path / folder)}
        for name, folder in {"taken": "taken", "spared": "dead", "lost": "dead"}.items()
    }
    try:
        for name, about in made.items():
            engine.create_volume(name, about)
        for _ in range(2):
            reap_engine(engine, tmp_path, spare=("spared",))
            past_grace(tmp_path, tag)
        left = {volume.name for volume in engine.volumes({LABEL: ""}) if tag in volume.name}
        assert left == {f"ostro-test-{tag}-taken", f"ostro-test-{tag}-spared"}
    finally:
        for name in made:
            engine.remove_volume(name)


def test_grace_begins_anew_when_a_folder_had_an_owner_meanwhile(tmp_path: Path, dead_owner: Owner) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    orphaned = json.dumps(asdict(dead_owner))
    (folder / OWNER_FILE).write_text(orphaned)
    reap_folders(tmp_path)
    past_grace(tmp_path, "run")
    claim(folder)
    assert reap_folders(tmp_path).folders == ()
    (folder / OWNER_FILE).write_text(orphaned)
    assert reap_folders(tmp_path).folders == ()
    assert folder.is_dir()


def test_claim_when_a_living_process_has_the_folder_names_it(tmp_path: Path) -> None:
    parent = replace(current_owner(), pid=os.getppid(), started=start_time(os.getppid()) or "")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / OWNER_FILE).write_text(json.dumps(asdict(parent)))
    with pytest.raises(SandboxError, match=f"in use by process {os.getppid()}") as held:
        claim(tmp_path / "run")
    assert held.value.kind == "unavailable"


def test_reap_folders_takes_what_a_killed_pass_left_half_removed(tmp_path: Path) -> None:
    (tmp_path / ".gone-run" / "workspace" / "locked").mkdir(parents=True, mode=0o700)
    (tmp_path / ".gone-run" / "workspace" / "locked").chmod(0)
    reap_folders(tmp_path)
    assert not (tmp_path / ".gone-run").exists()
