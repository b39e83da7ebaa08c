"""Read the rows of a task set: JSON, JSON lines, Parquet, a folder of them, a task repository, or a name on the hub.

Whatever the form, each row becomes an `Instance`, in order, and no id comes twice. Parquet, task repositories (YAML)
and the hub need packages of the extra `ostro[datasets]`, imported here only where they are used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ostro.benchmarks.instance import GitSource, Instance, InstanceError
from ostro.benchmarks.row_text import json_of, needs_extra, text_of, validated
from ostro.benchmarks.task_repository import TASKS, read_tasks

MAX_ROW_FILE_BYTES = 256 * 1024 * 1024
MEND = "Name a .json, .jsonl or .parquet file, a folder of them, a task repository, or a data set of the hub."

HUB_ALIASES = {
    "full": "SWE-bench/SWE-bench",
    "lite": "SWE-bench/SWE-bench_Lite",
    "verified": "SWE-bench/SWE-bench_Verified",
    "multilingual": "SWE-bench/SWE-bench_Multilingual",
    "multimodal": "SWE-bench/SWE-bench_Multimodal",
}
HUB_SPLIT = "test"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")

SUITE = "builtin"


def read_instances(source: Path | str) -> list[Instance]:
    """Read a task set.

    Args:
        source: a file, a folder (of row files in the order of their names, or a task repository with `tasks/`), an
            alias or name of a data set on the Hugging Face hub, or `builtin` for the tasks that Ostro brings along.

    Raises:
        InstanceError: nothing is there, a file is not what it seems, a row is not a row, or an id comes twice.
    """
    path = Path(source)
    if path.exists():
        instances = _read_path(path)
    elif str(source) == SUITE:
        instances = _read_path(Path(__file__).with_name("suite"))
    elif (name := HUB_ALIASES.get(str(source), str(source))) and _HUB_NAME.fullmatch(name):
        instances = [validated(row, f"{name} (row {n})") for n, row in enumerate(_hub_rows(name), start=1)]
    else:
        raise InstanceError(f"{source}: no such file or folder", mend=MEND)
    if not instances:
        raise InstanceError(f"{source}: holds no rows", mend=MEND)
    _refuse_twins(instances, str(source))
    return instances


def choose(instances: Iterable[Instance], wanted: Iterable[str]) -> list[Instance]:
    """Return the instances of these ids, all when none is named.

    Raises:
        InstanceError: an id is not there.
    """
    by_id = {one.instance_id: one for one in instances}
    ids = list(dict.fromkeys(wanted)) or list(by_id)
    if missing := [one for one in ids if one not in by_id]:
        raise InstanceError(f"no instance {', '.join(missing)}", mend=f"There are {len(by_id)} others.")
    return [by_id[one] for one in ids]


def _refuse_twins(instances: Iterable[Instance], where: str) -> None:
    seen: set[str] = set()
    for instance in instances:
        if instance.instance_id in seen:
            raise InstanceError(f"{where}: the instance {instance.instance_id} comes twice", mend="Remove one of them.")
        seen.add(instance.instance_id)


def _read_path(path: Path) -> list[Instance]:
    if path.is_file():
        return list(_read_file(path))
    if (path / TASKS).is_dir():
        return [_resolved(validated(row, str(folder)), folder) for folder, row in read_tasks(path)]
    files = sorted(one for one in path.iterdir() if one.suffix in _READERS)
    return [instance for file in files for instance in _read_file(file)]


def _read_file(path: Path) -> Iterator[Instance]:
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise InstanceError(f"{path}: not a kind of file that holds rows", mend=MEND)
    if path.stat().st_size > MAX_ROW_FILE_BYTES:
        raise InstanceError(f"{path}: larger than {MAX_ROW_FILE_BYTES} bytes", mend="Split the file.")
    for where, row in reader(path):
        yield _resolved(validated(row, where), path.parent)


def _resolved(instance: Instance, folder: Path) -> Instance:
    """Give a repository that the row names relatively its place beside the row's file."""
    setup = instance.setup
    if setup is None or not isinstance(setup.source, GitSource):
        return instance
    source = setup.source.model_copy(update={"repository": str((folder / setup.source.repository).resolve())})
    return instance.model_copy(update={"setup": setup.model_copy(update={"source": source})})


def _json_rows(path: Path) -> Iterator[tuple[str, JsonValue]]:
    document = json_of(text_of(path), str(path))
    if not isinstance(document, list):
        yield str(path), document
        return
    for number, row in enumerate(document, start=1):
        yield (f"{path} (row {number})" if len(document) > 1 else str(path)), row


def _jsonl_rows(path: Path) -> Iterator[tuple[str, JsonValue]]:
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", json_of(line, f"{path}:{number}")


def _parquet_rows(path: Path) -> Iterator[tuple[str, JsonValue]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise needs_extra(f"{path}: Parquet") from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ValueError, OSError) as error:
        raise InstanceError(f"{path}: not Parquet ({error})") from error
    for number, row in enumerate(rows, start=1):
        yield f"{path} (row {number})", {key: value for key, value in row.items() if value is not None}


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, JsonValue]]]] = {
    ".json": _json_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
}


def _hub_rows(name: str) -> list[dict[str, JsonValue]]:
    """Download the split `test` of a data set as Parquet files, as the hub keeps every data set."""
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise needs_extra(f"{name}: no such file or folder; a data set of the hub") from error
    try:
        pattern = [f"**/{HUB_SPLIT}*.parquet", f"{HUB_SPLIT}*.parquet"]
        folder = Path(hub.snapshot_download(name, repo_type="dataset", allow_patterns=pattern))
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise InstanceError(f"{name}: the hub does not give it ({first})", mend=MEND) from error
    rows = [row for file in sorted(folder.rglob("*.parquet")) for _, row in _parquet_rows(file)]
    return [row for row in rows if isinstance(row, dict)]
