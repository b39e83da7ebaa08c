"""`ostro demo`: the main job on a bundled repository, with a bundled scripted model behind real HTTP."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.cli.options import MODEL_FLAGS, examples, output_option, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.agent.config import Settings
    from ostro.cli.render import Progress

BUNDLED = Path(__file__).parent / "bundled"
SCRIPTED = "Scripted demo: a bundled script plays the model over real HTTP (`ostro demo --live` asks a real one)."
LIVE = "Live demo: {model} at {endpoint} works on the bundled repository."
UNPROTECTED = (
    "NO SANDBOX: this machine has no container engine and forbids namespaces. Repository and model of the demo are"
    " bundled and trusted, so their commands run UNPROTECTED on this machine. `ostro run` would refuse."
)
SCRIPT_FLAGS = {"model": "scripted", "price": (0.0, 0.0)}


@click.command(
    epilog=examples(
        "ostro demo",
        "ostro demo --live --model devstral-small-2",
    ),
)
@click.option("--live", is_flag=True, help="Ask the configured model instead of the script, after a probe.")
@settings_options(*MODEL_FLAGS, "sandbox", "image", "budget", "steps", "time")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run folder; a new one by default.")
@output_option
def command(live: bool, out: Path | None, output: str, **values: object) -> int:
    """Do the main job on a small bundled repository with a bug; needs no key, no network, no engine.

    The script uses the tools as a model would: look, search, reproduce, edit, test, submit. The repository is made
    in a temporary folder and stays there for you to look at.
    """
    from ostro.cli.render import Progress

    flags = settings_flags(values)
    given = [name for name in MODEL_FLAGS if flags.get(name) is not None]
    if given and not live:
        raise click.UsageError(
            f"--{given[0]} needs --live: without it the script is played", click.get_current_context()
        )
    with Progress(sys.stderr) as progress:
        return _live(flags, out, output, progress) if live else _scripted(flags, out, output, progress)


def _scripted(flags: dict[str, Any], out: Path | None, output: str, progress: Progress) -> int:
    from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint

    progress.say(SCRIPTED)
    turns = json.loads((BUNDLED / "script.json").read_text("utf-8"))
    with ScriptedEndpoint(turns) as endpoint:
        return _run({**flags, **SCRIPT_FLAGS, "endpoint": endpoint.url}, out, output, progress)


def _live(flags: dict[str, Any], out: Path | None, output: str, progress: Progress) -> int:
    from ostro.agent.config_sources import load
    from ostro.agent.errors import ModelError
    from ostro.agent.model.catalogue import resolve
    from ostro.agent.model.probe import probe_target

    settings = load(None, flags).settings
    target = resolve(settings.model, settings.endpoint, settings.price)
    progress.say(LIVE.format(model=target.model.id, endpoint=target.profile.label))
    report = probe_target(target)
    for line in report.lines():
        progress.say(line)
    if not report.ok:
        verdict = report.verdict
        raise ModelError(
            f"the endpoint is not fit to drive an agent ({verdict})",
            kind=verdict if verdict in ("auth", "credit", "gone", "unreachable", "template") else "protocol",
            mend="The script needs none: leave --live out. `ostro models` lists other endpoints.",
        )
    return _run(flags, out, output, progress)


def _run(flags: dict[str, Any], out: Path | None, output: str, progress: Progress) -> int:
    from ostro.agent.session import RunRequest, run
    from ostro.cli.run import configure, read_task, show

    folder = make_repository(Path(tempfile.mkdtemp(prefix="ostro-demo-")) / "parcel")
    progress.say(f"repository {folder}")
    found, _ = configure(str(folder), flags, progress)
    settings, warnings = _with_sandbox(found.settings, progress)
    task = read_task(folder, issue=str(BUNDLED / "issue.md"), text=None)
    request = RunRequest(repository=folder, task=task, settings=settings, out=out, warnings=warnings)
    return show(run(request, progress, progress.say), output, repository=folder)


def make_repository(folder: Path) -> Path:
    """Copy the bundled repository to `folder` and commit it."""
    from ostro.sandbox.git_process import must, run_git
    from ostro.sandbox.host_git import identity

    shutil.copytree(BUNDLED / "repository", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__/\n", "utf-8")
    who = identity("Ostro demo", "demo@example.org")
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Prices of parcels"]):
        must(run_git(arguments, cwd=folder, env=who), doing=f"{folder}: the demo's repository cannot be made")
    return folder


def _with_sandbox(settings: Settings, progress: Progress) -> tuple[Settings, tuple[str, ...]]:
    """Settle what `auto` means for the demo: it pulls no large image, and runs unprotected as a last resort."""
    if settings.sandbox != "auto" or settings.image is not None:
        return settings, ()
    if _engine_is_ready():
        return settings, ()
    reason = _namespaces_refused()
    if not reason:
        return settings.model_copy(update={"sandbox": "local"}), ()
    progress.say(f"{UNPROTECTED} ({reason})", alarm=True)
    return settings.model_copy(update={"sandbox": "none"}), (UNPROTECTED,)


def _namespaces_refused() -> str:
    """Say why this machine cannot have the embedded sandbox; "" when it can."""
    from ostro.sandbox.local import find_means
    from ostro.sandbox.protocol import SandboxError

    try:
        find_means()
    except SandboxError as error:
        return str(error)
    return ""


def _engine_is_ready() -> bool:
    """Whether an engine answers that has the default image already."""
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.image import default_image
    from ostro.sandbox.protocol import SandboxError

    try:
        engine = Engine.connect()
        return engine.image(default_image(lambda name: engine.image(name) is not None)) is not None
    except SandboxError:
        return False
