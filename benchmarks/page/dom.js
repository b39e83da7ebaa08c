// Elements, and figures for people. Whatever comes from the data becomes a text node, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. A string or number among the children becomes a text node; null is left out. */
function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a part of a drawing. */
function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(String(child))));
  }
  return element;
}

const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** Show characters that hide text or turn its direction as escapes; drop colours and the CR of a line ending. */
function visible(text) {
  return text
    .replace(/\u001b\[[0-9;]*m/g, "")
    .replace(/\r\n/g, "\n")
    .replace(UNSEEN, (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0"));
}

const STATUSES = {
  resolved: ["✓", "resolved"],
  partial: ["◐", "partial"],
  unresolved: ["✗", "unresolved"],
  patch_failed: ["✗", "patch failed"],
  empty_patch: ["○", "empty patch"],
  test_timeout: ["✗", "test time-out"],
  inconsistent: ["!", "inconsistent"],
  suspect: ["!", "suspect"],
  infra: ["!", "infrastructure"],
  not_final: ["…", "no result yet"],
  quarantined: ["–", "quarantined"],
};

function pill(status) {
  const [sign, name] = STATUSES[status] || ["", words(status)];
  return h("span", { class: "pill", "data-status": status }, h("i", { "aria-hidden": "true" }, sign), name);
}

function words(name) {
  return String(name).replace(/_/g, " ");
}

function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

function percent(share) {
  return (share * 100).toFixed(1) + " %";
}

/** Cents where they say enough, more digits for small sums; the same rule as on the terminal. */
function dollars(amount) {
  return "$" + amount.toFixed(amount >= 1 || amount === 0 ? 2 : 4);
}

function duration(value) {
  if (value < 10) return value.toFixed(1) + " s";
  const whole = Math.round(value);
  if (whole < 60) return whole + " s";
  const pad = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return Math.floor(whole / 60) + " min " + pad(whole % 60) + " s";
  return Math.floor(whole / 3600) + " h " + pad(Math.floor((whole % 3600) / 60)) + " min";
}

function bytes(value) {
  if (value < 1000) return value + " B";
  return value < 1e6 ? (value / 1000).toFixed(1) + " kB" : (value / 1e6).toFixed(1) + " MB";
}

/** A text that may have been cut: {head, tail, left_out}. */
function whole(text) {
  return typeof text === "string" ? text : text.head + "\n" + text.tail;
}

/** Show a text as it is, and where it was cut, how much is missing and which file has it. */
function block(text, where, className) {
  const attributes = { class: "text " + (className || ""), tabindex: "0" };
  if (typeof text === "string") return h("pre", attributes, text.replace(/\n$/, ""));
  const note = count(text.left_out) + " characters are left out here" + (where ? "; all of it is in " + where : "");
  return h("pre", attributes, text.head, h("span", { class: "cut" }, note), text.tail.replace(/\n$/, ""));
}

/** A part that can be folded. */
function fold(summary, open, ...children) {
  return h("details", { open }, h("summary", null, summary), children);
}

function section(id, title, ...children) {
  return h("section", { id, "aria-labelledby": id + "-title" }, h("h2", { id: id + "-title" }, title), children);
}
