"""The rules of what is no difference: each by an example, and what must stay a difference."""

from __future__ import annotations

import pytest

from ostro.agent.record.volatile import RULES, Rule, normalise

SAME: dict[str, tuple[str, str]] = {
    "date": (
        "2026-11-23T07:24:11.120Z\nDate:   Mon Nov 23 07:24:11 2026 +0100\nSun, 1 Feb 2026 00:00:00 GMT",
        "2025-01-02 17:00:59\nDate:   Tue Dec 1 17:24:11 2025 +0000\nMon, 12 Oct 2020 10:20:30 GMT",
    ),
    "listing_date": ("x Nov 23 07:24 a.py", "x Jan  2  2024 a.py"),
    "listing_folder": (
        "total 12\ndrwxr-xr-x  2 agent agent 4096 Nov 23 07:24 src",
        "total 4.0K\ndrwxr-xr-x. 13 nobody nogroup    60 Jan  2 10:00 src",
    ),
    "listing_file": (
        "-rw-r--r--  1 agent agent   120 Nov 23 07:24 a.py",
        "-rw-r--r-- 1 nobody nogroup 120 Jan  2 10:00 a.py",
    ),
    "clock": ("[07:24:11] done after 0:00:03", "[17:00:00.5] done after 1:10:03.25"),
    "status": ("[exit code 1, 12 s, directory /tmp]", "[exit code 1, directory /tmp]"),
    "duration": (
        "Ran 3 tests in 0.001s; 12 ms; real\t0m0.012s; in 3 seconds",
        "Ran 3 tests in 2.1s; 9 ms; real\t1m10.5s; in 12 s",
    ),
    "time_command": ("real 0.01\nuser 0.00", "real 1.27\nuser 0.90"),
    "epoch": ("1763882651 1763882651123456789 1763882651.25", "1863882651 1763882659123456789 1763882777.5"),
    "address": ("<Foo object at 0x7f12aa90>", "<Foo object at 0x55d0aa12bb34>"),
    "uuid": ("f47ac10b-58cc-4372-a567-0e02b2c3d479", "00000000-58cc-4372-a567-0e02b2c3d479"),
    "pid": ("server pid=4711, PID: 12", "server pid=9, PID: 4242"),
    "job_control": ("[1] 4711", "[1] 99"),
    "killed": ("bash: line 1:   123 Killed   ./a", "bash: line 1: 77 Killed   ./a"),
    "temporary": ("File /tmp/tmpab12cd/x.py, /var/tmp/a.B", "File /tmp/tmpzz99/x.py, /var/tmp/c"),
    "commit": (
        "[main 1a2b3c4] fix\nHEAD is now at 1a2b3c4 fix\n1a2b3c4 fix\ncommit 1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b",
        "[main 99ffee0] fix\nHEAD is now at 99ffee0 fix\n99ffee0 fix\ncommit 99ffee0d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b",
    ),
    "port": ("http://127.0.0.1:43567/x localhost:60000", "http://127.0.0.1:33001/x localhost:33002"),
    "seed": ("Using --randomly-seed=123, seed 9", "Using --randomly-seed=998877, seed 12"),
    "job": (
        "job-1: running; log /logs/1; sleep 1",
        "job-1: ended with exit code 0; log /logs/1; sleep 1",
    ),
    "job_end": ("ok\n[exit code 0]\n[job-12 ended with exit code 3; log /logs/job-12.log]", "ok\n[exit code 0]"),
    "step": ("OSTRO_STEP=61dfa3936e7b9f6b", "OSTRO_STEP=job-1"),
    "caret": ("    f(x)\n    ^^^^\nKeyError", "    f(x)\nKeyError"),
}

DIFFERENT = (
    ("2024-02-29", "2024-03-01"),
    ("assert 3 == 4", "assert 3 == 5"),
    ("-rw-r--r-- 1 a a 120 Nov 23 07:24 a.py", "-rw-r--r-- 1 a a 121 Nov 23 07:24 a.py"),
    ("[exit code 0]", "[exit code 1]"),
    ("[exit code 0, 3 s, 1 process left running and ended]", "[exit code 0, 3 s]"),
    ("index 1a2b3c4..5d6e7f8 100644", "index 1a2b3c4..99ffee0 100644"),
    ("d41d8cd98f00b204e9800998ecf8427e  a.py", "00000cd98f00b204e9800998ecf8427e  a.py"),
    ("flags 0xff", "flags 0xfe"),
    ("port 8080 of localhost:8080", "port 8080 of localhost:8081"),
    ("waited 3 s", "waited 4 s"),
    ("1234567890", "1234567891"),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_when_only_its_part_differs_then_the_texts_are_the_same(rule: Rule) -> None:
    first, second = SAME[rule.name]
    assert first != second
    assert normalise(first) == normalise(second)
    others = [one for one in RULES if one is not rule]
    assert _without(first, others) != _without(second, others), "the rule is needed for its example"


def _without(text: str, rules: list[Rule]) -> str:
    for rule in rules:
        text = rule.pattern.sub(rule.stand_in, text)
    return text


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_normalise_when_something_else_differs_then_it_stays(first: str, second: str) -> None:
    assert normalise(first) != normalise(second)


@pytest.mark.parametrize("text", ["assert 3 == 4", "a = b ^ c", "", "Mayor 12 s of January"])
def test_normalise_when_text_is_stable_then_unchanged(text: str) -> None:
    assert normalise(text) == text
