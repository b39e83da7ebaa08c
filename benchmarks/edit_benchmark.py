"""How the edit tool treats a few hundred generated edits: the outcome in bytes, and the help when it refuses.

`python -m ostro.benchmarks.edit_benchmark` prints the table; tests/tools/test_edit_benchmark.py demands that every
case (benchmarks/edit_cases.py) is right.
"""

from __future__ import annotations

import io
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ostro.benchmarks.edit_cases import Case, generate
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import SAVED_BYTES, Sandbox, SandboxSpec
from ostro.sandbox.scratch import scratch_folder
from ostro.tools.editor import EDITOR, EditorArgs
from ostro.tools.protocol import Observation, ToolContext

FOLDER = "edits"


@dataclass(frozen=True)
class Result:
    """What came of a case; `fault` is empty when it was treated as it must be."""

    case: Case
    text: str
    fault: str = ""


def run(sandbox: Sandbox, cases: Sequence[Case]) -> list[Result]:
    """Carry out each case on its own file in the sandbox, as a model would: view, then edit.

    The files go in and come out together: the tool's own traffic is what takes time.
    """
    paths = [f"{FOLDER}/{number}/{case.arguments.path}" for number, case in enumerate(cases)]
    _pack(sandbox, dict(zip(paths, (case.before for case in cases), strict=True)))
    answers = [_edit(sandbox, path, case) for path, case in zip(paths, cases, strict=True)]
    contents = _unpack(sandbox)
    return [
        Result(case, answer.text, _fault(case, answer, contents[path]))
        for path, case, answer in zip(paths, cases, answers, strict=True)
    ]


def _edit(sandbox: Sandbox, path: str, case: Case) -> Observation:
    context = ToolContext(sandbox=sandbox)
    if case.seen:
        EDITOR.run(EditorArgs(command="view", path=path), context)
    if case.meanwhile is not None:
        sandbox.write(path, case.meanwhile)
    return EDITOR.run(case.arguments.model_copy(update={"path": path}), context)


def _pack(sandbox: Sandbox, files: Mapping[str, bytes]) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    done = sandbox.run(f"rm -rf {FOLDER} && tar -xf -", cwd=sandbox.workdir, stdin=archive.getvalue())
    assert done.exit_code == 0, done.output.text()


def _unpack(sandbox: Sandbox) -> dict[str, bytes]:
    done = sandbox.run(f"tar -cf - {FOLDER}", cwd=sandbox.workdir, head_bytes=SAVED_BYTES)
    assert done.output.complete, "the files are more than a sandbox hands out at once"
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(done.output.head)) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None:
                contents[member.name] = file.read()
    return contents


def _fault(case: Case, answer: Observation, content: bytes) -> str:
    if content != case.after:
        return "the file is not what it must be"
    if answer.ok is not case.ok:
        return f"ok is {answer.ok}"
    missing = [pattern for pattern in case.help if not re.search(pattern, answer.text, re.DOTALL)]
    return f"the answer lacks {missing[0]!r}" if missing else ""


def table(results: Iterable[Result]) -> str:
    """Return one line a kind: cases, and how many were treated as they must be."""
    right: dict[str, list[bool]] = {}
    for result in results:
        right.setdefault(result.case.kind, []).append(not result.fault)
    lines = [f"{kind:26} {sum(marks):4} of {len(marks)}" for kind, marks in right.items()]
    every = [mark for marks in right.values() for mark in marks]
    return "\n".join([*lines, f"{'all':26} {sum(every):4} of {len(every)}"])


def main() -> int:
    """Run all cases in the embedded sandbox, print the table and each fault; 1 when there is any."""
    with scratch_folder("edits") as folder:
        spec = SandboxSpec(run_id="edits", state_dir=folder)
        with open_sandbox("local", spec) as sandbox:
            results = list(run(sandbox, generate()))
    sys.stdout.write(f"{table(results)}\n")
    for result in results:
        if result.fault:
            sys.stdout.write(f"\n{result.case.kind}: {result.fault}\n{result.text}\n")
    return 1 if any(result.fault for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
