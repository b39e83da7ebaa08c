// Patches: one file beside the same file of the gold patch.

/** Split a unified diff into files: name, and lines with their kind and numbers. */
function filesOf(text) {
  const files = [];
  let file = null;
  let left = 0;
  let right = 0;
  for (const line of text.split("\n")) {
    const start = /^diff --git a\/(.*?) b\/(.*)$/.exec(line);
    if (start) files.push((file = { name: start[2], lines: [], inHunk: false, added: 0, removed: 0 }));
    if (!file) continue;
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/.exec(line);
    if (hunk) {
      file.inHunk = true;
      left = Number(hunk[1]);
      right = Number(hunk[2]);
      file.lines.push({ kind: "hunk", text: hunk[3].trim() || "…", left: "", right: "" });
    } else if (file.inHunk && line.startsWith("+")) {
      file.added++;
      file.lines.push({ kind: "add", text: line.slice(1), left: "", right: right++ });
    } else if (file.inHunk && line.startsWith("-")) {
      file.removed++;
      file.lines.push({ kind: "del", text: line.slice(1), left: left++, right: "" });
    } else if (file.inHunk && line.startsWith(" ")) {
      file.lines.push({ kind: "same", text: line.slice(1), left: left++, right: right++ });
    } else if (!start && line && !/^(index|---|\+\+\+) /.test(line)) {
      file.lines.push({ kind: "info", text: line, left: "", right: "" });
    }
  }
  return files;
}

/** One file's change as a table with line numbers. */
function diffTable(file) {
  const rows = file.lines.map((line) =>
    h("tr", { class: line.kind }, h("td", { class: "no" }, line.left), h("td", { class: "no" }, line.right), h("td", { class: "code" }, line.text)),
  );
  return h("div", { class: "scroll", tabindex: "0" }, h("table", { class: "diff" }, h("tbody", null, rows)));
}

function diffHead(file, title) {
  const figures = [h("span", { class: "plus" }, "+" + file.added), h("span", { class: "minus" }, "−" + file.removed)];
  return h("p", { class: "diff-head" }, title ? h("span", { class: "side" }, title) : null, figures);
}

/** The patch; beside it gold, file by file, where gold is known. */
function patchView(detail, row) {
  const ours = filesOf(whole(detail.patch));
  const gold = filesOf(whole(detail.gold));
  const file = detail.folder + "/patch.diff";
  const parts = [];
  if (typeof detail.patch !== "string") parts.push(h("p", { class: "note" }, `The middle of the patch is left out here; all of it is in ${file}.`));
  if (!ours.length && !whole(detail.patch)) parts.push(h("p", { class: "empty" }, "No patch."));
  else if (!ours.length) parts.push(block(detail.patch, file));
  const names = [...new Set([...ours, ...gold].map((one) => one.name))];
  for (const name of names) parts.push(fileView(name, ours.find((one) => one.name === name), gold.find((one) => one.name === name), gold.length > 0));
  return section("patch", gold.length ? "Patch and gold" : "Patch", parts);
}

function fileView(name, ours, gold, both) {
  const title = h("span", { class: "path" }, name);
  if (!both) return fold([title, diffHead(ours, "")], true, diffTable(ours));
  const side = (file, text) =>
    h("div", { class: "half" }, file ? [diffHead(file, text), diffTable(file)] : [h("p", { class: "diff-head" }, h("span", { class: "side" }, text)), h("p", { class: "empty" }, "not touched")]);
  const open = Boolean(ours && gold) || Boolean(gold) || ours.lines.length < 200;
  return fold(title, open, h("div", { class: "beside" }, side(ours, "this run"), side(gold, "gold")));
}
