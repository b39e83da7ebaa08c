// Reads the data, shows the page that the address names, and listens to keys.

const data = JSON.parse(document.getElementById("overview").textContent);
const page = document.getElementById("page");
let lastQuery = "";
let current = -1;

/** Unpack what belongs to one instance. */
async function detailOf(index) {
  const packed = document.getElementById("chunk-" + index).textContent;
  const raw = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** `#/?filters`, or `#/instance/ID` and `#/instance/ID/step/N`. */
function route(hash) {
  const parts = hash.replace(/^#\/?/, "").split("/");
  if (parts[0] === "instance" && parts.length > 1) {
    const index = data.rows.findIndex((row) => [row.id, encodeURIComponent(row.id)].includes(parts[1]));
    return { index, step: parts[2] === "step" ? parts[3] : "" };
  }
  return { index: data.single ? 0 : -1, step: parts[0] === "step" ? parts[1] : "", query: hash.split("?")[1] || "" };
}

async function show() {
  const { index, step, query } = route(location.hash);
  current = index;
  let parts;
  if (index < 0) {
    lastQuery = query || "";
    parts = overviewPage(data, lastQuery);
  } else {
    const detail = await detailOf(index);
    if (current !== index) return;
    parts = instancePage(data, index, detail, step);
  }
  document.title = index < 0 || data.single ? "Ostro: " + data.title : data.rows[index].id + " – " + data.title;
  page.replaceChildren(...parts.flat(Infinity).filter((part) => part instanceof Node));
  page.dataset.ready = location.hash || "#/";
  if (!step) scrollTo(0, 0);
}

const THEMES = ["auto", "light", "dark"];

function themeButton() {
  const button = h("button", { type: "button", class: "plain theme" });
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = "Theme: " + theme;
  };
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    apply(next);
    remember(next);
  });
  apply(document.documentElement.dataset.theme || "auto");
  return button;
}

/** A page opened as a file may have no storage; the choice then lasts as long as the page. */
function remember(theme) {
  try {
    localStorage.setItem("ostro-theme", theme);
  } catch {
    return;
  }
}

function remembered() {
  try {
    return localStorage.getItem("ostro-theme");
  } catch {
    return null;
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  const next = { j: current + 1, k: current - 1 }[event.key];
  if (current >= 0 && !data.single && next !== undefined && data.rows[next]) location.hash = linkTo(data.rows[next]);
  else if (event.key === "Escape" && current >= 0 && !data.single) location.hash = "#/" + (lastQuery ? "?" + lastQuery : "");
  else if (event.key === "/" && current < 0) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
}

if (THEMES.includes(remembered()) && remembered() !== "auto") document.documentElement.dataset.theme = remembered();
addEventListener("hashchange", show);
addEventListener("keydown", onKey);
show();
