"""A second account of a test run, from inside its Python process (PYTEST_DONT_REWRITE).

The host writes this file into the grading sandbox, outside the workspace, under a random name (benchmarks/testimony.py)
and has Python import it at its start, before any module of the patched project. It takes a key that lies beside it,
counts what pytest or unittest report, and at the very end signs what it saw. A process that ends itself leaves no
account; a printed line is in no account; a runner that was rewritten while it ran is named in it.

Runs under whatever Python a task has (3.6 and later), with the standard library alone. It makes tampering evident, not
impossible: code of the patch shares the process.
"""

import atexit
import hashlib
import hmac
import json
import os
import re
import sys
from typing import Any

RUNNER_WORDS = re.compile("pytest|py.test|unittest|runtests|sympy|test")
PYTEST_WORDS = {"pytest", "py.test"}
UNITTEST_WORDS = {"unittest", "runtests.py", "manage.py"}
"""Programs or modules that a runner is started by, among the first words after the interpreter."""

PYTEST_PARTS = (
    ("pytest", ""),
    ("_pytest.runner", ""),
    ("_pytest.runner", "CallInfo"),
    ("_pytest.python", "Function"),
    ("_pytest.python", "pytest_pyfunc_call"),
    ("_pytest.reports", "TestReport"),
    ("_pytest.unittest", "TestCaseFunction"),
    ("_pytest.skipping", "pytest_runtest_makereport"),
    ("_pytest.main", "pytest_runtestloop"),
    ("_pytest.terminal", "TerminalReporter.pytest_runtest_logreport"),
    ("_pytest.raises", "RaisesExc"),
    ("_pytest.python_api", "RaisesContext"),
    ("_pytest.assertion.rewrite", "AssertionRewriter"),
    ("_pytest.assertion.rewrite", "AssertionRewritingHook"),
    ("pluggy._manager", "PluginManager"),
    ("pluggy.manager", "PluginManager"),
    ("pluggy._hooks", "HookCaller"),
    ("pluggy.hooks", "_HookCaller"),
    ("pluggy._caller", "HookCaller"),
    ("pluggy._callers", ""),
    ("pluggy._execution", ""),
    ("pluggy.callers", ""),
)
UNITTEST_PARTS = (
    ("unittest.case", "TestCase"),
    ("unittest.case", "_Outcome"),
    ("unittest.case", "_AssertRaisesBaseContext"),
    ("unittest.case", "_AssertRaisesContext"),
    ("unittest.loader", "TestLoader"),
    ("unittest.suite", "TestSuite"),
    ("unittest.result", "TestResult"),
    ("unittest.runner", "TextTestResult"),
    ("unittest.runner", "TextTestRunner"),
)
"""What decides how a test comes out: a function, or every function of a class or (named "") of a module."""

DECIDING_HOOKS = (
    "pytest_runtest_protocol",
    "pytest_runtest_call",
    "pytest_pyfunc_call",
    "pytest_runtest_makereport",
    "pytest_runtest_logreport",
    "pytest_report_teststatus",
    "pytest_sessionfinish",
)
NOT_FITTING = (AttributeError, AssertionError, ImportError, KeyError, RuntimeError, TypeError, ValueError)
"""What another version of a runner may raise at our canary; that is no evidence of anything."""


def places_of(module: str, name: str) -> "list[tuple[str, Any, str]]":
    """Return where the functions of a part are to be found: full name, holder, name in the holder."""
    found: Any = sys.modules.get(module)
    places: list[tuple[str, Any, str]] = []
    for part in name.split(".") if name else ():
        module += "." + part
        places.append((module, found, part))
        found = content_of(found).get(part)
    if isinstance(found, (type, type(sys))):
        places += [(module + "." + part, found, part) for part in content_of(found)]
    return places


def content_of(holder: Any) -> Any:
    """Return the names that a module or a class itself holds."""
    return getattr(holder, "__dict__", {})


def code_of(item: Any) -> Any:
    """Return the code that a collected test runs, None where the item does not hold it any more."""
    function = getattr(item, "__dict__", {}).get("_obj")
    return getattr(getattr(function, "__func__", function), "__code__", None)


class Witness:
    """Counts what the runner of this process reports, and signs the account when the process ends."""

    def __init__(self, folder: str, number: str, key: str) -> None:
        self._folder = folder
        self._number = number
        self._sign = hmac.new(key.encode(), digestmod=hashlib.sha256)
        self._process = os.getpid()
        self._before: dict[str, tuple[Any, str, Any, Any]] = {}
        self._addopts = os.environ.get("PYTEST_ADDOPTS")
        self.runner = ""
        self.exit_code: Any = None
        self.tests: list[tuple[str, str]] = []
        self.canary = "none"
        self._config: Any = None
        self._hooks: set[Any] = set()
        self._conftests: dict[str, bytes] = {}
        self._collected: list[tuple[Any, Any]] = []
        self._seen: set[str] = set()

    def watch(self, parts: "tuple[tuple[str, str], ...]") -> None:
        """Remember the functions that decide how a test came out."""
        for module, name in parts:
            for place in places_of(module, name):
                value = content_of(place[1]).get(place[2])
                code = getattr(getattr(value, "__func__", value), "__code__", None)
                if code is not None or isinstance(value, type):
                    self._before[place[0]] = (place[1], place[2], value, code)

    def changed(self) -> "list[str]":
        """Return those that are no longer what they were, now or when it was last looked at."""
        self.look()
        items = [item.nodeid for item, code in self._collected if code_of(item) not in (None, code)]
        return sorted(self._seen) + items

    def look(self) -> None:
        """Note what is not as it was: what is put back later was another all the same."""
        for full, (holder, name, value, code) in self._before.items():
            now = holder.__dict__.get(name)
            if now is not value or getattr(getattr(now, "__func__", now), "__code__", None) is not code:
                self._seen.add(full)
        if self._config is not None:
            new = self.note_hooks(self._config) - self._hooks
            self._seen.update(f"{name} of {plugin}" for name, plugin, _ in new)

    def note_hooks(self, config: Any) -> "set[Any]":
        """Return the functions that take part in how a test comes out, but for those of conftest files."""
        execute = getattr(config.pluginmanager, "_inner_hookexec", None)
        found: set[Any] = {("calls", "pluggy", getattr(getattr(execute, "__func__", execute), "__code__", None))}
        for name in DECIDING_HOOKS:
            for one in getattr(config.hook, name).get_hookimpls():
                if not self._of_conftest(name, one):
                    found.add((name, one.plugin_name, getattr(one.function, "__code__", None)))
        return found

    def _of_conftest(self, name: str, implementation: Any) -> bool:
        """Whether a hook stands in a conftest.py, which grading has put back; a plugin may call itself so, too."""
        file = getattr(implementation.plugin, "__file__", None) or ""
        if os.path.basename(file) != "conftest.py" or implementation.plugin_name.startswith("-"):
            return False
        if file not in self._conftests:
            with open(file, "rb") as source:
                self._conftests[file] = source.read()
        return name.encode() in self._conftests[file]

    def collection_begins(self, config: Any) -> None:
        """Remember the plugins: no code of the project but its conftest has run yet."""
        self._hooks = self.note_hooks(config)
        self._config = config

    def collected(self, items: "list[Any]") -> None:
        """Remember the code of each test."""
        self._collected = [(item, code_of(item)) for item in items]

    def invite_pytest(self, module: str) -> None:
        """Have pytest, if this becomes its process, load this very module as its first plugin."""
        os.environ["PYTEST_ADDOPTS"] = "-p {} {}".format(module, self._addopts or "").strip()

    def pytest_is_here(self) -> None:
        """Begin: pytest has loaded its own parts and nothing of the project yet."""
        if self._addopts is None:
            os.environ.pop("PYTEST_ADDOPTS", None)
        else:
            os.environ["PYTEST_ADDOPTS"] = self._addopts
        self.runner = "pytest"
        self.watch(PYTEST_PARTS + UNITTEST_PARTS)

    def watch_unittest(self) -> None:
        """Listen to the result object that every text runner of unittest and Django derives from."""
        import unittest

        self.runner = "unittest"
        result = unittest.TestResult
        for name, status in (
            ("addSuccess", "PASSED"),
            ("addFailure", "FAILED"),
            ("addError", "ERROR"),
            ("addSkip", "SKIPPED"),
            ("addExpectedFailure", "XFAIL"),
            ("addUnexpectedSuccess", "FAILED"),
        ):
            setattr(result, name, self._listening(getattr(result, name), status))
        self.watch(UNITTEST_PARTS)

    def _listening(self, original: Any, status: str) -> Any:
        def add(result: Any, test: Any, *rest: Any) -> Any:
            if os.getpid() == self._process and hasattr(result, "getDescription"):
                self.tests.append((str(result.getDescription(test)).replace("\n", "\0"), status))
            return original(result, test, *rest)

        return add

    def try_pytest(self, session: Any) -> None:
        """Run a test that must fail through pytest's own machinery, unseen by its terminal and its exit code."""

        def test_canary() -> None:
            raise AssertionError("canary")

        try:
            import pytest
            from _pytest.runner import runtestprotocol

            function: Any = pytest.Function
            item = function.from_parent(session, name="test_canary", callobj=test_canary)
            reports = runtestprotocol(item, log=False, nextitem=None)
            outcomes = [(report.when, report.outcome) for report in reports]
        except NOT_FITTING:
            return
        if ("call", "failed") in outcomes:
            self.canary = "failed"
        elif ("call", "passed") in outcomes or ("call", "skipped") in outcomes:
            self.canary = "passed"

    def try_unittest(self) -> None:
        """Run a test case that must fail."""
        unittest = sys.modules.get("unittest")
        if unittest is None or self.canary == "passed":
            return

        class Canary(unittest.TestCase):  # type: ignore[name-defined,misc]
            def runTest(self) -> None:  # noqa: N802  # unittest's name
                self.assertEqual(1, 2)  # noqa: PT009  # this is the method that must still fail

        result = unittest.TestResult()
        try:
            Canary().run(result)
        except NOT_FITTING:
            return
        self.canary = "failed" if result.failures or result.errors else "passed"

    def leave(self) -> None:
        """Write the signed account; forked children of this process have none to give."""
        if os.getpid() != self._process:
            return
        self.try_unittest()
        account = {
            "runner": self.runner,
            "exit_code": self.exit_code,
            "canary": self.canary,
            "changed": self.changed(),
            "tests": self.tests,
        }
        body = json.dumps(account).encode()
        self._sign.update(body)
        path = os.path.join(self._folder, "account-" + self._number)
        with open(path + ".new", "wb") as file:
            file.write(self._sign.hexdigest().encode() + b"\n" + body)
        os.rename(path + ".new", path)


_here: "list[Witness]" = []


def start(folder: str) -> None:
    """Be the witness of this process, if it is a test runner and a key is left; called by sitecustomize."""
    if folder in sys.path:
        sys.path.remove(folder)
    if not RUNNER_WORDS.search(_command_line()):
        return
    for name in sorted(os.listdir(folder)):
        if not name.startswith("key-"):
            continue
        path = os.path.join(folder, name)
        try:
            with open(path) as file:
                key = file.read()
            os.unlink(path)
        except OSError:
            continue
        _begin(Witness(folder, name[4:], key))
        return


def _command_line() -> str:
    with open("/proc/self/cmdline", "rb") as file:
        words = file.read().decode("utf-8", "replace").split("\0")
    return " ".join(words[1:]).replace("/testbed", "")


def _begin(witness: Witness) -> None:
    _here.append(witness)
    inherited = os.environ.pop("PYTHONPATH", "").split(os.pathsep)[1:]
    if inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join(inherited)
    atexit.register(witness.leave)
    started = {word.rpartition("/")[2] for word in _command_line().split(" ")[:4]}
    if UNITTEST_WORDS & started and not PYTEST_WORDS & started:
        witness.watch_unittest()
    else:
        witness.invite_pytest(__name__)


_worst: "dict[str, str]" = {}


def pytest_addoption() -> None:
    """Of the hooks, the first that pytest calls."""
    for witness in _here:
        witness.pytest_is_here()


def pytest_collection(session: Any) -> None:
    """Collection begins; returning nothing, this hook lets pytest go on."""
    for witness in _here:
        witness.collection_begins(session.config)


def pytest_collection_finish(session: Any) -> None:
    """All tests are known."""
    for witness in _here:
        witness.collected(session.items)


def pytest_collectreport(report: Any) -> None:
    """A module that cannot be collected is an error in pytest's summary."""
    if report.failed:
        _worst[report.nodeid] = "ERROR"


def pytest_runtest_logstart() -> None:
    """A test begins."""
    for witness in _here:
        witness.look()


def pytest_runtest_makereport(call: Any) -> None:
    """A phase of a test has ended, and nobody has said yet how; returning nothing leaves that to others."""
    for witness in _here if call.when == "call" else ():
        witness.look()


_FIRST = {"hookwrapper": False, "optionalhook": False, "tryfirst": True, "trylast": False, "specname": None}
vars(pytest_runtest_makereport)["pytest_impl"] = _FIRST
"""What pytest.hookimpl(tryfirst=True) does: pytest is not imported yet."""


def pytest_runtest_logreport(report: Any) -> None:
    """Take one phase of one test, as pytest's own terminal counts it."""
    expected = hasattr(report, "wasxfail")
    if report.failed:
        _worst[report.nodeid] = "FAILED" if report.when == "call" else "ERROR"
    elif report.skipped:
        _worst.setdefault(report.nodeid, "XFAIL" if expected else "SKIPPED")
    elif report.when == "call":
        _worst.setdefault(report.nodeid, "XPASS" if expected else "PASSED")


def pytest_sessionfinish(session: Any, exitstatus: Any) -> None:
    """Close the account of the tests."""
    for witness in _here:
        witness.tests = sorted(_worst.items())
        witness.exit_code = int(exitstatus)
        witness.look()
        witness.try_pytest(session)
