"""Official images from a real registry (Debian's docker-registry), pulled by the engine: by name, by digest, or not.

The images are small ones of our own under SWE-bench's names: a repository with history in /testbed, and a stand-in for
conda's `activate`.
"""

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.environment_docker import _container, _put
from ostro.benchmarks.grading import grade, specification
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.official import from_namespace, image_name
from ostro.sandbox.docker_connection import knock
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import SandboxError
from tests.benchmarks.test_history import git
from tests.cli.test_grade import ostro

pytestmark = [pytest.mark.slow, pytest.mark.docker]

CODE = "def double(x):\n    return x + x + 1\n"
RUNTESTS = """\
import sys, unittest
sys.path.insert(0, ".")
labels = [word for word in sys.argv[1:] if word.endswith("tests")]
unittest.main(module=None, argv=["runtests", "-v", *("tests." + label for label in labels)])
"""
TESTS = """\
import unittest
from number import double

class TestDouble(unittest.TestCase):
    def test_type(self):
        self.assertIsInstance(double(1), int)
"""
FIX = "--- a/number.py\n+++ b/number.py\n@@ -1,2 +1,2 @@\n def double(x):\n-    return x + x + 1\n+    return x + x\n"
MORE = """\
diff --git a/tests/tests.py b/tests/tests.py
--- a/tests/tests.py
+++ b/tests/tests.py
@@ -4,3 +4,5 @@
 class TestDouble(unittest.TestCase):
     def test_type(self):
         self.assertIsInstance(double(1), int)
+    def test_value(self):
+        self.assertEqual(double(2), 4)
"""
SCRIPT = f"""\
#!/bin/bash
set -uxo pipefail
cd /testbed
git apply -v - <<'EOF_PATCH'
{MORE}EOF_PATCH
: '>>>>> Start Test Output'
python3 -m unittest -v tests.tests
: '>>>>> End Test Output'
git checkout -- tests/tests.py
"""
NAME = "test_{} (tests.tests.TestDouble.test_{})"


@dataclass(frozen=True)
class Registry:
    """A registry on loopback, with one image under the official name of `django__django-1`."""

    host: str
    engine: Engine
    client: Any
    digest: str

    @property
    def namespace(self) -> str:
        return f"{self.host}/swebench"

    @property
    def image(self) -> str:
        return f"{self.namespace}/sweb.eval.x86_64.django_1776_django-1"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, docker_image: str) -> Iterator[Registry]:
    import docker

    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    engine, client = Engine.connect(), docker.from_env()
    try:
        _await(host, process)
        made = _image(folder, engine, docker_image, f"{host}/swebench/sweb.eval.x86_64.django_1776_django-1:latest")
        told = [json.loads(line) for line in client.api.push(made).splitlines()]
        digest = next(step["aux"]["Digest"] for step in told if "aux" in step)
        engine.remove_image(made)
        yield Registry(host, engine, client, digest)
    finally:
        client.close()
        engine.close()
        process.terminate()
        process.wait()


def _await(host: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            knock(f"tcp://{host}")
        except OSError:
            continue
        return
    raise AssertionError("the registry does not start")


def _image(folder: Path, engine: Engine, base: str, name: str) -> str:
    testbed = folder / "testbed"
    (testbed / "tests").mkdir(parents=True)
    for path, text in {"number.py": CODE, "tests/__init__.py": "", "tests/tests.py": TESTS}.items():
        (testbed / path).write_text(text)
    (testbed / "tests" / "runtests.py").write_text(f"#!/usr/bin/env python3\n{RUNTESTS}")
    (testbed / "tests" / "runtests.py").chmod(0o755)
    git(testbed, "init", "-q", "-b", "main")
    git(testbed, "add", ".")
    git(testbed, "commit", "-qm", "base")
    git(testbed, "tag", "v2-of-the-future")
    (folder / "bin").mkdir()
    (folder / "bin" / "activate").write_text("conda() { :; }\n")
    with _container(engine, base, workdir="/", env={}) as container:
        _put(engine, container, testbed, "/testbed")
        _put(engine, container, folder / "bin", "/opt/miniconda3/bin")
        engine.commit(container, name)
    return name


@pytest.fixture
def home(tmp_path: Path, registry: Registry) -> Iterator[Path]:
    """A home whose images are removed again, the pulled ones too."""
    yield tmp_path / "home"
    for made in (tmp_path / "home" / "instances" / "docker").glob("*"):
        registry.engine.remove_image(f"ostro/instance:{made.name}")
    for kept in registry.engine.images(registry.host):
        registry.engine.remove_image(kept.name)


def row(**columns: Any) -> Instance:
    plain = {
        "instance_id": "django__django-1",
        "repo": "django/django",
        "version": "4.2",
        "problem_statement": "double() is off by one.",
        "patch": FIX,
        "test_patch": MORE,
        "FAIL_TO_PASS": [NAME.format("value", "value")],
        "PASS_TO_PASS": json.dumps([NAME.format("type", "type")]),
    }
    return Instance.model_validate(plain | columns)


def judged(instance: Instance, home: Path, folder: Path) -> tuple[str, str]:
    """Grade doing nothing and the fix; return both verdicts."""
    environment = build_environment(instance, "docker", home)
    nothing = grade(instance, environment, b"", folder / "base")
    gold = grade(instance, environment, instance.patch.encode(), folder / "gold")
    assert gold.findings == ()
    return nothing.verdict, gold.verdict


def test_image_when_a_plain_row_has_none_then_the_official_one_is_pulled_from_the_namespace_and_graded_in(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    instance = from_namespace(row(), registry.namespace)
    assert image_name(instance) == f"{registry.image}:latest"
    assert judged(instance, home, tmp_path) == ("unresolved", "resolved")

    environment = build_environment(instance, "docker", home)
    assert environment.digest.startswith("sha256:")
    with open_sandbox("docker", specification(instance, environment, tmp_path / "look")) as box:
        assert box.run("git tag; git rev-list --all --count; ls").output.text().split() == ["1", "number.py", "tests"]


def test_image_when_a_row_of_swebench_5_names_it_by_digest_then_it_is_pulled_and_graded_in(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    columns = {"image": f"{registry.image}@{registry.digest}", "eval_script": SCRIPT, "log_parser": "parse_log_django"}
    assert judged(row(**columns), home, tmp_path) == ("unresolved", "resolved")


def test_image_when_the_disk_is_full_then_what_the_run_pulled_goes_and_comes_back(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    instance, site = from_namespace(row(), registry.namespace), BuildSite(record=tmp_path / "images.json")
    environment = build_environment(instance, "docker", home, site=site)
    assert BuildSite(record=tmp_path / "images.json").free_one(registry.engine)
    assert registry.engine.image(environment.image) is None
    assert registry.engine.image(image_name(instance)) is None
    assert build_environment(instance, "docker", home, site=site) == environment
    assert registry.engine.image(environment.image) is not None


@pytest.mark.parametrize("kind", ["missing", "other digest", "registry down"])
def test_image_when_it_cannot_be_pulled_then_one_line_says_why_and_it_counts_as_infrastructure(
    registry: Registry, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    image, why = {
        "missing": (f"{registry.namespace}/nothing:1", "not found"),
        "other digest": (f"{registry.image}@sha256:{'0' * 64}", "not found"),
        "registry down": ("127.0.0.1:1/swebench/x:latest", "connection refused"),
    }[kind]
    instance = row(image=image, eval_script=SCRIPT, log_parser="parse_log_django")
    with pytest.raises(SandboxError, match=why) as caught:
        build_environment(instance, "docker", home)
    assert caught.value.kind == "image"
    assert image in str(caught.value)
    assert "\n" not in str(caught.value)

    (tmp_path / "rows.jsonl").write_text(instance.model_dump_json(by_alias=True) + "\n")
    flags = ["--tasks", str(tmp_path / "rows.jsonl"), "--predictions", "gold", "--sandbox", "docker"]
    assert ostro("grade", *flags, "--output", "json") == 5
    told = capsys.readouterr()
    assert json.loads(told.out)["endings"] == {"infra": 1}
    assert told.err.count("\n") == 1
    assert image in told.err
