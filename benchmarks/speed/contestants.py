"""Who takes part: how each is started on a repository, and how its model ends the task."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ostro.benchmarks.speed.task import ISSUE

Sandbox = Literal["docker", "local"]

_CONFIGURED = ("OSTRO_", "MSWEA_", "LITELLM_", "OPENAI_")
_MINI_DONE = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
_MINI_REPOSITORY = "/repository"


@dataclass(frozen=True)
class Start:
    """One command: its words, and its whole environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Contestant:
    """One agent in one kind of sandbox.

    Attributes:
        name: for the table.
        start: makes the command from the endpoint's address, the repository and a folder of its own.
        submit: replies of the model after the last command.
        result: reads from the folder where the change is: a branch, or "" for the working tree.
    """

    name: str
    start: Callable[[str, Path, Path], Start]
    submit: Sequence[Mapping[str, Any]]
    result: Callable[[Path], str]


def ostro(sandbox: Sandbox, image: str, home: Path) -> Contestant:
    """Return Ostro as its users have it: `ostro run` with its preflight, checkpoints and review.

    Args:
        sandbox: which.
        image: for Docker.
        home: OSTRO_HOME, the same in every round.
    """

    def start(url: str, repository: Path, folder: Path) -> Start:
        flags = ["--repo", str(repository), "--task", ISSUE, "--out", str(folder / "run"), "--sandbox", sandbox]
        flags += ["--endpoint", url, "--model", "scripted", "--price", "0,0", "--output", "json"]
        flags += ["--image", image] if sandbox == "docker" else []
        variables = {"OSTRO_HOME": str(home), "XDG_CONFIG_HOME": str(folder), "OSTRO_SETUP": "\n"}  # nothing to set up
        return Start((sys.executable, "-m", "ostro.cli.main", "run", *flags), _inherited() | variables)

    submit = {"calls": [{"name": "submit", "arguments": {"summary": "scale() multiplies by the factor."}}]}
    return Contestant(f"ostro {sandbox}", start, (submit, submit), _branch)


def mini(python: Path, sandbox: Sandbox, image: str) -> Contestant:
    """Return mini-swe-agent, as its command `mini` runs it, in Docker with the repository mounted, else on the host.

    Args:
        python: the interpreter of the environment that it is installed in.
        sandbox: `local` is unsandboxed: it has no other way without an engine.
        image: for Docker.
    """

    def start(url: str, repository: Path, folder: Path) -> Start:
        settings = [f"model.model_kwargs.api_base={url}", "model.cost_tracking=ignore_errors"]
        place = str(repository)
        if sandbox == "docker":
            place = _MINI_REPOSITORY
            mount = json.dumps(["--rm", "-v", f"{repository}:{place}"])
            settings += ["environment.environment_class=docker", f"environment.image={image}"]
            settings += [f"environment.run_args={mount}"]
        settings += [f"environment.cwd={place}"]
        flags = ["-c", "mini.yaml", *(word for one in settings for word in ("-c", one))]
        flags += ["-m", "openai/scripted", "-t", ISSUE, "-y", "--exit-immediately", "-o", str(folder / "run.traj.json")]
        variables = {
            "OPENAI_API_KEY": "none",
            "MSWEA_CONFIGURED": "true",
            "MSWEA_GLOBAL_CONFIG_DIR": str(folder / "config"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # without it it asks the network for prices first
        }
        return Start((str(python), "-m", "minisweagent.run.mini", *flags), _inherited() | variables)

    submit = {"calls": [{"name": "bash", "arguments": {"command": _MINI_DONE}}]}
    return Contestant(f"mini-swe-agent {sandbox}", start, (submit,), lambda _: "")


def _branch(folder: Path) -> str:
    try:
        return str(json.loads((folder / "stdout").read_text("utf-8"))["branch"] or "none")
    except (OSError, ValueError, KeyError):
        return "none"


def _inherited() -> dict[str, str]:
    """Return the environment without what configures an agent, and with byte code kept, as for every user."""
    dropped = {"PYTHONDONTWRITEBYTECODE"}
    return {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith(_CONFIGURED)}
