// The page of one instance: verdict and tests, patch beside gold, timings, every step.

function instancePage(data, index, detail, step) {
  const row = data.rows[index];
  const logs = detail.logs.map((log) => ({ ...log, steps: stepsOf(log.events) }));
  const parts = [
    heading(data, row, index),
    figures(row, data.single),
    row.remark ? h("p", { class: "warning" }, row.remark) : null,
    issueView(data, row, detail, logs),
    detail.grade ? gradeView(detail) : testsView(logs),
    patchView(detail, row),
    timesView(logs, row),
    stepsView(data, detail, logs),
  ];
  if (step) requestAnimationFrame(() => jump(0, step));
  return parts;
}

function heading(data, row, index) {
  const title = h("h1", null, row.id, " ", row.status ? pill(row.status) : endingPill(row.ending));
  if (data.single) return topBar(title, h("p", { class: "sub" }, row.title));
  const link = (at, text, key) => (data.rows[at] ? h("a", { href: linkTo(data.rows[at]), title: `${data.rows[at].id} (key ${key})` }, text) : h("span", { class: "off" }, text));
  const way = h("nav", { class: "way", "aria-label": "Instances" }, h("a", { href: "#/" + (lastQuery ? "?" + lastQuery : "") }, "All instances"), link(index - 1, "← previous", "k"), link(index + 1, "next →", "j"));
  return [way, topBar(title)];
}

function endingPill(ending) {
  const good = ending === "submitted";
  return h("span", { class: "pill", "data-status": good ? "resolved" : "unresolved" }, h("i", { "aria-hidden": "true" }, good ? "✓" : "✗"), words(ending));
}

function figures(row, single) {
  const entries = [["Ending", words(row.ending)], ["Steps", count(row.steps)], ["Tokens", count(row.tokens)], ["Cost", dollars(row.cost)], ["Time", duration(row.seconds)]];
  if (!single) entries.push(["Patch", bytes(row.patch_bytes)]);
  if (row.tries > 1) entries.push(["Tries", row.tries]);
  return h("dl", { class: "tiles" }, entries.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function issueView(data, row, detail, logs) {
  if (!detail.issue) return null;
  return section("issue", "Issue", fold(firstLine(detail.issue), false, block(detail.issue, "dataset.jsonl", "prose")));
}

function firstLine(text) {
  return (whole(text).split("\n").find((line) => line.trim()) || "").slice(0, 160);
}

const WITNESSES = {
  tests: "each test witnessed",
  process: "the end of the test process witnessed",
  none: "log and exit code alone",
};

function gradeView(detail) {
  const { grade } = detail;
  const facts = [`verdict ${words(grade.verdict)}`, words(grade.consistency)];
  if (grade.consistency !== "unchecked") facts.push(WITNESSES[grade.witness]);
  if (grade.applied_by) facts.push("applied by " + grade.applied_by);
  if (grade.exit_code !== null) facts.push("exit code " + grade.exit_code);
  facts.push(count(grade.tests_seen) + " tests seen", duration(grade.duration_s));
  const list = (items, title) => (items.length ? [h("p", { class: "arg" }, title), h("ul", { class: "findings" }, items.map((text) => h("li", null, text)))] : null);
  const log = detail.test_log ? fold("Test log", false, block(detail.test_log, detail.folder + "/test.log")) : null;
  return section(
    "tests",
    "Tests",
    h("p", { class: "figures" }, facts.join(" · ")),
    list(grade.findings, "Findings"),
    list(grade.restored, "Files of the tests that the patch touched and grading put back"),
    h("div", { class: "beside" }, outcomes("To be fixed", grade.fail_to_pass), outcomes("To stay green", grade.pass_to_pass)),
    log,
  );
}

const LISTED_TESTS = 500;

function outcomes(title, tests) {
  const all = tests.success.length + tests.failure.length;
  const list = (names, mark, good) => h("ul", { class: "tests" }, names.slice(0, LISTED_TESTS).map((name) => h("li", null, h("span", { class: good ? "good" : "bad" }, mark), h("span", null, name))), names.length > LISTED_TESTS ? h("li", null, `and ${names.length - LISTED_TESTS} more in report.json`) : null);
  const passed = tests.success.length ? fold(`${tests.success.length} passed`, tests.success.length <= 8, list(tests.success, "✓", true)) : null;
  const failed = tests.failure.length ? fold(`${tests.failure.length} failed`, true, list(tests.failure, "✗", false)) : null;
  return h("div", { class: "half" }, h("h3", null, title, h("span", { class: "figures" }, all ? `${tests.success.length} of ${all} pass` : "none named")), failed, passed);
}

/** What the run itself tested, where nothing was graded. */
function testsView(logs) {
  const tested = logs.flatMap((log) => log.events.filter((event) => event.type === "tested"));
  tested.sort((a, b) => (a.phase === b.phase ? 0 : a.phase === "before" ? -1 : 1));
  return tested.length ? section("tests", "Tests", tested.map(testedView)) : null;
}

function timesView(logs, row) {
  const steps = logs.flatMap((log, index) => log.steps.filter((step) => step.planned).map((step) => ({ ...step, log: index })));
  if (!steps.length) return null;
  const sum = (key) => steps.reduce((total, step) => total + step[key], 0);
  const model = sum("model");
  const tools = sum("tools");
  const rest = Math.max(row.seconds - model - tools, 0);
  const all = Math.max(model + tools + rest, 0.001);
  const part = (name, value) => `${name} ${duration(value)} (${Math.round((value / all) * 100)} %)`;
  const text = [part("model", model), part("tools", tools), part("everything else", rest)].join(" · ");
  const plot = h("div", { class: "card" }, drawn(h("div", { class: "plot" }), (width) => stepTimes(steps, (step) => jump(step.log, step.turn + 1), width)));
  return section("times", "Timings", h("p", { class: "figures" }, text), plot, legend(["bar-model", "model, seconds"], ["bar-tools", "tools"]));
}

function stepsView(data, detail, logs) {
  // In an evaluation the agent's run is a folder in the instance's.
  const place = detail.folder + (logs.some((one) => one.name === "run") ? "/run" : "");
  const parts = logs.map((log, index) => {
    const context = {
      log: index,
      shared: data.shared,
      where: (event) => `${place}/${log.name.startsWith("attempt") ? log.name + "/" : ""}${event.full_output || "trajectory.jsonl"}`,
    };
    const problem = log.problem ? h("p", { class: "warning" }, "The log cannot be read further: " + log.problem) : null;
    const title = logs.length > 1 ? h("h3", { class: "attempt" }, log.name) : null;
    return [title, log.steps.map((step) => stepView(step, context)), problem];
  });
  if (!logs.length) parts.push(h("p", { class: "empty" }, "No trajectory lies beside this result."));
  const all = h("button", { type: "button", class: "plain", onclick: () => unfold(all) }, "Unfold all");
  return section("steps", "Steps", logs.length ? all : null, parts);
}

function unfold(button) {
  const open = button.textContent === "Unfold all";
  for (const one of document.querySelectorAll("#steps details")) one.open = open;
  button.textContent = open ? "Fold all" : "Unfold all";
}

function jump(log, number) {
  const target = document.getElementById(`step-${log}-${number}`);
  if (!target) return;
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}
