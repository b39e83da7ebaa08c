"""The main job on small repositories made here: issue in, tested patch on a branch out, a scripted policy between."""

import json
import subprocess
from pathlib import Path

import pytest

from ostro.benchmarks.drive_instances import Driven, drive, main, table
from ostro.benchmarks.instance import EnvironmentSetup, FilesSource, Instance

DATA = Path(__file__).parent / "data" / "small.jsonl"


def generated(folder: Path) -> Instance:
    """Make a repository of two modules whose fix touches both, and derive its row with git."""
    before = {
        ".gitignore": "__pycache__/\n",
        "shop/__init__.py": "",
        "shop/price.py": "def gross(net):\n    return net * 1.19\n\n\ndef net(gross):\n    return gross / 1.19\n",
        "shop/bill.py": "from shop.price import gross\n\n\ndef total(items):\n    return sum(map(gross, items[1:]))\n",
        "tests/__init__.py": "",
        "tests/test_price.py": (
            "import unittest\n\nfrom shop.price import net\n\n\nclass TestPrice(unittest.TestCase):\n"
            "    def test_net(self):\n        self.assertAlmostEqual(net(119), 100)\n"
        ),
    }
    after = before | {
        "shop/price.py": before["shop/price.py"].replace("net * 1.19", "round(net * 1.19, 2)"),
        "shop/bill.py": before["shop/bill.py"].replace("items[1:]", "items"),
    }
    tests = {
        "tests/test_price.py": before["tests/test_price.py"].replace("import net", "import gross, net")
        + "\n    def test_cents(self):\n        self.assertEqual(gross(0.333), 0.4)\n",
        "tests/test_bill.py": (
            "import unittest\n\nfrom shop.bill import total\n\n\nclass TestBill(unittest.TestCase):\n"
            "    def test_total(self):\n        self.assertAlmostEqual(total([1, 2]), 3.57)\n"
        ),
    }
    return Instance(
        instance_id="generated__shop",
        repo="generated",
        problem_statement="total() forgets the first item, and gross() does not round to cents.",
        patch=diff(folder / "fix", before, after),
        test_patch=diff(folder / "tests", before, before | tests),
        FAIL_TO_PASS=(
            "test_cents (tests.test_price.TestPrice.test_cents)",
            "test_total (tests.test_bill.TestBill.test_total)",
        ),
        PASS_TO_PASS=("test_net (tests.test_price.TestPrice.test_net)",),
        environment_setup=EnvironmentSetup(
            source=FilesSource(type="files", files=before),
            test_cmd="python3 -m unittest -v",
            log_parser="unittest",
        ),
    )


def diff(folder: Path, before: dict[str, str], after: dict[str, str]) -> str:
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    for tree in (before, after):
        for name, text in tree.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        if tree is before:
            subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-AN"], cwd=folder, check=True)
    return subprocess.run(["git", "diff"], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_drive_when_the_fix_touches_two_files_then_the_branch_makes_the_tests_pass(
    instances_home: Path, tmp_path: Path
) -> None:
    driven = drive(generated(tmp_path), "local", instances_home, keep=tmp_path / "run")
    assert driven.problem == ""
    assert driven.resolved
    assert driven.reproduced
    assert driven.verified
    assert driven.isolation in {"bubblewrap", "unshare"}
    assert driven.failed_calls == ()
    issue = (tmp_path / "run" / "issue.md").read_text()
    assert issue.startswith("total() forgets")
    repository = tmp_path / "run" / "repository"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, check=True)
    assert status.stdout == b""


@pytest.mark.docker
def test_drive_when_the_sandbox_is_docker_then_the_branch_makes_the_tests_pass(
    instances_home: Path, tmp_path: Path, docker_image: str
) -> None:
    driven = drive(generated(tmp_path), "docker", instances_home, base_image=docker_image)
    assert driven.problem == ""
    assert driven.resolved
    assert driven.isolation == "docker"


def test_script_when_rows_of_a_file_are_driven_then_table_json_and_exit_code_say_so(
    instances_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    arguments = [str(DATA), "--sandbox", "local", "--only", "leap", "--home", str(instances_home), "--out", str(out)]
    assert main(arguments) == 0
    assert "1 of 1 as they should be" in capsys.readouterr().out
    (result,) = json.loads(out.read_text())
    assert result["instance_id"] == "smallbugs__leap"
    assert result["resolved"]
    assert result["failed_tests"] == []


def test_drive_when_the_gold_patch_is_wrong_then_the_run_is_told_to_have_failed(
    small_instance: Instance, instances_home: Path
) -> None:
    wrong = small_instance.patch.replace("year % 400 == 0", "year % 300 == 0")
    driven = drive(small_instance.model_copy(update={"patch": wrong}), "local", instances_home)
    assert not driven.resolved
    assert driven.failed_tests
    assert driven.problem == "the branch does not make the tests pass"


def test_script_when_the_rows_are_missing_then_it_ends_with_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "absent.jsonl")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_script_when_nothing_matches_then_it_does_not_pretend_success(tmp_path: Path) -> None:
    assert main([str(DATA), "--only", "nothing like it", "--home", str(tmp_path)]) == 1


def test_table_when_one_failed_then_its_problem_is_shown() -> None:
    good = Driven(instance_id="a", sandbox="local", outcome="submitted", resolved=True, reproduced=True)
    bad = Driven(instance_id="b", sandbox="local", problem="it broke")
    lines = table([good, bad]).splitlines()
    assert lines[2].endswith("it broke")
    assert lines[-1] == "1 of 2 as they should be"
