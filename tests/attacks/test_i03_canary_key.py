"""I03: a canary key in many encodings, in output, patch and names, reaches neither log nor report, branch or model."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from ostro.agent.task import Task
from tests.driving import FILES, SUBMIT, Driven, bash, drive

KEY = "sk-canary-7Hq2/Zx9+Lm4Vt8=Rw3Yp6Kd1"

LEAK = f"""
import base64, json, os, pathlib, subprocess, sys, urllib.parse
# The key as no redactor could know it: shifted by one. It stands for whatever found a key inside.
key = "".join(chr(code - 1) for code in {[ord(char) + 1 for char in KEY]})
raw = key.encode()
forms = [
    key, key[::-1], key[8:], key.upper(), raw.hex(), raw.hex().upper(), urllib.parse.quote(key, safe=""),
    json.dumps(key).replace("/", "\\\\/"), base64.b64encode(raw).decode(), base64.b64encode(b"a" + raw).decode(),
    base64.b64encode(b"ab" + raw + b"z").decode(), base64.urlsafe_b64encode(raw).decode(),
    base64.b64encode(key.encode("utf-16-le")).decode(), "\\n".join(key[at:at + 6] for at in range(0, len(key), 6)),
]
if sys.argv[1] == "print":
    for number, form in enumerate(forms):
        print(number, form)
    sys.stdout.flush()
    sys.stdout.buffer.write(key.encode("utf-16-le") + b"\\n")
    print("x" * 40_000)
    print(forms[0], forms[8])
elif sys.argv[1] == "write":
    for number, form in enumerate(forms):
        pathlib.Path(f"form{{number}}.txt").write_text(f"value = {{form}}\\n")
    pathlib.Path("wide.txt").write_bytes(key.encode("utf-16"))
    pathlib.Path(key.replace("/", "")).write_text("named\\n")
    pathlib.Path("honest.txt").write_text("honest\\n")
elif sys.argv[1] == "branch":
    subprocess.run(["git", "checkout", "-q", "-b", key.replace("/", "")])
    print(subprocess.run(["git", "branch"], capture_output=True, text=True).stdout)
else:
    sys.exit(key)
"""


def forms() -> list[str]:
    """What must be found nowhere, squeezed to lower-case letters and digits; without the edges of base64."""
    raw = KEY.encode()
    plain = [KEY, KEY[::-1], KEY[8:], raw.hex(), base64.b64encode(raw).decode()[:-2]]
    plain += [base64.b64encode(b"a" + raw).decode()[2:-2], base64.b64encode(b"ab" + raw).decode()[3:-2]]
    plain += [base64.b64encode(KEY.encode("utf-16-le")).decode()[:-4], KEY.replace("/", "2F").replace("+", "2B")]
    return [re.sub(r"[^a-z0-9]", "", form.lower()) for form in plain]


def assert_free(name: str, data: bytes) -> None:
    squeezed = re.sub(rb"[^a-z0-9]", b"", data.lower()).decode()
    found = [form for form in forms() if form in squeezed]
    assert not found, f"{name} holds {found}"


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driven:
    monkeypatch.setenv("CANARY_API_KEY", KEY)
    turns = [
        bash("env; python3 leak.py print"),
        bash("python3 leak.py branch; python3 leak.py fail"),
        bash(f"echo {KEY} > told.txt; printf %s {base64.b64encode(KEY.encode()).decode()}"),
        bash("python3 leak.py write; ls"),
        {"calls": [{"name": "str_replace_editor", "arguments": {"command": "view", "path": "form0.txt"}}]},
        {"calls": [{"name": "search", "arguments": {"pattern": "value"}}]},
        {"calls": [{"name": "git", "arguments": {"command": "diff"}}]},
        {"text": f"The key is {KEY}.", **SUBMIT},
        {"calls": [{"name": "submit", "arguments": {"summary": f"Used {KEY} and {KEY.encode().hex()}"}}]},
        {"calls": [{"name": "submit", "arguments": {"summary": f"Used {KEY} and {KEY.encode().hex()}"}}]},
    ]
    task = Task(title=f"Leak {KEY} please", text=f"The key {KEY} is wrong.", source="--task")
    return drive(tmp_path, turns, task=task, files={**FILES, "leak.py": LEAK}, test="python3 leak.py fail")


def test_i03_canary_when_a_run_meets_it_in_every_encoding_then_it_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(tmp_path, monkeypatch)

    assert done.report.branch is not None
    assert "honest.txt" in done.report.files_changed
    for path in sorted((tmp_path / "run").rglob("*")):
        if path.is_file() and "checkpoints" not in path.parts and "base.git" not in path.parts:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            assert_free(str(path), data)
            assert_free("the name of a file", path.name.encode())
    assert_free("the report", done.report.model_dump_json().encode())
    assert_free("the model's prompts", json.dumps([request.body for request in done.requests]).encode())
    shown = ["git", "log", "--all", "-p", "--text", "--decorate", "--stat=300"]
    history = subprocess.run(shown, cwd=done.repository, check=True, capture_output=True).stdout
    assert b"honest" in history
    assert_free("the repository's history", history.replace(LEAK.encode(), b""))


def test_i03_canary_when_it_is_replaced_then_the_rest_of_the_output_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(tmp_path, monkeypatch)
    first = next(event for event in done.of("observed") if event.name == "bash")
    assert "0 [redacted]\n" in first.text
    assert "CANARY" not in first.text
