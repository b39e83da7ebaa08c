"""One home for the environments of this folder's tests, so that each is built once a session."""

from pathlib import Path

import pytest

from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances


@pytest.fixture(scope="session")
def instances_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where environments are built and kept."""
    return tmp_path_factory.mktemp("instances")


@pytest.fixture(scope="session")
def small_rows() -> list[Instance]:
    """The six small programs that this project ships."""
    return read_instances(Path(__file__).parent / "data" / "small.jsonl")


@pytest.fixture(scope="session")
def small_instance(small_rows: list[Instance]) -> Instance:
    """One of them: years that are taken for leap years."""
    return next(one for one in small_rows if one.instance_id == "smallbugs__leap")
