"""SWE-bench's own conventions: names of its images, and how the tests of its projects are run.

Rows of swebench 5 carry their script; rows of swebench 4 do not, so the commands of the twelve Python projects of
SWE-bench stand here (swebench 4.1, harness/constants/python.py). Paths of tests are those of the test patch.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ostro.benchmarks.instance import Instance, InstanceError

NAMESPACE = "swebench"
"""Account of the Docker Hub that holds the official images."""

WORKDIR = "/testbed"
ACTIVATE = "source /opt/miniconda3/bin/activate && conda activate testbed && cd /testbed"
NOT_TESTS = frozenset(
    {".json", ".png", ".csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml"}
)  # swebench's NON_TEST_EXTS


@dataclass(frozen=True)
class ProjectTests:
    """How a project's tests are run in its official images."""

    command: str
    parser: str


PROJECTS = {
    "astropy/astropy": ProjectTests("pytest -rA -vv -o console_output_style=classic --tb=no", "pytest_v2"),
    "django/django": ProjectTests("./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1", "django"),
    "matplotlib/matplotlib": ProjectTests("pytest -rA", "matplotlib"),
    "mwaskom/seaborn": ProjectTests("pytest --no-header -rA", "seaborn"),
    "pallets/flask": ProjectTests("pytest -rA", "pytest"),
    "psf/requests": ProjectTests("pytest -rA", "pytest_options"),
    "pydata/xarray": ProjectTests("pytest -rA", "pytest"),
    "pylint-dev/pylint": ProjectTests("pytest -rA", "pytest_options"),
    "pytest-dev/pytest": ProjectTests("pytest -rA", "pytest"),
    "scikit-learn/scikit-learn": ProjectTests("pytest -rA", "pytest_v2"),
    "sphinx-doc/sphinx": ProjectTests("tox --current-env -epy39 -v --", "pytest_v2"),
    "sympy/sympy": ProjectTests("PYTHONWARNINGS='ignore::UserWarning,ignore::SyntaxWarning' bin/test -C --verbose",
                                "sympy"),
}  # fmt: skip


def image_name(instance: Instance, namespace: str = NAMESPACE) -> str:
    """Return the image that a row names, else the official one: `swebench/sweb.eval.x86_64.<id>:latest`.

    Image names are lower case and have no `__`, which SWE-bench writes as `_1776_`.
    """
    if instance.image:
        return instance.image
    return f"{namespace}/sweb.eval.x86_64.{instance.instance_id.lower().replace('__', '_1776_')}:latest"


def from_namespace(instance: Instance, namespace: str) -> Instance:
    """Return the row with its official image taken from another registry or account, such as a mirror.

    Rows that name their image, or say how their environment is made, stay as they are.
    """
    if namespace == NAMESPACE or instance.image or instance.setup is not None:
        return instance
    return instance.model_copy(update={"image": image_name(instance, namespace)})


def project_tests(instance: Instance) -> ProjectTests:
    """Return the command and parser of a plain row.

    Raises:
        InstanceError: the project is none of SWE-bench's.
    """
    known = PROJECTS.get(instance.repo)
    if known is None:
        raise InstanceError(
            f"{instance.instance_id}: the row says neither how to test {instance.repo} nor in what environment",
            mend="Add an environment_setup block, or the columns eval_script, image and log_parser.",
        )
    paths = paths_of_tests(instance.test_patch)
    if instance.repo == "django/django":
        paths = [_django_label(path) for path in paths]
    return ProjectTests(f"{known.command} {' '.join(map(shlex.quote, paths))}".rstrip(), known.parser)


def paths_of_tests(test_patch: str) -> Sequence[str]:
    """Return the files of a test patch that are tests, as swebench names them on the command line."""
    paths = re.findall(r"^diff --git a/.* b/(.*)$", test_patch, re.MULTILINE)
    return [path for path in paths if PurePosixPath(path).suffix not in NOT_TESTS]


def _django_label(path: str) -> str:
    return path.removesuffix(".py").removeprefix("tests/").replace("/", ".")
