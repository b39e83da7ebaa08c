"""Grading for real: patches that fit roughly, that do not, that time out; programs that are missing; script rows."""

from pathlib import Path

import pytest

from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import NotRunnableError, grade
from ostro.benchmarks.instance import EnvironmentSetup, FilesSource, Instance
from ostro.benchmarks.recipe import Environment
from ostro.benchmarks.test_plan import END, START, plan_of

CODE = "".join(f"# line {number}\n" for number in range(12)) + "def double(x):\n    return x + x + 1\n"
FIX = """\
diff --git a/code.py b/code.py
--- a/code.py
+++ b/code.py
@@ -10,5 +10,5 @@
 # line 9
 # line 10
 # line 11
 def double(x):
-    return x + x + 1
+    return x + x
"""
TESTS = """\
diff --git a/test_code.py b/test_code.py
new file mode 100644
--- /dev/null
+++ b/test_code.py
@@ -0,0 +1,7 @@
+import unittest
+from code_under import double
+
+
+class TestDouble(unittest.TestCase):
+    def test_double(self):
+        self.assertEqual(double(2), 4)
""".replace("code_under", "code")
NAME = "test_double (test_code.TestDouble.test_double)"


def row(**changes: object) -> Instance:
    setup = {
        "source": FilesSource.model_validate({"type": "files", "files": changes.pop("files", {"code.py": CODE})}),
        "test_cmd": "python3 -m unittest -v",
        "log_parser": "unittest",
    }
    own = {key: changes.pop(key) for key in ("test_cmd", "needs") if key in changes}
    plain = {"patch": FIX, "test_patch": TESTS, "FAIL_TO_PASS": (NAME,)}
    return Instance.model_validate(
        {
            "instance_id": "small__grading",
            "repo": "small",
            "problem_statement": "double() adds one",
            **plain,
            **changes,
            "environment_setup": EnvironmentSetup.model_validate(setup | own),
        }
    )


@pytest.fixture(scope="module")
def environment(instances_home: Path) -> Environment:
    return build_environment(row(), "local", instances_home)


def test_grade_when_the_context_is_a_little_off_then_the_strategy_and_the_fuzz_are_told(
    environment: Environment, tmp_path: Path
) -> None:
    rough = FIX.replace("# line 9", "# line nine")
    report = grade(row(), environment, rough.encode(), tmp_path)
    assert (report.verdict, report.consistency) == ("resolved", "consistent")
    assert report.applied_by == "patch"
    assert "with fuzz" in report.findings[0]


def test_grade_when_the_patch_fits_then_git_applied_it_and_the_log_is_kept(
    environment: Environment, tmp_path: Path
) -> None:
    report = grade(row(), environment, FIX.encode(), tmp_path)
    assert (report.verdict, report.applied_by, report.restored) == ("resolved", "git apply", ())
    assert f"{NAME} ... ok" in (tmp_path / report.log).read_text()


def test_grade_when_a_module_shadows_pythons_own_but_is_the_projects_then_it_is_not_restored(
    environment: Environment, tmp_path: Path
) -> None:
    """`code` is a module of Python too; this project's own `code.py` may be changed."""
    assert grade(row(), environment, FIX.encode(), tmp_path).restored == ()


def test_grade_when_the_tests_hang_then_it_is_a_time_out(environment: Environment, tmp_path: Path) -> None:
    slow = FIX.replace("+    return x + x", "+    while True: pass")
    report = grade(row(), environment, slow.encode(), tmp_path, timeout_s=5)
    assert report.verdict == "test_timeout"
    assert report.fail_to_pass.failure == (NAME,)


def test_grade_when_a_program_is_missing_then_the_instance_is_not_runnable(
    environment: Environment, tmp_path: Path
) -> None:
    with pytest.raises(NotRunnableError, match="not runnable here: the sandbox has no ostro-absent"):
        grade(row(needs=("ostro-absent",)), environment, FIX.encode(), tmp_path)


@pytest.mark.parametrize("path", [".git/hooks/pre-commit", "../outside.py"])
def test_grade_when_the_patch_reaches_outside_then_it_is_refused(
    environment: Environment, tmp_path: Path, path: str
) -> None:
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    report = grade(row(), environment, patch.encode(), tmp_path)
    assert report.verdict == "patch_failed"
    assert path in report.findings[0]


HELPED = {
    "code.py": CODE,
    "tests/__init__.py": "",
    "tests/checks.py": "def same(one, other):\n    assert one == other\n",
}
HELPED_TESTS = """\
diff --git a/tests/test_code.py b/tests/test_code.py
new file mode 100644
--- /dev/null
+++ b/tests/test_code.py
@@ -0,0 +1,8 @@
+import unittest
+from code import double
+from tests.checks import same
+
+
+class TestDouble(unittest.TestCase):
+    def test_double(self):
+        same(double(2), 4)
"""
LENIENT = """\
diff --git a/tests/checks.py b/tests/checks.py
--- a/tests/checks.py
+++ b/tests/checks.py
@@ -1,2 +1,2 @@
 def same(one, other):
-    assert one == other
+    assert one
"""


@pytest.mark.parametrize(("fix", "expected"), [("", ("unresolved", "suspect")), (FIX, ("resolved", "suspect"))])
def test_grade_when_a_helper_of_the_tests_is_changed_then_it_is_put_back_and_told(
    instances_home: Path, tmp_path: Path, fix: str, expected: tuple[str, str]
) -> None:
    name = "test_double (tests.test_code.TestDouble.test_double)"
    instance = row(instance_id="small__helped", test_patch=HELPED_TESTS, FAIL_TO_PASS=(name,), files=HELPED)
    made = build_environment(instance, "local", instances_home)
    report = grade(instance, made, (fix + LENIENT).encode(), tmp_path)
    assert (report.verdict, report.consistency) == expected
    assert report.restored == ("tests/checks.py",)


def test_grade_when_a_removed_line_looks_like_a_name_outside_then_the_patch_is_taken(
    environment: Environment, tmp_path: Path
) -> None:
    notes = "diff --git a/q.sql b/q.sql\nnew file mode 100644\n--- /dev/null\n+++ b/q.sql\n@@ -0,0 +1 @@\n+++ ../a\n"
    report = grade(row(), environment, (FIX + notes).encode(), tmp_path)
    assert (report.verdict, report.consistency, report.findings) == ("resolved", "consistent", ())


def test_grade_when_patch_would_write_into_gits_folder_unseen_then_it_is_refused(
    environment: Environment, tmp_path: Path
) -> None:
    hidden = "--- /dev/null\n+++ b/.git/info/attributes\n@@ -0,0 +1 @@\n+* text\n"
    patch = "".join(f"  {line}" for line in hidden.splitlines(True))
    report = grade(row(), environment, patch.encode(), tmp_path)
    assert report.verdict == "patch_failed"
    assert ".git/info/attributes" in report.findings[0]


SCRIPT = f"""\
#!/bin/bash
set -uxo pipefail
git apply -v - <<'EOF'
{TESTS}
EOF
: '{START}'
python3 -m unittest -v
: '{END}'
git checkout -q HEAD
"""


@pytest.mark.parametrize(
    ("patch", "verdict", "consistency"),
    [
        (FIX, "resolved", "consistent"),
        ("", "unresolved", "consistent"),
        (
            FIX.replace(
                "+    return x + x",
                f'+    print("{NAME} ... ok\\n{END}\\n>>>>> Test Exit Code: 0", flush=True)\n+    return 0',
            ).replace("+10,5", "+10,6"),
            "unresolved",
            "suspect",
        ),
    ],
    ids=["gold", "null", "forged"],
)
def test_grade_when_the_row_brings_a_script_then_only_its_own_markers_count(
    environment: Environment, tmp_path: Path, patch: str, verdict: str, consistency: str
) -> None:
    instance = row(eval_script=SCRIPT, log_parser="parse_log_django").model_copy(update={"setup": None})
    report = grade(instance, environment, patch.encode(), tmp_path)
    assert (report.verdict, report.consistency) == (verdict, consistency)


def test_plan_when_made_twice_then_the_markers_differ() -> None:
    instance = row(eval_script=SCRIPT, log_parser="django").model_copy(update={"setup": None})
    one, two = plan_of(instance), plan_of(instance)
    assert one.nonce != two.nonce
    assert one.command == "python3 -m unittest -v"
    assert one.output_of(f"{START}\nx\n{END}\n", 0) == ("", None)
