"""What every test may count on: an OSTRO_HOME of its own, no key, and an honest account of what was left out."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

BASE_IMAGES = ("ostro/base:bookworm", "base:bookworm")
"""Images that hold Python and git, made by `ostro image build`."""

settings.register_profile("ostro", deadline=None)
settings.load_profile("ostro")
"""No deadline for one example: how long it takes is a matter of what else the machine does."""

_DESELECTED: Counter[str] = Counter()


@functools.cache
def engine_images() -> tuple[str, ...] | None:
    """Return the tags that the engine has, None where no engine answers."""
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.protocol import SandboxError

    try:
        engine = Engine.connect()
    except SandboxError:
        return None
    with contextlib.closing(engine):
        return tuple(image.name for image in engine.images(""))


def missing_for_docker() -> str:
    """Say why tests marked `docker` cannot run here; "" when they can."""
    images = engine_images()
    if images is None:
        return "no Docker engine answers"
    if not set(images) & set(BASE_IMAGES):
        return "the engine has no base image; make it with `ostro image build --tag ostro/base:bookworm`"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("docker")]
    reason = missing_for_docker() if marked else ""
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=reason))


def pytest_deselected(items: list[pytest.Item]) -> None:
    _DESELECTED.update("slow" if item.get_closest_marker("slow") else "other" for item in items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        skipped[reason.removeprefix("Skipped: ")] += 1
    if _DESELECTED["slow"] and not terminalreporter.config.getoption("keyword"):
        terminalreporter.write_line(f"left out: {_DESELECTED['slow']} slow tests; `make test-all` runs them")
    for reason, count in sorted(skipped.items()):
        terminalreporter.write_line(f"left out: {count} tests: {reason}")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's runs, configuration, keys and git identity."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith("OSTRO_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OSTRO_HOME", str(home / "ostro"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))


@pytest.fixture(scope="session")
def docker_image() -> str:
    """The base image of the engine; for tests marked `docker`."""
    images = engine_images() or ()
    return next(image for image in BASE_IMAGES if image in images)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small real repository with one commit."""
    import subprocess

    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "hello.py").write_text('def hello() -> str:\n    return "helo"\n')
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "add", "."],
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder
