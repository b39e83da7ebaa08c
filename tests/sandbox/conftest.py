"""The sandboxes of tests/worlds.py, and which of them the quick tests use: opening one in Docker takes a second."""

import os

import pytest

from tests.worlds import base, kind, mark_slow, open_kind, own_sandbox, sandbox, session_sandbox, tools

__all__ = ["base", "kind", "open_kind", "own_sandbox", "sandbox", "session_sandbox", "tools"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    shared = {"bubblewrap", "dash", "busybox", "docker"}
    mark_slow(
        items,
        {
            "test_contract_commands.py": shared,
            "test_contract_files.py": shared,
            "test_contract_patch.py": {"bubblewrap"},
            "test_contract_life.py": {"bubblewrap"},
            "test_checkpoint.py": {"bubblewrap"},
        },
    )


@pytest.fixture
def ada(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's git is Ada's: her name, and no variable that changes what git does."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n\tname = Ada User\n\temail = ada@example.org\n")
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith(("GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
