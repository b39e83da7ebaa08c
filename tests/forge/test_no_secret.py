"""Over a whole `ostro pr`, no byte of a token or key is anywhere but in the headers of its own requests."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

from tests.driving import FIX, SUBMIT, bash
from tests.forge.ci_job import CI_TOKEN, MODEL_KEY, READ_TOKEN, WRITE_TOKEN, CiJob, ci_job

SPY = (
    "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'; git config --list --show-origin; "
    "cat .git/config; ls -la .git/hooks; cat ~/.netrc ~/.git-credentials 2>&1; "
    "find / -xdev -newer check.py -type f -size -1M 2>/dev/null | head -500 | xargs -r cat 2>/dev/null | head -c 200000"
)


def shapes(secret: str) -> list[bytes]:
    """A secret as it is, and in every alignment of base64, with git's user before it."""
    leads = ("", "x", "xx", "x-access-token:")
    return [secret.encode(), *(base64.b64encode((lead + secret).encode())[8:-8] for lead in leads)]


FORMS = [form for secret in (READ_TOKEN, WRITE_TOKEN, CI_TOKEN, MODEL_KEY) for form in shapes(secret)]


def holding(data: bytes) -> bool:
    return any(form in data for form in FORMS)


def command_lines() -> bytes:
    """The command line of every process of this machine, as whoever lists processes sees them."""
    found: list[bytes] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue  # it has ended
    return b"\0".join(found)


def forge_state(job: CiJob) -> bytes:
    """Everything that the forge keeps, every object of its git and every API body among it."""
    repository = job.repository
    kept = [repr(repository.issues), repr(repository.comments), repr(repository.pulls), repr(repository.labels)]
    kept += [
        json.dumps(asked.body, ensure_ascii=False) for asked in job.forge.requests if asked.path.startswith("/api")
    ]
    kept += [asked.path + "?" + asked.query for asked in job.forge.requests]
    objects = subprocess.run(
        ["git", "cat-file", "--batch", "--batch-all-objects"], cwd=repository.git_dir, check=True, capture_output=True
    )
    return "\n".join(kept).encode() + objects.stdout


def test_pr_when_it_runs_whole_then_no_byte_of_a_secret_is_left_anywhere(tmp_path: Path) -> None:
    with ci_job(tmp_path, (bash(SPY), FIX, bash(SPY), SUBMIT, SUBMIT)) as job:
        seen: list[bytes] = []
        job.forge.on_request = lambda _: seen.append(command_lines())
        job.forge.world.add_token(CI_TOKEN, "alice")
        done = job.run("pr", event=job.labelled(), OSTRO_CI_TOKEN=CI_TOKEN)

        assert done.returncode == 0, done.stdout + done.stderr
        assert job.repository.git("log", "-1", "--format=%s", "ostro/issue-1") == "ci: start the checks"
        assert len(job.repository.pulls) == 1
        answers = json.dumps([asked.body for asked in job.endpoint.requests], ensure_ascii=False).encode()
        assert b"PATH=" in answers  # the spy was heard
        places = {
            "what the model was sent": answers,
            "stdout and stderr": (done.stdout + done.stderr).encode(),
            "what the forge holds": forge_state(job),
            "command lines": b"\0".join(seen),
        }
        assert b"git\0" in places["command lines"] or b"ostro" in places["command lines"]
        assert [name for name, data in places.items() if holding(data)] == []
        files = [path for path in (tmp_path / "job").rglob("*") if path.is_file() and not path.is_symlink()]
        assert any(path.name == "evidence.json" for path in files)
        assert any(path.name == "request.json" for path in files)
        assert [str(path) for path in files if holding(path.read_bytes())] == []
        homes = [Path(os.environ[name]) for name in ("OSTRO_HOME", "TMPDIR") if name in os.environ]
        kept = [path for home in homes for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
        assert [str(path) for path in kept if "ostro" in str(path) and holding(path.read_bytes())] == []
