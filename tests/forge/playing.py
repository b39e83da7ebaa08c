"""Play the steps of action.yml as a runner does: inputs, expressions, variables, files and outputs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.forge.ci_job import CiJob, Event

ROOT = Path(__file__).parent.parent.parent
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_TERM = re.compile(r"'[^']*'|[A-Za-z_][\w.]*|&&|\|\||!")
_OPERATORS = {"&&": " and ", "||": " or ", "!": " not "}


@dataclass(frozen=True)
class Played:
    """What a step of a workflow that uses the action left."""

    code: int
    log: str
    outputs: dict[str, str]


def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    return loaded


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "ci" / name).read_text("utf-8"))
    return loaded


def play(job: CiJob, event: Event, inputs: Mapping[str, str], *, token: str) -> Played:
    """Run the action's steps for an event; Ostro is installed already, as it is at the second use in a job."""
    described = action()
    unknown = set(inputs) - set(described["inputs"])
    assert not unknown, unknown
    values = {f"inputs.{name}": str(about.get("default", "")) for name, about in described["inputs"].items()}
    values |= {f"inputs.{name}": value for name, value in inputs.items()}
    values |= {"inputs.token": token, "github.action_path": str(ROOT)}
    temp = job.folder / "runner-temp"
    install(temp / "ostro" / "bin")
    (job.folder / "job" / "outputs").unlink(missing_ok=True)
    log, code = "", 0
    for step in described["runs"]["steps"]:
        assert "${{" not in step["run"]
        environment = job.environment(event, "", {"RUNNER_TEMP": str(temp)})
        own = {name: _EXPRESSION.sub(lambda match: values[match[1]], text) for name, text in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            env={**environment, **own},
            cwd=job.folder / "job",
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        log, code = log + done.stdout + done.stderr, done.returncode
        if code:
            break
    return Played(code, log, job.outputs)


def starts(condition: str, event: str, payload: Mapping[str, Any]) -> bool:
    """Whether the `if:` of a job lets an event in; only what the templates use of GitHub's expressions is known."""
    return bool(evaluated(condition, {"github": {"event_name": event, "event": payload}}))


def evaluated(expression: str, context: Mapping[str, Any]) -> Any:
    """The value of an expression in a context."""

    def looked_up(path: str) -> Any:
        found: Any = context
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return "" if found is None else found

    def term(match: re.Match[str]) -> str:
        word = match[0]
        return word if word[0] == "'" or word in names else _OPERATORS.get(word) or f"looked_up({word!r})"

    names: dict[str, Any] = {
        "looked_up": looked_up,
        "startsWith": lambda text, head: str(text).lower().startswith(head.lower()),
        "contains": lambda listed, value: value in listed,
        "fromJSON": json.loads,
        "format": lambda text, value: text.format(value),
    }
    return eval(" ".join(_TERM.sub(term, expression).split()), names)


def install(folder: Path) -> Path:
    """Put the command `ostro` into a folder, and return the folder."""
    program = folder / "ostro"
    if not program.exists():
        folder.mkdir(parents=True)
        python = f'PYTHONPATH="{ROOT / "typings"}" exec "{sys.executable}"'
        program.write_text(f'#!/bin/sh\n{python} -m ostro.cli.main "$@"\n', "utf-8")
        program.chmod(0o755)
    return folder
