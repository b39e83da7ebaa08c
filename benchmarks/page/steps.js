// The trajectory, step by step: what the model said, its calls with what came back, and what the loop did.

const FOLDED_LINES = 12;
const SIDES = { old_str: "del", new_str: "add" };

/** Group the events of one log: a reply of the model opens a step, what follows belongs to it. */
function stepsOf(events) {
  const steps = [{ planned: null, turn: -1, events: [], model: 0, tools: 0 }];
  for (const event of events) {
    if (event.type === "planned") {
      steps.push({ planned: event, turn: event.turn, events: [], model: event.latency_s || 0, tools: 0 });
      continue;
    }
    const step = steps.at(-1);
    if (event.type === "observed") step.tools += event.duration_s || 0;
    step.events.push(event);
  }
  return steps;
}

function stepView(step, context) {
  const { planned } = step;
  const observed = new Map(step.events.filter((event) => event.type === "observed").map((event) => [event.call_id, event]));
  const calls = planned ? planned.calls : [];
  const own = new Set(calls.map((call) => call.id));
  const others = step.events.filter((event) => event.type !== "observed" || !own.has(event.call_id));
  const answers = calls.map((call) => callView(call, observed.get(call.id), context));
  const checks = others.filter(isCheck);
  const rest = others.filter((event) => !isCheck(event)).map((event) => eventView(event, context));
  if (checks.length) rest.push(fold(`Preflight, ${checks.length} checks`, false, checks.map((event) => eventView(event, context))));
  if (!planned) return rest.length ? h("div", { class: "step preamble" }, rest) : null;
  const number = planned.turn + 1;
  const id = `step-${context.log}-${number}`;
  return h(
    "article",
    { class: "step", id, tabindex: "-1", "aria-labelledby": id + "-title", "data-turn": planned.turn },
    h("header", null, h("h3", { id: id + "-title" }, "Step " + number), h("p", { class: "figures" }, stepFigures(planned))),
    planned.text ? h("div", { class: "said" }, block(planned.text, context.where(planned))) : null,
    planned.repairs ? repairView(planned, context) : null,
    answers,
    rest,
  );
}

/** A check before the first step that found nothing wrong. */
function isCheck(event) {
  return event.type === "noted" && ["preflight_ok", "preflight_skipped"].includes(event.kind);
}

function stepFigures(planned) {
  const usage = planned.usage || {};
  const parts = [`${count(usage.input_tokens || 0)} + ${count(usage.output_tokens || 0)} tokens`];
  if (usage.cached_tokens) parts.push(count(usage.cached_tokens) + " cached");
  parts.push(dollars(planned.cost_usd || 0), duration(planned.latency_s || 0));
  if ((planned.tries || 1) > 1) parts.push(planned.tries + " tries");
  if (!["tool_calls", "stop"].includes(planned.finish_reason)) parts.push("finish reason " + planned.finish_reason);
  if (planned.served_by) parts.push("by " + planned.served_by);
  return parts.join(" · ");
}

function repairView(planned, context) {
  const received = (planned.received || []).map((call) => [h("p", { class: "arg" }, call.name), block(call.text, context.where(planned))]);
  const text = planned.reply_text ? block(planned.reply_text, context.where(planned)) : null;
  return h("div", { class: "remark" }, fold("Repaired: " + planned.repairs.map(words).join(", "), false, h("p", { class: "arg" }, "as it was received"), text, received));
}

function callView(call, observed, context) {
  return h(
    "div",
    { class: "call" },
    h("p", { class: "call-name" }, h("b", null, call.name), shortArguments(call)),
    longArguments(call, context),
    observed ? observationView(observed, context) : h("p", { class: "remark" }, "No observation: the run ended before or while the call ran."),
  );
}

function isShort([name, value]) {
  return typeof value === "string" && value.length <= 100 && !value.includes("\n") && !(name in SIDES);
}

function shortArguments(call) {
  return call.arguments.filter(isShort).map(([name, value]) => h("span", { class: "short" }, h("i", null, name), h("code", null, value)));
}

function longArguments(call, context) {
  return call.arguments
    .filter((argument) => !isShort(argument))
    .map(([name, value]) => [h("p", { class: "arg" }, name), block(value, context.where(call), SIDES[name])]);
}

function observationView(event, context) {
  const text = whole(event.text);
  const lines = text.split("\n");
  const first = lines.find((line) => line.trim()) || "no output";
  const mark = h("span", { class: event.ok ? "good" : "bad" }, event.ok ? "✓" : "✗");
  const notes = [duration(event.duration_s || 0), lines.length + (lines.length === 1 ? " line" : " lines")];
  if (event.interrupted) notes.push("interrupted");
  if (event.images) notes.push(event.images + " images");
  const summary = [mark, h("span", { class: "first" }, first.slice(0, 200)), h("span", { class: "figures" }, notes.join(" · "))];
  const where = context.where(event);
  const more = event.full_output ? h("p", { class: "note" }, "The whole output is in " + where + ".") : null;
  const open = lines.length <= FOLDED_LINES && text.length < 1500;
  const folded = fold(summary, open, block(event.text, where), more);
  folded.className = "observed";
  return folded;
}

const REMARKS = {
  retried: (event) => `The endpoint failed (${event.kind}: ${whole(event.detail)}); sent again after ${duration(event.wait_s)}.`,
  checkpointed: (event) => `Checkpoint of ${bytes(event.size_bytes)}, ${event.digest.slice(0, 12)}.`,
  compacted: (event) => `Context compacted from ${count(event.tokens_before)} to ${count(event.tokens_after)} tokens; ${event.masked} observations masked.`,
  limited: (event) => `Limit ${words(event.limit)}: ${whole(event.detail)}`,
  noted: (event) => `${words(event.kind)}: ${whole(event.text)}`,
  forked: (event) => `Forked from ${event.parent} after ${event.at} turns. ${whole(event.changes)}`,
  published: (event) => `Published on branch ${event.branch}, commit ${event.commit.slice(0, 12)}.`,
};

/** Anything but a reply, a call and an observation of the step. */
function eventView(event, context) {
  const where = context.where(event);
  switch (event.type) {
    case "run_started":
      return startView(event, context);
    case "observed":
      return observationView(event, context);
    case "nudged":
      return h("div", { class: "remark" }, h("p", null, `Nudge, ${words(event.kind)}:`), block(event.text, where));
    case "tested":
      return testedView(event);
    case "resumed":
      return h("p", { class: "remark" }, resumedText(event));
    case "ended":
      return endedView(event, where);
  }
  const text = REMARKS[event.type] ? REMARKS[event.type](event) : words(event.type) + ": " + JSON.stringify(event);
  const summary = event.summary ? block(event.summary, where) : null;
  return h("div", { class: "remark quiet" }, h("p", null, text), summary);
}

function startView(event, context) {
  const facts = [`${event.model} at ${event.endpoint}`, event.sandbox_description || event.sandbox, `base ${event.base_commit.slice(0, 12)}`, `Ostro ${event.ostro_version}`];
  const messages = (event.messages || []).map((message) =>
    fold(message.role === "system" ? "System prompt" : "First message, " + message.role, false, block(message.shared === undefined ? message.text : context.shared[message.shared], context.where(event))),
  );
  return h("div", { class: "start" }, h("p", { class: "figures" }, facts.join(" · ")), messages);
}

function testedView(event) {
  const { result } = event;
  const good = result.status === "green";
  const mark = h("span", { class: good ? "good" : "bad" }, good ? "✓" : "✗");
  return h("p", { class: "remark" }, mark, ` Tests ${event.phase} the patch: ${words(result.status)} `, h("code", null, whole(event.command)), " ", result.summary);
}

function resumedText(event) {
  const parts = [`Resumed by another process; the sandbox was ${event.sandbox}`];
  if (event.restored) parts.push(`restored to checkpoint ${event.restored.slice(0, 12)}`);
  if (event.rerun) parts.push(`${event.rerun.length} calls run again`);
  if (event.cut_call) parts.push(event.repeats ? "the call that was cut off is run again" : "the call that was cut off is not run again");
  if (event.limits) parts.push("limits " + whole(event.limits));
  return parts.join("; ") + ".";
}

function endedView(event, where) {
  const { outcome } = event;
  const error = outcome.error ? h("p", null, `${outcome.error.message} ${outcome.error.mend || ""}`) : null;
  const figures = `${event.steps} steps · ${count(event.tokens.input || 0)} + ${count(event.tokens.output || 0)} tokens · ${dollars(event.cost_usd)} · ${duration(event.seconds)}`;
  const good = outcome.ending === "submitted";
  const head = h("p", null, h("b", { class: good ? "good" : "bad" }, words(outcome.ending)), " ", h("span", { class: "figures" }, figures));
  return h("div", { class: "ended" }, head, event.reason ? block(event.reason, where) : null, error);
}
