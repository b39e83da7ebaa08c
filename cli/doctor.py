"""`ostro doctor`: is this machine fit, is the endpoint? Each trouble with its mend."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.agent.checks import Check, CheckStatus, folder_room
from ostro.cli.options import MODEL_FLAGS, examples, output_option, print_json, settings_flags, settings_options
from ostro.cli.terminal import DIM, GREEN, RED, YELLOW, one_line, paint, wants_color

if TYPE_CHECKING:
    from ostro.agent.config import Settings
    from ostro.agent.model.profile import Target

OLDEST_GIT = (2, 34)
"""The recipe of sandbox/host_git was tried from this version on (Ubuntu 22.04)."""

LEAST_FREE_BYTES = 2 * 1024**3


@click.command(
    epilog=examples(
        "ostro doctor",
        "ostro doctor --no-probe --output json",
        "ostro doctor --endpoint http://localhost:8080/v1 --model qwen --price 0,0",
    ),
)
@settings_options(*MODEL_FLAGS)
@click.option("--probe/--no-probe", default=True, help="Make a few short calls to the endpoint.")
@output_option
def command(probe: bool, output: str, **values: object) -> int:
    """Check git, the sandboxes, the disk, the key and the endpoint; name the mend of each trouble.

    Ends with 0 when `ostro run` can work here, else with 1.
    """
    from ostro.agent.config_sources import load

    settings = load(None, settings_flags(values)).settings
    color = wants_color(sys.stdout)
    done: list[Check] = []
    for check in checks(settings, probe=probe):
        done.append(check)
        if output == "text":
            click.echo(line_of(check, color=color))
    exit_code = 0 if fit(done) else 1
    if output == "json":
        print_json({"schema": 1, "exit_code": exit_code, "checks": [asdict(check) for check in done]})
    return exit_code


def fit(done: list[Check]) -> bool:
    """Whether a run can work: nothing failed, and one of the sandboxes is there."""
    sandboxes = [check for check in done if check.name in ("docker", "embedded")]
    others = [check for check in done if check.name not in ("docker", "embedded")]
    return any(check.status == "ok" for check in sandboxes) and all(check.status != "fail" for check in others)


def line_of(check: Check, *, color: bool) -> str:
    """Return the text of one check: status, name, detail, and the mend on a line of its own."""
    status = paint(
        f"{check.status:<4}", {"ok": GREEN, "warn": YELLOW, "fail": RED, "skipped": DIM}[check.status], on=color
    )
    fix = f"\n{'':<21} {one_line(check.mend, 300)}" if check.mend else ""
    return f"{status}  {check.name:<14} {one_line(check.detail, 300)}{fix}"


def checks(settings: Settings, *, probe: bool) -> Iterator[Check]:
    """Yield the checks as they are made, quick ones first."""
    yield check_git()
    yield check_disk(settings.home)
    yield check_docker()
    yield check_embedded()
    yield from check_model(settings, probe=probe)


def check_git() -> Check:
    """Whether the host has a git that is new enough."""
    from ostro.sandbox.git_process import run_git
    from ostro.sandbox.protocol import SandboxError

    try:
        told = run_git(["version"]).line
    except SandboxError as error:
        return Check("git", "fail", str(error), "sudo apt-get install git")
    version = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    if version < OLDEST_GIT:
        return Check("git", "warn", f"{told} is older than what was tried", "Update git.")
    return Check("git", "ok", told)


def check_disk(home: Path) -> Check:
    """Whether OSTRO_HOME can be written and its disk has room."""
    mend = "See `ostro clean`, mend its permissions, or set OSTRO_HOME to another folder."
    return folder_room("disk", home, least=0, good=LEAST_FREE_BYTES, mend=mend)


def check_docker() -> Check:
    """Whether an engine answers and has an image."""
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.image import BASE_TAG, default_image
    from ostro.sandbox.protocol import SandboxError

    try:
        engine = Engine.connect()
        image = default_image(lambda name: engine.image(name) is not None)
        present = engine.image(image) is not None
    except SandboxError as error:
        return Check("docker", "warn", str(error), f"{error.mend} Or do without: the embedded sandbox serves.".lstrip())
    if present:
        return Check("docker", "ok", f"engine at {engine.address}, image {image}")
    fix = f"It is pulled at the first run; without a registry: sudo ostro image build (makes {BASE_TAG})"
    return Check("docker", "ok", f"engine at {engine.address}, image {image} is not there yet", fix)


def check_embedded() -> Check:
    """Whether the embedded sandbox works, tried for real."""
    from ostro.sandbox.local import find_means
    from ostro.sandbox.protocol import SandboxError

    try:
        means = find_means()
    except SandboxError as error:
        return Check("embedded", "warn", str(error), error.mend)
    return Check("embedded", "ok", f"{means.name} {means.program}".rstrip())


def check_model(settings: Settings, *, probe: bool) -> Iterator[Check]:
    """Whether the model is known, has a price and a key, and (with `probe`) answers."""
    from ostro.agent.errors import OstroError
    from ostro.agent.model.catalogue import resolve
    from ostro.agent.model.profile import read_key

    try:
        target = resolve(settings.model, settings.endpoint, settings.price)
    except OstroError as error:
        yield Check("model", "fail", str(error), error.mend)
        return
    price = target.model.price
    yield Check(
        "model", "ok", f"{target.model.id} at {target.profile.base_url}, ${price.input:g} in, ${price.output:g} out"
    )
    try:
        key = read_key(target.profile)
    except OstroError as error:
        yield Check("key", "fail", str(error), error.mend)
        return
    yield Check("key", "ok", "found" if key else "none, and none is needed")
    if probe:
        yield from check_endpoint(target)


def check_endpoint(target: Target) -> Iterator[Check]:
    """Whether the endpoint can drive an agent: a few short calls."""
    from ostro.agent.model.probe import probe_target

    report = probe_target(target)
    for check in report.checks:
        status: CheckStatus = "warn" if check.level == "fail" and report.ok else check.level
        yield Check(check.name, status, check.text, check.mend)
