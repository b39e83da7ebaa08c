"""Ask the `swebench` package for its verdict on logs: a program for a Python of its own, which has that package.

Reads one JSON object a line (instance_id, parser, eval_type, FAIL_TO_PASS, PASS_TO_PASS, log) and writes one a line
(instance_id, resolved, applied, tests_status). Only the grading part of swebench is imported, for its package as a
whole imports half a gigabyte (datasets, modal): a bare package stands in for `swebench.harness`.

    python -m venv oracle && oracle/bin/pip install --no-deps swebench==5.0.2 unidiff
"""

import importlib
import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any


def load_grading() -> "tuple[Any, Any]":
    """Import swebench's grading and its type of a test specification, and nothing besides."""
    found = importlib.util.find_spec("swebench")
    if found is None or not found.submodule_search_locations:
        sys.exit("this Python has no swebench: pip install --no-deps swebench==5.0.2 unidiff")
    harness = types.ModuleType("swebench.harness")
    harness.__path__ = [str(Path(next(iter(found.submodule_search_locations)), "harness"))]
    sys.modules["swebench.harness"] = harness
    grading = importlib.import_module("swebench.harness.grading")
    return grading, importlib.import_module("swebench.types").TestSpec


def judge(grading: Any, specification: Any, case: "dict[str, Any]", path: Path) -> "dict[str, Any]":
    """Return swebench's report on one log."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(case["log"])
    name = case["instance_id"]
    spec = specification(
        instance_id=name,
        image="",
        eval_script_list=[],
        repo="",
        version="",
        FAIL_TO_PASS=case["FAIL_TO_PASS"],
        PASS_TO_PASS=case["PASS_TO_PASS"],
        log_parser=case["parser"],
        eval_type=case["eval_type"],
    )
    prediction = {"instance_id": name, "model_name_or_path": "", "model_patch": "x"}
    report = grading.get_eval_report(spec, prediction, str(path), True)[name]
    applied = report["patch_successfully_applied"]
    return {
        "instance_id": name,
        "resolved": report["resolved"],
        "applied": applied,
        "status": grading.get_resolution_status(report["tests_status"]) if applied else "RESOLVED_NO",
        "tests_status": report.get("tests_status"),
    }


def main() -> None:
    """Judge what stdin holds; parsers may print remarks, which go to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    grading, specification = load_grading()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        for line in sys.stdin:
            answers.write(json.dumps(judge(grading, specification, json.loads(line), path)) + "\n")


if __name__ == "__main__":
    main()
