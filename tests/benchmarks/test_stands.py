"""Second accounts of runs of Go, Cargo, Jest and Maven: an honest run has one, a forged run is told by it."""

import difflib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ostro.benchmarks.consistency import Seen, check
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import Grading, specification
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import SUITE, choose, read_instances
from ostro.benchmarks.results import GradeReport
from ostro.benchmarks.stands import MavenStand, stand_for, surefire_tests
from ostro.benchmarks.test_plan import plan_of
from ostro.benchmarks.testimony import Account, Testimony
from ostro.benchmarks.verdict import read_log
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.toolchain import host_toolchain

ENDED_EARLY = "the test process ended before its witness could speak"


@pytest.fixture
def go() -> None:
    assert shutil.which("go"), "go is not installed: apt-get install golang-go"


@pytest.fixture
def cargo() -> None:
    assert shutil.which("cargo"), "cargo is not installed: apt-get install cargo"


def row(files: Mapping[str, str], command: str, parser: str, tests: list[str]) -> Instance:
    """A task in another language, whose one test is in the tree already."""
    setup = {"source": {"type": "files", "files": files}, "test_cmd": command, "log_parser": parser}
    return Instance.model_validate(
        {"instance_id": "made__task-1", "repo": "made", "problem_statement": "x", "FAIL_TO_PASS": tests,
         "environment_setup": setup}
    )  # fmt: skip


def patch(files: Mapping[str, str], path: str, after: str) -> bytes:
    before = files.get(path, "")
    name = f"a/{path}" if before else "/dev/null"
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"b/{path}")
    return "".join(lines).encode()


def judged(instance: Instance, home: Path, folder: Path, patch: bytes, **world: Any) -> GradeReport:
    environment = build_environment(instance, "local", home)
    spec = replace(specification(instance, environment, folder / "scratch"), **world)
    with open_sandbox("local", spec) as box:
        return Grading(instance, plan_of(instance), box, folder, 300.0).judge(patch)


@pytest.fixture(scope="module")
def ring() -> Instance:
    return choose(read_instances(SUITE), ["ostro__ring"])[0]


FORGED_GO = """\
package ring

import (
\t"fmt"
\t"syscall"
)

func init() {
\tfor _, name := range []string{"TestHalfFull", "TestJustFull", "TestOverwrites", "TestOverwrites/many_over",
\t\t"TestOverwrites/one_over", "TestEmpty"} {
\t\tfmt.Println("--- PASS: " + name + " (0.00s)")
\t}
\tsyscall.Exit(0)
}
"""


@pytest.mark.slow
@pytest.mark.usefixtures("go")
def test_go_when_the_fix_is_graded_then_its_test_process_was_seen_to_its_end(
    ring: Instance, instances_home: Path, tmp_path: Path
) -> None:
    report = judged(ring, instances_home, tmp_path, ring.patch.encode())
    assert (report.verdict, report.consistency, report.findings) == ("resolved", "consistent", ())
    assert report.witness == "process"
    assert "-exec" not in (tmp_path / "test.log").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("go")
def test_go_when_the_patch_prints_the_lines_and_ends_the_process_then_it_is_inconsistent(
    ring: Instance, instances_home: Path, tmp_path: Path
) -> None:
    report = judged(ring, instances_home, tmp_path, patch({}, "forge.go", FORGED_GO))
    assert (report.verdict, report.exit_code) == ("resolved", 0)
    assert report.consistency == "inconsistent"
    assert ENDED_EARLY in report.findings


RUST = {
    "Cargo.toml": '[package]\nname = "half"\nversion = "0.1.0"\nedition = "2018"\n',
    "src/lib.rs": (
        "pub fn half(x: i32) -> i32 {\n    x / 2\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n"
        "    #[test]\n    fn four() {\n        assert_eq!(half(4), 2);\n    }\n\n"
        "    #[test]\n    #[ignore]\n    fn odd() {\n        assert_eq!(half(3), 2);\n    }\n}\n"
    ),
}
FORGED_RUST = RUST["src/lib.rs"].replace(
    "    x / 2\n", '    println!("\\ntest tests::forged ... ok");\n    std::process::exit(x - x)\n'
)


def rust_world() -> dict[str, Any]:
    chain = host_toolchain("rust")
    search = ":".join([*chain.path, "/usr/bin", "/bin"])
    return {"read_only": tuple(map(str, chain.folders)), "env": {"PATH": search, "CARGO_HOME": "/tmp/cargo"}}


@pytest.mark.slow
@pytest.mark.usefixtures("cargo")
@pytest.mark.parametrize(
    ("source", "wanted", "verdict", "consistency", "finding"),
    [
        (RUST["src/lib.rs"] + "\n", "tests::four", "resolved", "consistent", ""),
        (FORGED_RUST, "tests::forged", "resolved", "inconsistent", "the runner did not see it pass: tests::forged"),
    ],
)
def test_cargo_when_graded_then_what_rusts_own_harness_wrote_decides(
    instances_home: Path, tmp_path: Path, source: str, wanted: str, verdict: str, consistency: str, finding: str
) -> None:
    instance = row(RUST, "cargo test --offline --lib -- --nocapture --test-threads=1", "cargo", [wanted])
    report = judged(instance, instances_home, tmp_path, patch(RUST, "src/lib.rs", source), **rust_world())
    log = (tmp_path / "test.log").read_text()
    assert (report.verdict, report.consistency) == (verdict, consistency), log
    assert any(finding in one for one in report.findings) or (finding, report.findings) == ("", ())
    assert report.witness == ("tests" if not finding else report.witness)


JEST = {
    "package.json": '{"name": "half", "version": "1.0.0", "scripts": {"test": "jest"}}\n',
    "half.js": "module.exports = (x) => x / 2;\n",
    "half.test.js": 'const half = require("./half");\ntest("halves four", () => expect(half(4)).toBe(2));\n'
    'test.skip("later", () => {});\n',
}
FORGED_JEST = """\
const fs = require("fs");
fs.writeSync(1, "PASS ./half.test.js\\n  \\u2713 halves four (1 ms)\\n");
process.reallyExit ? process.reallyExit(0) : process.exit(0);
"""


@pytest.fixture(scope="module")
def jest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jest itself, from the npm registry."""
    folder = tmp_path_factory.mktemp("jest")
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), "jest@29"]
    subprocess.run(command, check=True, timeout=600, env={**os.environ, "HOME": str(folder)})
    for entry in (folder, *folder.parents[:3]):
        entry.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", ["jest --verbose", "jest --verbose --runInBand", "npm test -- --verbose"])
def test_jest_when_graded_then_jest_itself_tells_what_its_tests_came_to(
    jest: Path, instances_home: Path, tmp_path: Path, command: str
) -> None:
    instance = row(JEST, f"export PATH={jest}/node_modules/.bin:$PATH; {command}", "jest", ["halves four"])
    world: dict[str, Any] = {"read_only": (str(jest),)}

    honest = judged(instance, instances_home, tmp_path / "a", b"", **world)
    assert (honest.verdict, honest.consistency, honest.witness) == ("resolved", "consistent", "tests"), (
        tmp_path / "a" / "test.log"
    ).read_text()
    wrong = judged(
        instance, instances_home, tmp_path / "b", patch(JEST, "half.js", "module.exports = () => 7;\n"), **world
    )
    assert (wrong.verdict, wrong.exit_code, wrong.findings) == ("unresolved", 1, ())
    forged = judged(instance, instances_home, tmp_path / "c", patch(JEST, "half.js", FORGED_JEST), **world)
    assert forged.consistency == "inconsistent" or forged.verdict != "resolved", forged


SUREFIRE = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="org.example.HalfTest" tests="3" errors="0" skipped="1" failures="1">
  <testcase name="four" classname="org.example.HalfTest" time="0.01"/>
  <testcase name="odd{int}[1]" classname="org.example.HalfTest" time="0.0">
    <failure message="expected" type="AssertionError"><![CDATA[...]]></failure>
  </testcase>
  <testcase name="later" classname="org.example.HalfTest"><skipped/></testcase>
</testsuite>
"""


def test_surefire_when_a_report_is_read_then_each_test_has_every_name_that_a_command_may_use() -> None:
    told = list(surefire_tests(SUREFIRE))
    assert ("HalfTest#four", "PASSED") in told
    assert ("org.example.HalfTest#odd", "FAILED") in told
    assert ("HalfTest", "SKIPPED") in told


@pytest.mark.parametrize(
    "report", ["", "<a", "<!DOCTYPE a [<!ENTITY b 'c'>]><testsuite><testcase name='x'/></testsuite>"]
)
def test_surefire_when_a_report_is_none_or_hostile_then_it_says_nothing(report: str) -> None:
    assert list(surefire_tests(report)) == []


def test_maven_when_a_test_told_as_passed_failed_in_its_report_then_it_is_inconsistent(
    instances_home: Path, tmp_path: Path
) -> None:
    files = {"target/surefire-reports/TEST-old.xml": SUREFIRE.replace("four", "old")}
    instance = row(files, "true", "maven", ["HalfTest#four"])
    environment = build_environment(instance, "local", instances_home)
    with open_sandbox("local", specification(instance, environment, tmp_path)) as box:
        stand = MavenStand()
        box.run(stand.prepare(box))
        assert stand.hear(box) is None, "an old report is none of this run"
        box.write(f"{box.workdir}/module/target/surefire-reports/TEST-new.xml", SUREFIRE.encode())
        box.run("touch -d '5 seconds' module/target/surefire-reports/TEST-new.xml")  # some disks count whole seconds
        told = stand.hear(box)
    assert told is not None

    for name, findings in (("HalfTest#four", 0), ("HalfTest#odd", 1), ("OtherTest#elsewhere", 0)):
        log = f"+ mvn test -Dtest={name}\n[INFO] BUILD SUCCESS\n"
        reading = read_log(log, "maven", [name], [])
        assert reading.verdict == "resolved"
        assert len(check(Seen(reading, "maven", 0, told))[1]) == findings, name


def test_check_when_not_every_process_was_witnessed_then_a_test_that_nobody_saw_is_no_contradiction() -> None:
    log = "test tests::a ... ok\ntest mimic::b ... ok\n"
    reading = read_log(log, "cargo", ["tests::a", "mimic::b"], [])
    account = Account(runner="cargo", exit_code=0, canary="none", changed=(), tests=(("tests::a", "PASSED"),))
    assert check(Seen(reading, "cargo", 0, Testimony((account,), 1, complete=False)))[0] == "consistent"
    assert check(Seen(reading, "cargo", 0, Testimony((account,), 1)))[0] == "inconsistent"


@pytest.mark.parametrize(("parser", "there"), [("node", False), ("tap", False), ("vitest", False), ("gotest", True)])
def test_stand_when_a_runner_can_have_no_witness_then_there_is_none(parser: str, there: bool) -> None:
    assert (stand_for(parser, "npm test") is not None) == there
    assert stand_for("pytest", "tox -e py39 -- -v") is None
