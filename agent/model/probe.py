"""Is this endpoint fit to drive an agent? A handful of small requests before the first task, for `ostro doctor`.

Each check looks for one known way of serving a model wrongly: a retired model, a parser that leaves calls in the
text, a template that drops the system prompt, weights loaded by the wrong code, a context smaller than promised.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from ostro.agent.errors import ModelError
from ostro.agent.history import Message, SystemMessage, UserMessage
from ostro.agent.model.catalogue import load_catalogue
from ostro.agent.model.client import ListedModel, ModelClient
from ostro.agent.model.profile import Target, read_key
from ostro.agent.model.reply import Reply
from ostro.agent.model.wire import WireMessage

Level = Literal["ok", "warn", "fail"]

Verdict = Literal["ok", "auth", "credit", "gone", "unreachable", "parser", "template", "gibberish", "error"]
"""What the endpoint is good for: `ok`, or the first thing that makes it useless."""

DEADLINE_S = 60.0
TEXT_TOKENS = 300
MOST_COUNT_ERROR = 0.25
LEAST_COMMON_WORDS = 0.12
"""Share of a text that is English function words or words of the question; prose has 40 %, gibberish none."""
_SYSTEM = SystemMessage(text="You are a coding agent. Use the tools that you are given.")
_TOOL: WireMessage = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two whole numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
_TOOLS = (_TOOL,)
_CALL_IN_TEXT = re.compile(r"\[TOOL_CALLS\]|\[ARGS\]|<tool_call>|\"name\"\s*:\s*\"add\"")
_VERDICTS: dict[str, Verdict] = {
    "auth": "auth",
    "credit": "credit",
    "gone": "gone",
    "unreachable": "unreachable",
    "template": "template",
}


@dataclass(frozen=True)
class ProbeCheck:
    """One thing that was tried.

    Attributes:
        name: listed, reply, tool_call, parallel_calls, text, count.
        mend: what to do about it, "" where all is well.
    """

    name: str
    level: Level
    text: str
    mend: str = ""


@dataclass
class ProbeReport:
    """What was found, in order.

    Attributes:
        verdict: `ok`, or why the endpoint cannot be used.
        cost_usd: what the probe cost.
    """

    target: Target
    checks: list[ProbeCheck] = field(default_factory=list[ProbeCheck])
    verdict: Verdict = "ok"
    cost_usd: float = 0.0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether an agent can be driven with it."""
        return self.verdict == "ok"

    def lines(self) -> list[str]:
        """Return one line for each check, and its mend below it."""
        found: list[str] = []
        for check in self.checks:
            found.append(f"{check.level:<4} {check.name}: {check.text}")
            if check.mend:
                found.append(f"     {check.mend}")
        return found

    def add(self, name: str, level: Level, text: str, mend: str = "", verdict: Verdict = "ok") -> None:
        """Note a check; the first bad verdict stays."""
        self.checks.append(ProbeCheck(name, level, text, mend))
        if verdict != "ok" and self.verdict == "ok":
            self.verdict = verdict


def probe_target(target: Target) -> ProbeReport:
    """Probe with the key that the environment holds; raises ModelError(auth) when it needs one and has none."""
    with ModelClient(target, read_key(target.profile)) as client:
        return probe(client)


def probe(client: ModelClient) -> ProbeReport:
    """Try the endpoint; a failure is a check in the report, never an exception.

    Raises:
        Interrupted: the run is to stop.
    """
    begun = time.monotonic()
    report = ProbeReport(client.target)
    listed = _listed(client, report)
    if report.ok:
        _answers(client, report, listed)
    report.seconds = time.monotonic() - begun
    return report


def _answers(client: ModelClient, report: ProbeReport, listed: list[ListedModel]) -> None:
    try:
        reply = _one_call(client, report)
        _count(client, report, reply)
        _two_calls(client, report)
        _text(client, report)
    except ModelError as error:
        mend = _alternatives(client.target, listed) if error.model_kind == "gone" else error.mend
        said = f"this model is gone here: {error}" if error.model_kind == "gone" else str(error)
        report.add("reply", "fail", said, mend, _VERDICTS.get(error.model_kind, "error"))


def _listed(client: ModelClient, report: ProbeReport) -> list[ListedModel]:
    model = client.target.model
    try:
        listed = client.list_models()
    except ModelError as error:
        fatal = error.model_kind in ("auth", "credit") or (error.model_kind == "unreachable" and error.status is None)
        verdict = _VERDICTS.get(error.model_kind, "error") if fatal else "ok"
        report.add("listed", "fail" if fatal else "warn", str(error), error.mend if fatal else "", verdict)
        return []
    found = next((entry for entry in listed if entry.id == model.id), None)
    if found is None:
        report.add("listed", "warn", f"{model.id} is not among the {len(listed)} models listed")
    elif 0 < found.context < model.context:
        mend = f"Start the server with a context of {model.context}, or lower `context` in your catalogue.toml."
        report.add("listed", "warn", f"context is {found.context} tokens, not {model.context}", mend)
    else:
        report.add("listed", "ok", model.id)
    return listed


def _ask(client: ModelClient, report: ProbeReport, text: str, *, tools: bool, max_tokens: int = 256) -> Reply:
    messages: list[Message] = [_SYSTEM, UserMessage(text=text)]
    reply = client.complete(
        messages, _TOOLS if tools else (), max_tokens=max_tokens, temperature=0.0, seed=1, deadline_s=DEADLINE_S
    )
    report.cost_usd += reply.cost_usd
    return reply


def _one_call(client: ModelClient, report: ProbeReport) -> Reply:
    reply = _ask(client, report, "Use the tool to add 17 and 25.", tools=True)
    if reply.calls and reply.calls[0].name == "add":
        report.add("tool_call", "ok", f"add({reply.calls[0].arguments})")
    elif reply.calls:
        report.add("tool_call", "warn", f"the name came as {reply.calls[0].name!r}; it is mended at each call")
    elif _CALL_IN_TEXT.search(reply.text):
        recipe = client.target.profile.recipe
        mend = f"The server does not parse this model's calls. Start it so: {recipe}" if recipe else ""
        report.add("tool_call", "warn", "the call came as text; it is recovered, but less surely", mend)
    else:
        mend = "Serve the model with tool calling switched on."
        report.add("tool_call", "fail", f"no call, but: {_short(reply.text)}", mend, "parser")
    return reply


def _two_calls(client: ModelClient, report: ProbeReport) -> None:
    reply = _ask(client, report, "Use the tool twice, in one turn: add 1 and 2, and add 3 and 4.", tools=True)
    count = len(reply.calls)
    text = f"{count} call{'s' if count != 1 else ''} in one turn"
    report.add("parallel_calls", "ok" if count == 2 else "warn", text)


def _text(client: ModelClient, report: ProbeReport) -> None:
    question = "Explain in about 200 words what a binary search does. Plain prose, no tool."
    reply = _ask(client, report, question, tools=False, max_tokens=TEXT_TOKENS)
    reason = looks_wrong(reply.text)
    if reason:
        mend = "The weights are loaded by the wrong code, or quantised beyond use; try another build or server."
        report.add("text", "fail", f"{reason}: {_short(reply.text)}", mend, "gibberish")
    elif reply.usage.output_tokens < 20 and reply.finish_reason == "length":
        report.add("text", "fail", "replies are cut off after a few tokens", "Raise the server's limit.", "error")
    else:
        report.add("text", "ok", f"{len(reply.text.split())} words")


def _count(client: ModelClient, report: ProbeReport, reply: Reply) -> None:
    if not reply.usage.exact:
        report.add("count", "warn", "the endpoint reports no usage; costs are estimated")
        return
    ratio = client.counter.correction
    if abs(math.log(ratio)) <= math.log1p(MOST_COUNT_ERROR):
        report.add("count", "ok", f"{reply.usage.input_tokens} tokens, {ratio:.2f} of our count")
        return
    mend = "Another chat template or tokenizer than this model's own seems to be in use."
    report.add("count", "warn", f"{reply.usage.input_tokens} tokens, {ratio:.2f} of our count", mend)


def looks_wrong(text: str) -> str:
    """Say why a text is no English prose; "" when it looks like some."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < 20:
        return "almost no words"
    if Counter(words).most_common(1)[0][1] > len(words) / 3:
        return "one word again and again"
    common = len(_COMMON.findall(text.lower()))
    return "" if common >= len(words) * LEAST_COMMON_WORDS else "gibberish"


_COMMON = re.compile(
    r"\b(?:a|an|and|are|as|at|be|by|can|for|from|half|if|in|is|it|its|left|list|middle|more|not|of|on|or|right|search"
    r"|sorted|target|than|that|the|then|this|time|to|until|value|we|when|with|you|your)\b"
)


def _alternatives(target: Target, listed: list[ListedModel]) -> str:
    catalogue = load_catalogue()
    offered = {entry.id for entry in listed}
    known = [e.id for e in catalogue.entries(target.profile.name) if e.id != target.model.id and not e.retired]
    here = [name for name in known if not offered or name in offered]
    if not here:
        here = sorted(name for name in offered if "stral" in name.lower())[:3] or sorted(offered)[:3]
    elsewhere = "the weights of Devstral Small 2 are open: serve them yourself (`ostro models`)"
    return f"Alternatives: {', '.join(here)}; {elsewhere}." if here else f"Alternative: {elsewhere}."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else f"{line[:80]}...")
