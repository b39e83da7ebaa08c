// The table of instances: filtered by text, status and ending, sorted by any column. Its state stands in the address.

const COLUMNS = [
  { key: "id", name: "Instance", text: (row) => h("a", { href: linkTo(row) }, row.id) },
  { key: "status", name: "Status", text: (row) => pill(row.status) },
  { key: "ending", name: "Ending", wide: true, text: (row) => words(row.ending) },
  { key: "fixed", name: "Tests fixed", number: true, wide: true, text: (row) => (row.to_fix ? `${row.fixed} of ${row.to_fix}` : "–") },
  { key: "broken", name: "Broken", number: true, wide: true, text: (row) => (row.to_fix ? count(row.broken) : "–") },
  { key: "steps", name: "Steps", number: true, text: (row) => count(row.steps) },
  { key: "tokens", name: "Tokens", number: true, wide: true, text: (row) => count(row.tokens) },
  { key: "cost", name: "Cost", number: true, text: (row) => dollars(row.cost) },
  { key: "seconds", name: "Time", number: true, text: (row) => duration(row.seconds) },
  { key: "patch_bytes", name: "Patch", number: true, wide: true, text: (row) => bytes(row.patch_bytes) },
];

function linkTo(row) {
  return "#/instance/" + encodeURIComponent(row.id);
}

/** What the address says: `#/?q=text&status=resolved&ending=submitted&sort=-cost`. */
function tableState(query) {
  const given = new URLSearchParams(query);
  const sort = given.get("sort") || "id";
  const key = sort.replace(/^-/, "");
  return {
    q: given.get("q") || "",
    status: given.get("status") || "",
    ending: given.get("ending") || "",
    key: COLUMNS.some((column) => column.key === key) ? key : "id",
    down: sort.startsWith("-"),
  };
}

function tableQuery(state) {
  const query = new URLSearchParams();
  for (const name of ["q", "status", "ending"]) if (state[name]) query.set(name, state[name]);
  const sort = (state.down ? "-" : "") + state.key;
  if (sort !== "id") query.set("sort", sort);
  return query.toString();
}

/** The rows that the state lets through, in its order. */
function chosen(rows, state) {
  const needle = state.q.toLowerCase();
  const fits = (row) =>
    (!state.status || row.status === state.status) &&
    (!state.ending || row.ending === state.ending) &&
    (!needle || `${row.id} ${row.remark}`.toLowerCase().includes(needle));
  const sign = state.down ? -1 : 1;
  const order = (a, b) => (a[state.key] < b[state.key] ? -sign : a[state.key] > b[state.key] ? sign : 0);
  return rows.filter(fits).sort((a, b) => order(a, b) || (a.id < b.id ? -1 : 1));
}

/** The table with its filters. `keep(query)` puts the state into the address without leaving the page. */
function instanceTable(rows, state, keep) {
  const body = h("tbody");
  const told = h("p", { class: "told", role: "status" });
  const box = h("div");
  const head = h("tr");
  const search = h("input", {
    type: "search", id: "search", placeholder: "Filter by name", "aria-label": "Filter by name", value: state.q,
    oninput: () => change({ q: search.value }),
  });
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Status" });
  const endings = h("select", { "aria-label": "Ending", onchange: () => change({ ending: endings.value }) });
  const known = [...new Set(rows.map((row) => row.ending))].sort();
  endings.append(h("option", { value: "" }, "any ending"), ...known.map((name) => h("option", { value: name }, words(name))));

  function change(part) {
    Object.assign(state, part);
    keep(tableQuery(state));
    draw();
  }

  function chip(status, number) {
    const name = status ? STATUSES[status][1] : "all";
    const attributes = { type: "button", "aria-pressed": String(state.status === status), "data-status": status };
    return h("button", { ...attributes, onclick: () => change({ status }) }, name, h("b", null, number));
  }

  function header(column) {
    const active = state.key === column.key;
    const sort = active ? (state.down ? "descending" : "ascending") : null;
    const sign = active ? (state.down ? "↓" : "↑") : "";
    const press = () => change({ key: column.key, down: active ? !state.down : Boolean(column.number) });
    const arrow = h("i", { "aria-hidden": "true" }, sign);
    const button = h("button", { type: "button", onclick: press }, column.number ? [arrow, column.name] : [column.name, arrow]);
    return h("th", { class: classOf(column), scope: "col", "aria-sort": sort }, button);
  }

  function draw() {
    const focused = document.activeElement && head.contains(document.activeElement) ? [...head.children].findIndex((cell) => cell.contains(document.activeElement)) : -1;
    const pressed = document.activeElement && chips.contains(document.activeElement) ? document.activeElement.dataset.status : null;
    const shown = chosen(rows, state);
    const numbers = new Map();
    for (const row of rows) numbers.set(row.status, (numbers.get(row.status) || 0) + 1);
    const present = Object.keys(STATUSES).filter((status) => numbers.has(status));
    chips.replaceChildren(chip("", rows.length), ...present.map((status) => chip(status, numbers.get(status))));
    head.replaceChildren(...COLUMNS.map(header));
    body.replaceChildren(...shown.map(line));
    endings.value = state.ending;
    const all = `${rows.length} ${rows.some((row) => row.id.includes("@")) ? "sample" : "instance"}${rows.length === 1 ? "" : "s"}`;
    told.textContent = shown.length === rows.length ? all : `${shown.length} of ${all}`;
    if (focused >= 0) head.children[focused].querySelector("button").focus();
    if (pressed !== null) [...chips.children].find((button) => button.dataset.status === pressed)?.focus();
  }

  function line(row) {
    const go = (event) => {
      if (!event.target.closest("a") && !String(getSelection())) location.hash = linkTo(row);
    };
    const cells = COLUMNS.map((column) => h(column.key === "id" ? "th" : "td", { class: classOf(column), scope: column.key === "id" ? "row" : null }, column.text(row)));
    return h("tr", { "data-id": row.id, title: row.remark || null, onclick: go }, cells);
  }

  draw();
  const table = h("table", { class: "instances" }, h("thead", null, head), body);
  box.append(h("div", { class: "filters" }, search, endings, chips), told, table);
  return { box, pick: (ending) => change({ ending: state.ending === ending ? "" : ending }) };
}

function classOf(column) {
  return [column.number ? "number" : "", column.wide ? "wide" : ""].join(" ").trim() || null;
}
