"""Finish the task: the first call shows the patch for review, the next one ends the run.

A submit without a patch is asked about once; `give_up` ends a run that needs no patch or cannot make one.
"""

from __future__ import annotations

import hashlib
import re

from pydantic import Field

from ostro.prompts.render import render
from ostro.sandbox.protocol import SandboxError
from ostro.tools.display import clean, clip, fold_long_lines
from ostro.tools.protocol import Observation, Tool, ToolArgs, ToolContext

EMPTY_REVIEWED = hashlib.sha256(b"").hexdigest()
"""`ToolState.reviewed` after the question about an empty patch."""
MAX_LISTED_FILES = 20
DIFF_LINE_CHARS = 400

_HEADER = re.compile(rb"^diff --git a/(.*?) b/(.*)$", re.MULTILINE)
_TEST_FILE = re.compile(
    r"(?:^|/)(?:tests?|testing|specs?|__tests__)/|(?:^|/)(?:test_[^/]*|[^/]*(?:_test|\.test|\.spec|_spec)\.\w+)$"
)


class SubmitArgs(ToolArgs):
    """Arguments of `submit`."""

    summary: str = Field(min_length=1)
    give_up: bool = False


def run_submit(args: SubmitArgs, context: ToolContext) -> Observation:
    """Show the patch for review, or end the run when that has been done.

    Raises:
        SandboxError: the sandbox is gone or the workspace is lost; a patch that is too large is an Observation.
    """
    try:
        patch = context.sandbox.patch()
    except SandboxError as error:
        if error.kind != "patch_too_large":
            raise
        return Observation(
            text=f"Not submitted: {error} Remove large or generated files from the repository and submit again.",
            ok=False,
        )
    if not patch:
        return _without_patch(args, context)
    if context.state.reviewed in {"", EMPTY_REVIEWED}:
        context.state.reviewed = hashlib.sha256(patch).hexdigest()
        return Observation(text=_review(patch, context), data={"patch_bytes": len(patch)})
    return _end(args, gave_up=args.give_up)


def _without_patch(args: SubmitArgs, context: ToolContext) -> Observation:
    if context.state.reviewed == EMPTY_REVIEWED:
        return _end(args, gave_up=args.give_up)
    context.state.reviewed = EMPTY_REVIEWED
    return Observation(text=render("empty_patch.j2", give_up=args.give_up), ok=False, data={"patch_bytes": 0})


def _end(args: SubmitArgs, *, gave_up: bool) -> Observation:
    text = "Ended without a patch." if gave_up else "Submitted."
    return Observation(text=text, done=True, gave_up=gave_up, data={"summary": args.summary})


def _review(patch: bytes, context: ToolContext) -> str:
    diff = fold_long_lines(context.redact(clean(readable(patch))), DIFF_LINE_CHARS)
    new, tests = new_files(patch), [path for path in changed_files(patch) if is_test_file(path)]
    return render(
        "review.j2",
        diff=clip(diff.strip(), context.observation_chars),
        new_files=new[:MAX_LISTED_FILES],
        test_files=[path for path in tests if path not in new][:MAX_LISTED_FILES],
        test_command=context.test_command,
    )


def readable(patch: bytes) -> str:
    """Return a git patch without what only a program needs: index lines and the data of binary files."""
    text = patch.decode("utf-8", "replace")
    text = re.sub(r"^index [0-9a-f]+\.\.[0-9a-f]+.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^GIT binary patch\n(?:(?!diff --git ).*\n)*", "(binary content)\n", text, flags=re.MULTILINE)


def changed_files(patch: bytes) -> list[str]:
    """Return the paths that a git patch touches, in its order."""
    return [_path(header[1]) for header in _HEADER.findall(patch)]


def new_files(patch: bytes) -> list[str]:
    """Return the paths that a git patch adds, in its order."""
    parts = re.split(rb"^(?=diff --git )", patch, flags=re.MULTILINE)
    added = [part for part in parts if re.match(rb"diff --git .*\nnew file mode ", part)]
    return [path for part in added for path in changed_files(part)]


def is_test_file(path: str) -> bool:
    """Whether a path looks like that of a test, by the habits of the common languages."""
    return _TEST_FILE.search(path) is not None


def _path(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").rstrip('"')


SUBMIT = Tool(name="submit", args=SubmitArgs, run=run_submit)
