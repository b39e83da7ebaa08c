"""The sandboxes of tests/worlds.py; by default the attacks run in bubblewrap, in the others with the slow tests."""

import pytest

from tests.worlds import base, kind, mark_slow, open_kind, own_sandbox, sandbox, session_sandbox, tools

__all__ = ["base", "kind", "open_kind", "own_sandbox", "sandbox", "session_sandbox", "tools"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    quick = {"bubblewrap", "unshare", "docker"}
    files = {
        "test_x_commands.py": {"bubblewrap"},
        "test_x_isolation.py": quick,
        "test_x08_system_calls.py": quick,
        "test_x10_files.py": {"bubblewrap", "docker"},
    }
    mark_slow(items, files)
