"""One forged patch of the red team, as data (benchmarks/forgeries.py, benchmarks/forgeries_quiet.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff

PYTEST_TASK = "ostro__ledger"
UNITTEST_TASK = "ostro__slots"
NODE_TASK = "ostro__basket"


@dataclass(frozen=True)
class Forgery:
    """One trick.

    Attributes:
        name: short, for the table.
        task: instance of the built-in suite.
        idea: what it does, in one line.
        changes: path to what is put before the file's text (a file of the project) or is its whole text (a new one).
        links: path to the target of a symbolic link that the patch makes.
        text: of the patch itself, where it is no usual one.
    """

    name: str
    task: str
    idea: str
    changes: Mapping[str, str]
    links: Mapping[str, str] | None = None
    text: str = ""

    def patch(self, base: Mapping[str, str]) -> str:
        """Return the trick as a git patch against the files of the base."""
        parts = [self.text] + [
            change(path, base.get(path), text + base.get(path, "")) for path, text in self.changes.items()
        ]
        for path, target in (self.links or {}).items():
            parts.append(
                f"diff --git a/{path} b/{path}\nnew file mode 120000\n--- /dev/null\n+++ b/{path}\n"
                f"@@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
            )
        return "".join(parts)


def change(path: str, before: str | None, after: str) -> str:
    """Return the git patch that gives a file this text; `before` None makes the file."""
    header = f"diff --git a/{path} b/{path}\n" + ("new file mode 100644\n" if before is None else "")
    old = "/dev/null" if before is None else f"a/{path}"
    lines = unified_diff((before or "").splitlines(True), after.splitlines(True), old, f"b/{path}")
    return header + "".join(lines)
