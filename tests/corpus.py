"""The corpus of recorded trajectories: old logs must keep replaying (tests/agent/test_corpus.py).

tests/data/trajectories/<name>/ holds `trajectory.jsonl` and `base.json`, from which the base commit is made again
with the same id. tests/data/record.py records them. A log is never changed: where a message of Ostro's was changed on
purpose, `accepted.diff` beside the log shows the drift that is accepted (UPDATE_SNAPSHOTS=1 writes it).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path

from ostro.agent.record.drift import ReplayReport
from ostro.agent.record.replay import ReplayRequest, replay

TRAJECTORIES = Path(__file__).parent / "data" / "trajectories"
DIGESTS = TRAJECTORIES / "DIGESTS"
"""sha256 and path of every file that must never change, as `sha256sum` prints them."""

LOG = "trajectory.jsonl"
BASE = "base.json"
MADE = "2026-01-01T00:00:00+00:00"
NAMES = sorted(path.parent.name for path in TRAJECTORIES.glob(f"*/{LOG}"))


def make_base(files: dict[str, str | dict[str, str]], folder: Path) -> Path:
    """Make the repository of a base; author and dates are fixed, so its commit has the same id each time.

    Args:
        files: path -> text, or `{"base64": ...}` for what is no UTF-8.
        folder: to be made.
    """
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else base64.b64decode(content["base64"])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    settings = ["-c", "core.autocrlf=false", "-c", "core.fileMode=false", "-c", "commit.gpgSign=false"]
    who = {"NAME": "Ostro", "EMAIL": "ostro@example.org", "DATE": MADE}
    people = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **people}
    for arguments in (["init", "-q", "-b", "main"], ["add", "--all", "--force"], ["commit", "-q", "-m", "base"]):
        subprocess.run(["git", *settings, *arguments], cwd=folder, env=environment, check=True)
    return folder


def replay_entry(name: str, scratch: Path) -> ReplayReport:
    """Replay one log of the corpus in the embedded sandbox."""
    base = json.loads((TRAJECTORIES / name / BASE).read_text("utf-8"))
    repository = make_base(base, scratch / "repository")
    request = ReplayRequest(
        log=TRAJECTORIES / name / LOG, home=scratch / "home", repository=repository, sandbox="local"
    )
    return replay(request)


def digests() -> list[str]:
    """Return the lines that `DIGESTS` must have."""
    files = sorted(path for name in (LOG, BASE) for path in TRAJECTORIES.glob(f"*/{name}"))
    return [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(TRAJECTORIES)}" for path in files]
