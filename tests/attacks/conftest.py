"""The sandboxes of tests/worlds.py."""

from tests.worlds import _session_sandbox, base, kind, open_kind, own_sandbox, sandbox, tools

__all__ = ["_session_sandbox", "base", "kind", "open_kind", "own_sandbox", "sandbox", "tools"]
