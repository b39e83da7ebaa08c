// A second account of a Jest run: every node process of the tests loads this file first (benchmarks/stands.py). The one
// that is Jest itself takes a key that lies beside, has Jest write what its tests came to, and signs that at its end.
"use strict";

const { createHmac } = require("crypto");
const fs = require("fs");
const path = require("path");

const own = `--require=${__filename}`;
process.env.NODE_OPTIONS = (process.env.NODE_OPTIONS || "").replace(own, "").trim();
if (!process.env.NODE_OPTIONS) delete process.env.NODE_OPTIONS;

const STATUSES = { passed: "PASSED", failed: "FAILED" };
const isJest = /[\\/](jest|jest\.js)$/.test(process.argv[1] || "");
const asked = process.argv.some((word) => /^--(json|outputFile|watch|listTests|version|help|init|showConfig)/.test(word));

function takeKey() {
  for (const name of fs.readdirSync(__dirname)) {
    if (!name.startsWith("key-")) continue;
    const file = path.join(__dirname, name);
    try {
      const key = fs.readFileSync(file, "utf8");
      fs.unlinkSync(file);
      return { key, number: name.slice(4) };
    } catch {
      continue;
    }
  }
  return null;
}

function testsOf(report) {
  const cases = report.testResults.flatMap((file) => file.assertionResults);
  return cases.map((one) => [one.title, STATUSES[one.status] || "SKIPPED"]);
}

function watch({ key, number }) {
  const told = path.join(__dirname, `told-${number}`);
  const words = ["--json", `--outputFile=${told}`];
  process.argv.splice(2, 0, ...words);
  setImmediate(() => process.argv.splice(2, words.length)); // Jest has read them; the tests need not
  process.on("exit", (code) => {
    if (!fs.existsSync(told)) return;
    const report = JSON.parse(fs.readFileSync(told, "utf8"));
    const account = { runner: "jest", exit_code: code, canary: "none", changed: [], tests: testsOf(report) };
    const body = Buffer.from(JSON.stringify(account));
    const signature = createHmac("sha256", key).update(body).digest("hex");
    fs.writeFileSync(path.join(__dirname, `account-${number}`), Buffer.concat([Buffer.from(`${signature}\n`), body]));
  });
}

const taken = isJest && !asked ? takeKey() : null;
if (taken) watch(taken);
