"""Where environments are built: how many at once, none twice, and what goes when the disk is nearly full."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostro.benchmarks import recipe
from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.instance import Instance
from ostro.sandbox.protocol import SandboxError


class Engine:
    """Notes which images go."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove_image(self, name: str) -> None:
        self.removed.append(name)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that never has the room that is asked for."""
    monkeypatch.setattr(recipe, "ROOM_BYTES", 2**62)


def site_with(*names: str, record: Path | None = None) -> BuildSite:
    site = BuildSite(record=record)
    for name in names:
        site.pulled(name, f"made-{name}")
    return site


def test_building_when_many_ask_then_so_many_build_at_once_and_equal_ones_wait_for_each_other() -> None:
    site = BuildSite(jobs=2)
    all_started = threading.Barrier(2)
    lock = threading.Lock()
    under_way: list[str] = []
    most: list[int] = []
    twins: list[bool] = []

    def build(key: str) -> None:
        with site.building(key):
            with lock:
                twins.append(key in under_way)
                under_way.append(key)
                most.append(len(under_way))
            all_started.wait(timeout=30)  # breaks if fewer than two are ever under way
            with lock:
                under_way.remove(key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(build, ["a", "a", "a", "b", "b", "b"]))

    assert max(most) == 2
    assert not any(twins)


def test_build_when_several_workers_need_one_environment_then_it_is_built_once(
    small_instance: Instance, tmp_path: Path
) -> None:
    site = BuildSite(jobs=4)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: build_environment(small_instance, "local", tmp_path, site=site), range(4)))
    assert len(set(found)) == 1
    (log,) = (tmp_path / "instances" / "logs").glob("*.log")
    assert log.read_text().count("-m venv") == 1


@pytest.mark.usefixtures("full_disk")
def test_room_when_the_disk_is_full_then_pulled_images_go_the_longest_unused_first(tmp_path: Path) -> None:
    site, engine = site_with("a", "b", "c"), Engine()
    with site.using("a"):
        pass
    with site.using("c"), pytest.raises(SandboxError, match="MiB are free") as caught:
        site.make_room(tmp_path, engine)

    assert engine.removed == ["made-b", "b", "made-a", "a"], "c is in use, b was not used since it was pulled"
    assert caught.value.kind == "disk_full"


def test_room_when_the_disk_has_room_then_nothing_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "ROOM_BYTES", 1)
    site, engine = site_with("a"), Engine()
    site.make_room(tmp_path, engine)
    assert engine.removed == []


@pytest.mark.usefixtures("full_disk")
def test_room_when_an_earlier_process_of_the_run_pulled_images_then_they_may_go_too_and_no_others(
    tmp_path: Path,
) -> None:
    site_with("a", "b", record=tmp_path / "images.json")
    engine = Engine()
    with pytest.raises(SandboxError):
        BuildSite(record=tmp_path / "images.json").make_room(tmp_path, engine)
    assert engine.removed == ["made-a", "a", "made-b", "b"]

    (tmp_path / "images.json").write_text("[{")
    with pytest.raises(SandboxError):
        BuildSite(record=tmp_path / "images.json").make_room(tmp_path, engine)
    assert len(engine.removed) == 4


@pytest.mark.usefixtures("full_disk")
def test_build_when_the_disk_is_nearly_full_then_it_is_told_and_nothing_is_left(
    small_instance: Instance, tmp_path: Path
) -> None:
    with pytest.raises(SandboxError, match=r"only .* MiB are free") as caught:
        build_environment(small_instance, "local", tmp_path)
    assert caught.value.kind == "disk_full"
    assert "ostro clean" in caught.value.mend
    assert list((tmp_path / "instances" / "local").iterdir()) == []
