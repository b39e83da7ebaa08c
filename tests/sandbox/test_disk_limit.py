"""A workspace has a limit in every backend: a command that passes it is ended, one that clears up is not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ostro.sandbox import exchange, usage
from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.protocol import Limits
from ostro.sandbox.shell import SPOOLS
from ostro.sandbox.usage import DiskWatch
from tests.worlds import Open, missing

MIB = 1024**2
LIMITS = Limits(memory_bytes=512 * MIB, processes=256, workspace_bytes=64 * MIB, tmp_bytes=64 * MIB, grace_s=2.0)


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def small(request: pytest.FixtureRequest, open_kind: Open) -> Iterator[AttachedSandbox]:
    if reason := missing(request.param):
        pytest.skip(reason)
    with open_kind(request.param, limits=LIMITS) as box:
        yield box


def fill(megabytes: int) -> str:
    return f"for i in $(seq {megabytes // 10}); do head -c {10 * MIB} /dev/zero >big$i; done"


def test_command_when_it_fills_the_workspace_is_ended_with_a_sentence(small: AttachedSandbox) -> None:
    done = small.run(f"{fill(100)}; sleep 30", timeout_s=60)
    assert done.exit_code == 137
    assert usage.DISK in done.output.text()
    assert not done.oom
    assert not done.timed_out
    assert small.run("rm big*; echo alive").output.text() == "alive\n"
    assert small.run("sleep 4; echo alive", timeout_s=30).output.text() == "alive\n"


def test_commands_when_each_is_too_short_to_be_watched_are_told_of(
    small: AttachedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WATCH_S", 60.0)  # each is, however slow the machine
    for number in range(10):
        done = small.run(f"head -c {10 * MIB} /dev/zero >short{number}; sleep 0.2")
        assert done.exit_code == 0
        if usage.DISK_FULL in done.output.text():
            break
    else:
        raise AssertionError("never told")
    assert number >= 5
    assert usage.DISK_FULL not in small.run("rm short*; sleep 0.6").output.text()


def test_command_when_it_makes_room_may_go_on_above_the_limit(small: AttachedSandbox) -> None:
    small.run(f"{fill(120)}", timeout_s=60)
    small.run("ls big* | wc -l; sleep 0.6")
    done = small.run("for f in big*; do rm $f; sleep 0.3; done; echo clear", timeout_s=60)
    assert done.output.text().startswith("clear\n")
    assert done.exit_code == 0


def test_command_when_it_hides_what_it_writes_is_ended_all_the_same(small: AttachedSandbox) -> None:
    done = small.run(f"mkdir hidden; cd hidden; chmod 300 .; {fill(100)}; sleep 30", timeout_s=60)
    assert done.exit_code == 137
    assert usage.DISK in done.output.text()


def test_file_when_it_is_larger_than_the_workspace_may_be_cannot_be_written_locally(open_kind: Open) -> None:
    if reason := missing("bubblewrap"):
        pytest.skip(reason)
    with open_kind("bubblewrap", limits=LIMITS) as box:
        box.run(f"head -c {200 * MIB} /dev/zero >one; true")
        size = int(box.run("wc -c <one", keep_state=False).output.text())
        assert size <= 64 * MIB


def test_long_outputs_when_there_are_many_are_kept_on_the_host_only_so_far(small: AttachedSandbox) -> None:
    last = None
    for _ in range(SPOOLS + 3):
        last = small.run("seq 50000").output
    assert last is not None
    assert last.spool is not None
    assert last.spool.is_file()
    assert len(list(last.spool.parent.iterdir())) == SPOOLS


class Disk:
    """A disk of 100 bytes with a workspace and others' files on it."""

    def __init__(self) -> None:
        self.workspace = 10
        self.others = 0
        self.counts = 0
        self.countable = True

    def count(self) -> int | None:
        self.counts += 1
        return self.workspace if self.countable else None

    def passed(self, watch: DiskWatch) -> bool:
        return watch.passed(100 - self.workspace - self.others, self.count)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def watch() -> DiskWatch:
    return DiskWatch(50)


def test_watch_when_little_is_written_counts_once(disk: Disk, watch: DiskWatch) -> None:
    for size in (10, 20, 50):
        disk.workspace = size
        assert not disk.passed(watch)
    assert disk.counts == 1


def test_watch_when_the_limit_is_passed_says_so_until_it_shrinks(disk: Disk, watch: DiskWatch) -> None:
    assert not disk.passed(watch)
    disk.workspace = 60
    assert disk.passed(watch)
    assert disk.passed(watch)
    disk.workspace = 55
    assert not disk.passed(watch)
    assert disk.passed(watch)


def test_watch_when_others_fill_the_disk_counts_and_lets_go_on(disk: Disk, watch: DiskWatch) -> None:
    assert not disk.passed(watch)
    disk.others = 70
    assert not disk.passed(watch)
    assert disk.counts == 2
    assert not disk.passed(watch)
    assert disk.counts == 2


def test_watch_when_others_make_room_sees_what_that_hides(
    disk: Disk, watch: DiskWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    disk.others = 40
    assert not disk.passed(watch)
    disk.workspace, disk.others = 60, 0
    assert not disk.passed(watch)
    clock += 0.5
    assert disk.passed(watch)


def test_watch_when_it_cannot_count_judges_by_the_free_space(disk: Disk, watch: DiskWatch) -> None:
    disk.countable = False
    assert not disk.passed(watch)
    disk.workspace = 75
    assert disk.passed(watch)
    disk.workspace = 30
    assert not disk.passed(watch)


def test_watch_when_the_free_space_is_unknown_lets_go_on() -> None:
    assert not DiskWatch(1).passed(None, lambda: 100)
