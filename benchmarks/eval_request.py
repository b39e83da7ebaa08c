"""What a batch is to do: the rows, the model that is measured, the limits; and what of it the manifest says.

Made by the command (cli/eval.py), done by benchmarks/harness.py, order by order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ostro.agent.config import Settings
from ostro.agent.errors import UsageError
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.profile import read_key
from ostro.agent.toolset import toolset_digest, toolset_of
from ostro.agent.version import ostro_version
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.manifest import dataset_digest, host_facts
from ostro.benchmarks.orders import Policy, WorkOrder
from ostro.benchmarks.recipe import Flavour
from ostro.benchmarks.results import RunManifest
from ostro.benchmarks.store import instance_folder
from ostro.prompts.render import prompts_digest


@dataclass(frozen=True)
class Subject:
    """The model that is measured, as its endpoint and the catalogue know it.

    Attributes:
        price: dollars per million input and output tokens.
        tools_sha256: over the tools that it is offered.
    """

    model: str
    price: tuple[float, float]
    tools_sha256: str


def subject_of(settings: Settings) -> Subject:
    """Return what is measured; called before anything is built, so that a wrong name or a missing key costs nothing.

    Raises:
        UsageError: the endpoint, the model, its price or a tool is not known.
        ModelError: `auth`: the endpoint's key is not set.
    """
    target = resolve(settings.model, settings.endpoint, settings.price)
    read_key(target.profile)
    price = target.model.price
    return Subject(target.model.id, (price.input, price.output), toolset_digest(toolset_of(settings, target.model)))


@dataclass(frozen=True)
class EvalRequest:
    """What a batch is to do.

    Attributes:
        dataset: name of the task set, for the manifest.
        settings: of the agent; `budget` is for the whole batch.
        out: the run folder; one that holds a part of the same batch is gone on with.
        instance_budget: dollars for one sample of one instance.
        quarantine: instances that `ostro validate` found broken or flaky, with the reason.
        subject: what is measured; None for a scripted policy.
    """

    instances: tuple[Instance, ...]
    dataset: str
    settings: Settings
    out: Path
    flavour: Flavour
    policy: Policy = "model"
    samples: int = 1
    instance_budget: float | None = None
    base_image: str = ""
    quarantine: Mapping[str, str] = field(default_factory=dict[str, str])
    subject: Subject | None = None


def orders_of(request: EvalRequest) -> Iterator[WorkOrder]:
    """Yield every order of a batch; the first samples of all instances come before the second ones."""
    for sample in range(1, request.samples + 1):
        for instance in request.instances:
            yield WorkOrder(
                instance=instance,
                sample=sample,
                folder=instance_folder(request.out, instance.instance_id, sample),
                settings=_sampled(request.settings, sample),
                flavour=request.flavour,
                policy=request.policy,
                instance_budget=request.instance_budget,
                base_image=request.base_image,
            )


def read_quarantine(path: Path) -> dict[str, str]:
    """Return the reasons by instance id, from the quarantine.json of `ostro validate`.

    Raises:
        UsageError: it is not such a file.
    """
    try:
        return TypeAdapter(dict[str, str]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is no list of quarantined instances", mend="Use the file of `ostro validate`."
        ) from error


def manifest_of(request: EvalRequest) -> RunManifest:
    """Return what will run, as data."""
    settings = request.settings
    scripted, subject = request.policy != "model", request.subject
    named = subject.model if subject else settings.model
    return RunManifest(
        kind="eval",
        run_id=request.out.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        ostro_version=ostro_version(),
        dataset=request.dataset,
        dataset_sha256=dataset_digest(request.instances),
        instances=len(request.instances),
        instance_ids=tuple(instance.instance_id for instance in request.instances),
        samples=request.samples,
        model=f"{request.policy} (scripted)" if scripted else named,
        endpoint="" if scripted else settings.endpoint,
        sampling={"temperature": settings.temperature, "seed": settings.seed, "max_tokens": settings.max_tokens},
        price=subject.price if subject else settings.price,
        prompt_sha256=prompts_digest(),
        tools_sha256=subject.tools_sha256 if subject else "",
        sandbox=request.flavour,
        seed=settings.seed,
        host=host_facts(),
        config={
            **settings.model_dump(mode="json", exclude={"home"}),
            "instance_budget": request.instance_budget,
            "base_image": request.base_image,
        },
    )


def _sampled(settings: Settings, sample: int) -> Settings:
    """Return the settings of one sample: a seed of its own, where there is one."""
    return settings if settings.seed is None else settings.model_copy(update={"seed": settings.seed + sample - 1})
