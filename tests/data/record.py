"""Record the corpus of trajectories below tests/data/trajectories/: scripted runs, and runs of a real model.

    PYTHONPATH=typings python -m tests.data.record demo repairs
    PYTHONPATH=typings python -m tests.data.record --endpoint http://127.0.0.1:8080/v1 --model small chunks slug
    PYTHONPATH=typings python -m tests.data.record --adopt kept/smallbugs__chunks kept/smallbugs__slug

The last takes over runs that were made before, each a folder with the run in `run` and its repository in `repository`.
A log that exists is not written again: old logs must keep replaying, so a new one gets a new name. What names this
machine (paths, the host) is written neutrally before a log is kept. DIGESTS has to be extended by hand. Record with
the system's Python, so that no log names another one's place.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ostro.agent.config import Settings
from ostro.agent.record.chain import seal
from ostro.agent.record.events import EVENT, Event, RunStarted
from ostro.agent.record.trajectory import read_events
from ostro.agent.resume import resume
from ostro.agent.session import RunRequest, run
from ostro.agent.task import Task
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.cli.demo import BUNDLED
from tests.corpus import BASE, LOG, TRAJECTORIES, make_base
from tests.data.scripts import SCRIPTS, Script

ROWS = Path(__file__).parent.parent / "benchmarks" / "data" / "small.jsonl"
NEUTRAL = "/recorded"
"""What stands for the scratch folder."""

ENDPOINT = "http://127.0.0.1:8080/v1"


def record_script(script: Script, scratch: Path) -> None:
    """Play one scripted run."""
    make_base(script.files, scratch / "repository")
    with ScriptedEndpoint(script.turns) as endpoint:
        endpoint.by_request = list(script.turns) if script.by_request else None
        settings = _settings(scratch, endpoint.url, "scripted", test=script.test, **script.settings)
        request = RunRequest(scratch / "repository", script.task, settings, scratch / "run")
        if script.killed_at is None:
            run(request)
        else:
            _killed(script, request, endpoint.url)
        for limits in script.resumed:
            resume(scratch / "run", limits, None, lambda _: None)


def _killed(script: Script, request: RunRequest, url: str) -> None:
    """Run in another process, and kill it while the call of a turn runs."""
    (request.repository.parent / "issue.md").write_text(f"{script.task.title}\n\n{script.task.text}\n")
    command = [sys.executable, "-m", "ostro.cli.main", "run", "--repo", str(request.repository)]
    command += [
        "--issue",
        str(request.repository.parent / "issue.md"),
        "--out",
        str(request.out),
        "--test",
        script.test,
    ]
    command += ["--endpoint", url, "--model", "scripted", "--price", "0,0", "--sandbox", "local"]
    variables = {**os.environ, "OSTRO_HOME": str(request.settings.home), "OSTRO_SETUP": "\n"}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    log = request.settings.home.parent / "run" / LOG
    wanted = f'"type":"called","turn":{script.killed_at},'
    while process.poll() is None and not (log.is_file() and wanted in log.read_text("utf-8")):
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()


def record_row(name: str, endpoint: str, model: str, scratch: Path) -> dict[str, Any]:
    """Let a real model work on a row of the small benchmark; return the base's files."""
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    row = next(row for row in rows if row["instance_id"].endswith(f"__{name}"))
    files: dict[str, Any] = row["environment_setup"]["source"]["files"]
    make_base(files, scratch / "repository")
    title, _, text = row["problem_statement"].partition("\n")
    settings = _settings(
        scratch, endpoint, model, test=row["environment_setup"]["test_cmd"], steps=12, max_tokens=512, time=900
    )
    task = Task(title=title, text=text.strip(), source="--task")
    run(RunRequest(scratch / "repository", task, settings, scratch / "run"))
    return files


def _settings(scratch: Path, endpoint: str, model: str, **values: Any) -> Settings:
    fixed: dict[str, Any] = {"price": (0.0, 0.0), "sandbox": "local", "setup": (), "home": scratch / "home"}
    return Settings(**fixed, endpoint=endpoint, model=model, **values)


def adopted_files(repository: Path) -> dict[str, Any]:
    """Return the tracked files of a repository as files of a base."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\0") if name]
    return {name: _content((repository / name).read_bytes()) for name in names}


def keep(name: str, files: dict[str, Any], log: Path, place: Path) -> None:
    """Write the entry of the corpus.

    Args:
        name: of the entry.
        files: of the base.
        log: as it was recorded.
        place: folder of this machine that is not to be named in it.
    """
    target = TRAJECTORIES / name
    target.mkdir(parents=True)
    (target / BASE).write_text(json.dumps(files, indent=1, ensure_ascii=True) + "\n", "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        head = make_base(files, Path(folder) / "base") / ".git" / "refs" / "heads" / "main"
        commit = head.read_text("ascii").strip()
    events = list(read_events(log))
    started = next(event for event in events if isinstance(event, RunStarted))
    names = {
        str(started.config["home"]): f"{NEUTRAL}/home",
        str(place): NEUTRAL,
        started.base_commit: commit,
        started.base_commit[:12]: commit[:12],
    }
    previous = ""
    with (target / LOG).open("wb") as kept:
        for event in events:
            line, previous = seal(neutral(event, names), previous)
            kept.write(line)


def neutral(event: Event, names: Mapping[str, str]) -> Event:
    """Return the event without what names the machine that it was recorded on; `names` says what stands for what."""

    def change(text: str) -> str:
        for old, new in names.items():
            text = text.replace(old, new)
        return text

    data = _replaced(event.model_dump(mode="json"), change)
    if data["type"] == "run_started":
        data["config"] |= {"host": platform.system(), "image": None, "endpoint": ENDPOINT}
        data |= {"base_url": ENDPOINT, "image": None}
    if data["type"] == "planned":
        data["served_by"] = Path(data["served_by"]).name
    return EVENT.validate_python(data)


def _replaced(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_replaced(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, change) for key, item in value.items()}
    return value


def demo_files() -> dict[str, Any]:
    """Return the bundled repository as files of a base."""
    root = BUNDLED / "repository"
    found = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(root)): _content(path.read_bytes()) for path in found}


def _content(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Record the named entries; one that is there already is left alone."""
    parser = argparse.ArgumentParser(description="Record trajectories for the corpus.")
    parser.add_argument("names", nargs="+", help=f"scripts: {', '.join(SCRIPTS)}; with --endpoint: rows of {ROWS.name}")
    parser.add_argument("--endpoint", default="", metavar="URL", help="a real model instead of the scripts")
    parser.add_argument("--model", default="small")
    parser.add_argument("--adopt", action="store_true", help="the names are folders of kept runs of a real model")
    given = parser.parse_args(arguments)
    for name in given.names:
        real = given.adopt or given.endpoint
        entry = f"real-{Path(name).name.rpartition('__')[2]}" if real else name
        if (TRAJECTORIES / entry).exists():
            sys.stderr.write(f"{entry} is there already\n")
            continue
        with tempfile.TemporaryDirectory(prefix="ostro-record-") as folder:
            scratch = Path(name) if given.adopt else Path(folder)
            files = _made(name, given, scratch)
            keep(entry, files, scratch / "run" / LOG, scratch.absolute())
        sys.stderr.write(f"{entry} recorded\n")
    return 0


def _made(name: str, given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Make the run, where there is none yet, and return the files of its base."""
    if given.adopt:
        return adopted_files(scratch / "repository")
    if given.endpoint:
        return record_row(name, given.endpoint, given.model, scratch)
    script = SCRIPTS[name]()
    record_script(script, scratch)
    return script.files


if __name__ == "__main__":
    sys.exit(main())
