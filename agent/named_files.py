"""Show the model the small files that an issue names, in the first message: the step that it would spend on them.

The text is what the editor's view gives, so the stale-read guard knows that the model has seen the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ostro.sandbox.base_files import read_base
from ostro.sandbox.host_git import Base
from ostro.tools.editor import EDITOR, EditorArgs
from ostro.tools.protocol import ToolContext

MAX_FILES = 2
MAX_FILE_BYTES = 6_000
"""A larger file is left for the model to look into where it needs to."""

_PATH = re.compile(r"(?<![\w/.-])[\w-][\w.-]*(?:/[\w.-]+)*\.[A-Za-z]\w{0,4}(?![\w/])")


def paths_in(text: str, names: Collection[str]) -> list[str]:
    """Return the paths of `names` that `text` speaks of, in its order; an ambiguous ending names none."""
    found: list[str] = []
    for token in dict.fromkeys(match[0].removeprefix("./") for match in _PATH.finditer(text)):
        exact = [token] if token in names else [name for name in names if name.endswith(f"/{token}")]
        if len(exact) == 1 and exact[0] not in found:
            found.append(exact[0])
    return found


def show_named_files(issue: str, base: Base, tools: ToolContext) -> list[dict[str, str]]:
    """Return path and numbered content of the first small text files that the issue names.

    Raises:
        SandboxError: the sandbox is gone.
    """
    names = read_base(base.git_dir, base.commit).tree.names
    shown: list[dict[str, str]] = []
    for path in paths_in(issue, names):
        if len(shown) == MAX_FILES:
            break
        view = EDITOR.run(EditorArgs(command="view", path=path), tools)
        if view.ok and len(view.text) <= MAX_FILE_BYTES:
            shown.append({"path": path, "text": tools.redact(view.text)})
    return shown
