// The first page: the score with its interval, what it took, three plots, the table, and what ran.

function overviewPage(data, query) {
  const state = tableState(query);
  const table = instanceTable(data.rows, state, (text) => history.replaceState(null, "", "#/" + (text ? "?" + text : "")));
  const pick = (ending) => {
    table.pick(ending);
    table.box.scrollIntoView({ block: "start" });
  };
  return [
    topBar(h("h1", null, data.title), h("p", { class: "sub" }, subtitle(data.manifest))),
    score(data),
    data.rows.length ? plots(data.rows, pick) : null,
    section("instances", "Instances", table.box),
    remarks(data),
    ran(data),
  ];
}

function subtitle(manifest) {
  const parts = [manifest.model, manifest.dataset, manifest.sandbox, manifest.started.replace("T", " ").slice(0, 16)];
  return parts.filter(Boolean).join(" · ");
}

function topBar(...children) {
  return h("header", { class: "top" }, h("div", { class: "title" }, children), themeButton());
}

function score(data) {
  const { summary } = data;
  const { rate } = summary;
  const figure = h("p", { class: "score" }, h("b", null, trimmed(rate.resolved)), ` of ${rate.instances} resolved`);
  const { low, high } = rate.interval;
  const exact = summary.final
    ? `${percent(rate.share)}, 95 % interval ${percent(low)} to ${percent(high)}`
    : `between ${percent(rate.share)} and ${percent(summary.at_most.share)} once everything is in`;
  const main = h("div", { class: "main" }, figure, rateBar(rate, summary.at_most), h("p", { class: "sub" }, exact));
  const warning = summary.final ? null : h("p", { class: "warning", role: "status" }, data.headline);
  return [warning, h("div", { class: "score-row" }, main, tiles(summary))];
}

function tiles(summary) {
  const per = summary.cost_per_resolved_usd;
  const entries = [
    ["Cost", dollars(summary.spent_usd), per === null ? "nothing resolved" : dollars(per) + " per resolved"],
    ["Tokens", short(summary.tokens.total), percent(summary.tokens_cached / Math.max(summary.tokens_input, 1)) + " of input cached"],
    ["Steps", trimmed(summary.steps.median), `median; p95 ${trimmed(summary.steps.p95)}`],
    ["Time", duration(summary.seconds.median), `median; p95 ${duration(summary.seconds.p95)}`],
  ];
  for (const [k, share] of Object.entries(summary.pass_at)) {
    if (k > 1) entries.push([`pass@${k}`, percent(share), `pass^${k} ${percent(summary.pass_hat[k])}`]);
  }
  return h("dl", { class: "tiles" }, entries.map(([name, value, note]) => h("div", null, h("dt", null, name), h("dd", null, value), h("dd", { class: "note" }, note))));
}

function plots(rows, pick) {
  const card = (title, ...children) => h("figure", { class: "card" }, h("figcaption", null, title), children);
  const both = () => legend(["bar-resolved", "resolved"], ["bar-other", "not resolved"]);
  return h(
    "div",
    { class: "plots" },
    card("Resolved against cost", drawn(h("div", { class: "plot" }), (width) => resolvedByCost(rows, width)), legend(["bar-resolved", "resolved within the cost"], ["missed-key", "an instance that is not"])),
    card("Steps", drawn(h("div", { class: "plot" }), (width) => stepsHistogram(rows, width)), both()),
    card("Endings", endingBars(rows, pick), both()),
  );
}

/** What a reader must know of single instances: quarantine, infrastructure, and those that are missing. */
function remarks(data) {
  const entries = data.rows.filter((row) => row.remark).map((row) => [row.id, row.status, row.remark]);
  for (const id of data.missing) entries.push([id, "not_final", "no result yet"]);
  if (!entries.length) return null;
  const lines = entries.map(([id, status, text]) => h("li", null, h("span", null, id), pill(status), h("span", null, text)));
  return section("remarks", "Not counted as they are", h("ul", { class: "remarks" }, lines));
}

function ran(data) {
  const facts = h("ul", null, data.facts.map((text) => h("li", null, text)));
  const rows = Object.entries(data.manifest).map(([key, value]) => h("tr", null, h("th", { scope: "row" }, words(key)), h("td", null, flat(value))));
  return section("ran", "What ran", facts, fold("Manifest", false, h("table", { class: "manifest" }, h("tbody", null, rows))));
}

function flat(value) {
  if (value === null || value === "") return "–";
  return typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
}
