"""Environments for real: an index of this host, the egress proxy, set-up in a sandbox, a fresh sandbox from it."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ostro.sandbox.base_files import BaseFiles, read_base
from ostro.sandbox.detect import Tree
from ostro.sandbox.docker import DockerSandbox
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.egress_exchange import EgressRecord
from ostro.sandbox.environment import (
    Backend,
    Environment,
    environment_key,
    exclude_from_patches,
    prepare_environment,
)
from ostro.sandbox.environment_store import (
    EnvironmentRecord,
    EnvironmentStore,
    delete_environment,
    delete_unfinished,
    list_environments,
)
from ostro.sandbox.host_git import Base
from ostro.sandbox.local import open_local
from ostro.sandbox.protocol import Sandbox, SandboxError, SandboxSpec
from ostro.sandbox.registries import HostRegistries, host_registries
from ostro.sandbox.setup_phase import make_venv
from tests.driving import make_base

BACKENDS = [pytest.param("local"), pytest.param("docker", marks=pytest.mark.docker)]

LEFTOVERS = (
    "python -m pip install tiny",
    "mkdir -p node_modules && echo built > node_modules/a && echo generated > 'odd [name].txt'",
)


def wheel(folder: Path, name: str) -> None:
    """A real wheel with one module, as an installer wants it (PEP 427)."""
    folder.mkdir(parents=True)
    info = f"{name}-1.0.dist-info"
    content = {
        f"{name}.py": f"NAME = {name!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: hashlib.sha256(text.encode()).digest() for path, text in content.items()}
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(content[path])}"
        for path, digest in digests.items()
    ]
    content[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        pass


@contextmanager
def served(folder: Path) -> Generator[int]:
    def handler(*args: object) -> QuietHandler:
        return QuietHandler(*args, directory=str(folder))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Generator[HostRegistries]:
    """The settings of a host whose own index is on its loopback."""
    root = tmp_path_factory.mktemp("index")
    wheel(root / "simple" / "tiny", "tiny")
    with served(root) as port:
        yield host_registries({"PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple/", "XDG_CONFIG_DIRS": str(root)}, root)


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    """An OSTRO_HOME whose environments, images included, are gone afterwards."""
    folder = tmp_path / "ostro"
    yield folder
    for record in list_environments(folder):
        delete_environment(folder, record.key)


def fresh(backend: str, environment: Environment, base: Base, folder: Path) -> Sandbox:
    """A sandbox of a run: from the environment, without a network."""
    spec = environment.specify(
        SandboxSpec(run_id="fresh", state_dir=folder, base_git=base.git_dir, base_commit=base.commit)
    )
    sandbox = open_local(spec) if backend == "local" else DockerSandbox(spec, Engine.connect()).open()
    environment.furnish(sandbox)
    return sandbox


def said(sandbox: Sandbox, command: str) -> str:
    return sandbox.run(command, timeout_s=60).output.text().strip()


@pytest.mark.parametrize("backend", BACKENDS)
def test_environment_when_set_up_then_a_fresh_sandbox_has_it_and_no_patch_does(
    backend: Backend, home: Path, tmp_path: Path, registries: HostRegistries, request: pytest.FixtureRequest
) -> None:
    image = request.getfixturevalue("docker_image") if backend == "docker" else None
    base = make_base(tmp_path, {"app.py": "import tiny\n", ".gitignore": "node_modules/\n", "setup.cfg": ""})
    records: list[EgressRecord] = []
    told: list[str] = []

    def prepare() -> Environment:
        return prepare_environment(
            base, backend=backend, home=home, image=image, setup=LEFTOVERS, registries=registries,
            progress=told.append, on_request=records.append,
        )  # fmt: skip

    environment = prepare()
    assert not environment.reused
    assert environment.setup_ran[1:] == LEFTOVERS
    assert environment.notes == ()
    assert {record.verdict for record in records} == {"allowed"}
    assert records[0].reason == "this host's PIP_INDEX_URL"
    with fresh(backend, environment, base, tmp_path / "sandbox") as sandbox:
        assert (
            said(sandbox, "command -v python && python -c 'import app; print(app.tiny.NAME)'")
            == "/opt/env/bin/python\ntiny"
        )
        assert said(sandbox, "cat node_modules/a 'odd [name].txt'") == "built\ngenerated"
        assert "Read-only file system" in said(sandbox, "touch /opt/env/x")
        assert "refused" in said(sandbox, "python -c \"import socket; socket.create_connection(('127.0.0.1', 3128))\"")
        assert said(sandbox, "env | grep -ic proxy") == "0"
        assert sandbox.patch() == b""
        sandbox.write("app.py", b"import tiny  # changed\n")
        assert sandbox.patch().count(b"diff --git") == 1
    before = len(records)
    again = prepare()
    assert again.reused
    assert replace(again, reused=False) == environment
    assert len(records) == before


def test_environment_when_deleted_then_not_listed_and_made_again(
    home: Path, tmp_path: Path, registries: HostRegistries
) -> None:
    base = make_base(tmp_path, {"README": ""})

    def prepare() -> Environment:
        setup = ("head -c 100000 /dev/urandom > /opt/env/x",)
        return prepare_environment(base, backend="local", home=home, setup=setup, registries=registries)

    environment = prepare()
    (stored,) = list_environments(home)
    assert stored.key == environment.key
    assert stored.size_bytes >= 100_000
    assert delete_environment(home, stored.key) == stored.size_bytes
    assert list_environments(home) == ()
    assert not prepare().reused


@pytest.mark.docker
def test_environment_when_the_containers_network_cannot_be_joined_then_through_the_tunnel(
    home: Path, tmp_path: Path, registries: HostRegistries, docker_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # not root: another user's container cannot be entered
    base = make_base(tmp_path, {"app.py": "", "setup.cfg": ""})
    environment = prepare_environment(
        base, backend="docker", home=home, image=docker_image, setup=LEFTOVERS[:1], registries=registries
    )
    with fresh("docker", environment, base, tmp_path / "sandbox") as sandbox:
        assert said(sandbox, "python -c 'import tiny; print(tiny.NAME)'") == "tiny"


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_environment_when_the_project_is_an_ordinary_one_then_its_tests_run_offline(
    backend: Backend, home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    image = request.getfixturevalue("docker_image") if backend == "docker" else None
    project = (
        '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "shop"\nversion = "1"\ndependencies = ["iniconfig"]\n'
        '[project.optional-dependencies]\ntest = ["pytest"]\n'
    )
    test = "import shop\n\ndef test_shop():\n    assert shop.iniconfig\n"
    base = make_base(
        tmp_path, {"pyproject.toml": project, "shop/__init__.py": "import iniconfig\n", "tests/test_shop.py": test}
    )
    environment = prepare_environment(base, backend=backend, home=home, image=image)
    assert environment.key, environment.notes
    with fresh(backend, environment, base, tmp_path / "sandbox") as sandbox:
        assert "1 passed" in said(sandbox, "python -m pytest -q")
        assert sandbox.patch() == b""


def test_setup_when_a_configured_command_fails_then_error_with_last_lines_and_refused_hosts(
    home: Path, tmp_path: Path, registries: HostRegistries
) -> None:
    base = make_base(tmp_path, {"README": ""})
    fetch = "python3 -c \"import urllib.request as u; u.urlopen('https://evil.example/')\" || { echo over; exit 3; }"
    with pytest.raises(SandboxError) as caught:
        prepare_environment(base, backend="local", home=home, setup=(fetch,), registries=registries)
    assert caught.value.kind == "setup"
    assert "ended with 3. The egress proxy refused evil.example:443." in str(caught.value)
    assert str(caught.value).endswith("over")
    assert caught.value.mend
    assert list_environments(home) == ()


def test_setup_when_a_detected_command_fails_then_the_bare_environment_with_a_note(
    home: Path, tmp_path: Path, registries: HostRegistries
) -> None:
    base = make_base(tmp_path, {"requirements.txt": "no-such-package-here\n", "a.py": ""})
    environment = prepare_environment(base, backend="local", home=home, registries=registries)
    assert environment.key == ""
    assert environment.setup_ran == ()
    assert "pip install -r requirements.txt" in environment.notes[0]
    with fresh("local", environment, base, tmp_path / "sandbox") as sandbox:
        assert said(sandbox, "python3 -c 'print(6 * 7)'") == "42"


def test_setup_when_two_runs_want_the_same_then_one_prepares_and_the_other_takes_it(
    home: Path, tmp_path: Path, registries: HostRegistries
) -> None:
    bases = [make_base(tmp_path / name, {"README": "same"}) for name in ("one", "two")]
    found: list[Environment] = []

    def prepare(base: Base) -> None:
        found.append(
            prepare_environment(
                base, backend="local", home=home, setup=("echo x > made", "cat made"), registries=registries
            )
        )

    threads = [threading.Thread(target=prepare, args=(base,)) for base in bases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(environment.reused for environment in found) == [False, True]
    assert len({environment.key for environment in found}) == 1
    for base in bases:
        assert "/made" in (base.git_dir / "info" / "exclude").read_text().splitlines()


def test_setup_when_nothing_is_needed_or_not_sandboxed_then_nothing_is_prepared(
    home: Path, tmp_path: Path, registries: HostRegistries
) -> None:
    base = make_base(tmp_path, {"README": ""})
    assert prepare_environment(base, backend="local", home=home, registries=registries) == Environment()
    unsandboxed = prepare_environment(
        base, backend="none", home=home, setup=("touch /tmp/never",), registries=registries
    )
    assert unsandboxed.setup_ran == ()
    assert "nothing is prepared" in unsandboxed.notes[0]
    assert not (home / "environments").exists()


def test_setup_when_it_changes_tracked_files_then_said(home: Path, tmp_path: Path, registries: HostRegistries) -> None:
    base = make_base(tmp_path, {"lock.json": "1"})
    environment = prepare_environment(
        base, backend="local", home=home, setup=("echo 2 > lock.json",), registries=registries
    )
    assert environment.notes == ("set-up changed tracked files, which is not kept: lock.json",)
    with fresh("local", environment, base, tmp_path / "sandbox") as sandbox:
        assert said(sandbox, "cat lock.json") == "1"


@pytest.mark.docker
def test_image_when_the_configured_one_cannot_be_had_then_an_image_error(
    home: Path, tmp_path: Path, registries: HostRegistries
) -> None:
    base = make_base(tmp_path, {"README": ""})
    with pytest.raises(SandboxError) as caught:
        prepare_environment(base, backend="docker", home=home, image="registry.invalid/none:1", registries=registries)
    assert caught.value.kind == "image"


@pytest.mark.docker
def test_image_when_the_repository_has_a_dockerfile_then_its_base_image_serves_unbuilt(
    home: Path, tmp_path: Path, registries: HostRegistries, docker_image: str
) -> None:
    base = make_base(tmp_path, {"Dockerfile": f"FROM {docker_image}\nRUN touch /built\n"})
    environment = prepare_environment(base, backend="docker", home=home, registries=registries)
    assert environment.image == docker_image
    assert "Dockerfile is not built" in environment.notes[0]


def files_of(blobs: dict[str, str], text: tuple[str, ...]) -> BaseFiles:
    return BaseFiles(Tree(frozenset(blobs), dict.fromkeys(text, "")), blobs)


BLOBS = {"pyproject.toml": "1", "app.py": "2", "fast.pyx": "3", "tools/prepare.sh": "4", "Dockerfile": "5"}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ("pyproject.toml", False),
        ("app.py", True),
        ("fast.pyx", False),
        ("tools/prepare.sh", False),
        ("Dockerfile", True),
    ],
)
def test_key_when_one_file_changes_then_another_key_only_if_set_up_depends_on_it(changed: str, *, same: bool) -> None:
    text = ("pyproject.toml", "Dockerfile")
    commands = ("./tools/prepare.sh --fast",)
    before = environment_key("image", commands, files_of(BLOBS, text))
    after = environment_key("image", commands, files_of({**BLOBS, changed: "new"}, text))
    assert (before == after) == same


def test_key_when_image_or_commands_change_then_another_key() -> None:
    files = files_of(BLOBS, ("pyproject.toml",))
    keys = {environment_key(image, commands, files) for image in ("a", "b") for commands in (("x",), ("x", "y"))}
    assert len(keys) == 4


def test_base_when_read_then_every_name_and_only_telling_small_files(tmp_path: Path) -> None:
    base = make_base(
        tmp_path,
        {
            "setup.py": "été\n\n",
            "src/ü x.py": "",
            "requirements.txt": "x" * 2_000_000,
            "tox.ini": "",
            "a/Dockerfile": "F",
        },
    )
    files = read_base(base.git_dir, base.commit)
    assert files.tree.names == {"setup.py", "src/ü x.py", "requirements.txt", "tox.ini", "a/Dockerfile"}
    assert files.tree.text == {"setup.py": "été\n\n", "tox.ini": "", "a/Dockerfile": "F"}


def test_exclude_when_called_twice_then_each_line_once_and_special_names_escaped(tmp_path: Path) -> None:
    git_dir = tmp_path / "base.git"
    git_dir.mkdir()
    for _ in range(2):
        exclude_from_patches(git_dir, ("node_modules/", "a[b]*.txt", "#x"))
    lines = (git_dir / "info" / "exclude").read_text().splitlines()
    assert lines[-3:] == ["/node_modules/", r"/a\[b\]\*.txt", r"/\#x"]
    assert len(lines) == len(set(lines))


def test_store_when_a_crash_left_something_half_made_then_removed_but_not_what_is_being_made(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    with store.locked("dead"):
        (store.staging("dead") / "junk").write_bytes(b"x" * 10_000)
    with store.locked("alive"):
        alive = store.staging("alive")
        assert delete_unfinished(tmp_path) >= 10_000
        assert alive.exists()
    assert not (store.root / ".making-dead").exists()


def test_store_when_a_record_is_torn_then_the_environment_is_made_again(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    with store.locked("k"):
        store.keep(store.staging("k"), EnvironmentRecord(key="k", kind="local"))
        assert store.find("k") is not None
        (store.folder("k") / "record.json").write_text('{"key": "k"')
        assert store.find("k") is None
    assert list_environments(tmp_path) == ()


def test_store_when_another_prepares_the_environment_then_the_wait_is_told_while_it_lasts(tmp_path: Path) -> None:
    store, told = EnvironmentStore(tmp_path), threading.Event()
    waiter = threading.Thread(target=lock_and_leave, args=(store, told.set))
    with store.locked("k"):
        waiter.start()
        assert told.wait(30)
    waiter.join(30)
    assert not waiter.is_alive()


def test_store_when_an_environment_is_deleted_then_who_waited_for_its_lock_keeps_others_out(tmp_path: Path) -> None:
    store, told = EnvironmentStore(tmp_path), threading.Event()
    with store.locked("k"):
        store.keep(store.staging("k"), EnvironmentRecord(key="k", kind="local"))
    latecomer = threading.Thread(target=lock_and_leave, args=(store, told.set))
    with (store.root / "k.lock").open() as waiting:
        delete_environment(tmp_path, "k")
        fcntl.flock(waiting, fcntl.LOCK_EX)
        latecomer.start()
        assert told.wait(30)
    latecomer.join(30)
    assert not latecomer.is_alive()


def lock_and_leave(store: EnvironmentStore, waiting: Callable[[], None]) -> None:
    with store.locked("k", waiting=waiting):
        pass


def test_venv_when_it_cannot_be_made_then_the_last_line_of_what_was_said(tmp_path: Path) -> None:
    base = make_base(tmp_path, {"python": "#!/bin/sh\nseq 200\necho No space left on device\nexit 1\n"})
    with fresh("local", Environment(), base, tmp_path / "sandbox") as sandbox, pytest.raises(SandboxError) as caught:
        make_venv(sandbox, f"sh {sandbox.workdir}/python")
    assert str(caught.value).endswith("/python: No space left on device")


def test_store_when_deleting_what_is_not_there_then_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        delete_environment(tmp_path, "../x")
    assert caught.value.kind == "usage"


def test_store_when_the_home_cannot_be_written_then_a_storage_error_with_a_mend(tmp_path: Path) -> None:
    (tmp_path / "environments").write_text("a file is in the way")
    with pytest.raises(SandboxError) as caught, EnvironmentStore(tmp_path).locked("k"):
        pass
    assert caught.value.kind == "storage"
    assert "OSTRO_HOME" in caught.value.mend
