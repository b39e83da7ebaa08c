"""What the review reads out of a patch: changed, new and test files, and a form that a model can read."""

from __future__ import annotations

import pytest

from ostro.tools.submit import changed_files, is_test_file, new_files, readable

PATCH = b"""diff --git a/src/a.py b/src/a.py
index 1111111111111111111111111111111111111111..2222222222222222222222222222222222222222 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1 +1 @@
-x
+y
diff --git a/logo.png b/logo.png
new file mode 100644
index 0000000000000000000000000000000000000000..3333333333333333333333333333333333333333
GIT binary patch
literal 9
QcmZ?wbhEHbWMp7uXuto7

literal 0
HcmV?d00001

diff --git a/tests/test_a.py b/tests/test_a.py
deleted file mode 100644
index 4444444444444444444444444444444444444444..0000000000000000000000000000000000000000
--- a/tests/test_a.py
+++ /dev/null
@@ -1 +0,0 @@
-z
"""


def test_patch_when_read_then_names_changed_and_new_files() -> None:
    assert changed_files(PATCH) == ["src/a.py", "logo.png", "tests/test_a.py"]
    assert new_files(PATCH) == ["logo.png"]


def test_patch_when_made_readable_then_loses_index_lines_and_binary_data() -> None:
    text = readable(PATCH)
    assert "index " not in text
    assert "QcmZ" not in text
    assert "HcmV" not in text
    assert "(binary content)\ndiff --git a/tests/test_a.py" in text
    assert "+y" in text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/test_a.py", True),
        ("test_a.py", True),
        ("pkg/a_test.go", True),
        ("src/a.test.ts", True),
        ("spec/a_spec.rb", True),
        ("src/__tests__/a.js", True),
        ("src/contest.py", False),
        ("src/testing_tools.py", False),
        ("latest/a.py", False),
        ("src/attest.go", False),
    ],
)
def test_test_file_when_path_follows_a_habit_then_is_recognised(path: str, expected: bool) -> None:
    assert is_test_file(path) is expected
