"""How the tests of one instance are run: a shell text, and how to find its output and exit code in what it prints.

Rows with `environment_setup` have one test command, whose output and exit code the sandbox gives as they are. Rows of
swebench 5 have a whole script that prints markers around the tests; those are made unguessable first.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from ostro.benchmarks import official
from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.verdict import EvalType

START = ">>>>> Start Test Output"
END = ">>>>> End Test Output"
EXIT = ">>>>> Test Exit Code"

DETERMINISTIC = {"TZ": "UTC", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
"""So that a test that passed once does so again; a row's own variables win."""


@dataclass(frozen=True)
class TestPlan:
    """What to run.

    Attributes:
        command: the text that runs the tests; of a script, the part between its markers too.
        script: a whole script that also applies the test patch; "" where `command` is all.
        nonce: what the script's markers end with.
    """

    __test__ = False  # not a test class for pytest

    command: str
    parser: str
    eval_type: EvalType = "pass_and_fail"
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    script: str = ""
    nonce: str = ""

    def output_of(self, printed: str, exit_code: int) -> tuple[str, int | None]:
        """Return what the tests printed and their exit code, out of what the whole text printed.

        A script whose markers are not all there gives no test output: ("", None).
        """
        if not self.script:
            return printed, exit_code
        parts = re.split(rf"^.*>>>>> (?:Start|End) Test Output {self.nonce}.*$", printed, flags=re.MULTILINE)
        codes = re.findall(rf"^{EXIT} {self.nonce}: (\d+)$", printed, re.MULTILINE)
        if len(parts) < 3 or not codes:
            return "", None
        return parts[1], int(codes[-1])


def plan_of(instance: Instance) -> TestPlan:
    """Return how the tests of `instance` are run.

    Raises:
        InstanceError: the row does not say.
    """
    if instance.setup is not None:
        setup = instance.setup
        return TestPlan(setup.test_cmd, setup.log_parser, instance.eval_type, DETERMINISTIC | setup.env)
    if instance.eval_script:
        if not instance.log_parser:
            raise InstanceError(f"{instance.instance_id}: the row has an eval_script but no log_parser")
        nonce = secrets.token_hex(16)
        script, command = _marked(instance, nonce)
        return TestPlan(command, instance.log_parser, instance.eval_type, DETERMINISTIC, script, nonce)
    tests = official.project_tests(instance)
    return TestPlan(f"{official.ACTIVATE}\n{tests.command}", tests.parser, env=DETERMINISTIC)


def _marked(instance: Instance, nonce: str) -> tuple[str, str]:
    """Return the script with unguessable markers that records the exit code of its tests, and the part between them."""
    lines = instance.eval_script.strip().split("\n")
    starts = [number for number, line in enumerate(lines) if START in line]
    ends = [number for number, line in enumerate(lines) if END in line]
    if not starts or not ends or starts[0] > ends[0]:
        raise InstanceError(f"{instance.instance_id}: the eval_script has no markers around its tests")
    marked = [line.replace(START, f"{START} {nonce}").replace(END, f"{END} {nonce}") for line in lines]
    marked[ends[0]] = f'ostro_code=$?\n{marked[ends[0]]}\necho "{EXIT} {nonce}: $ostro_code"'
    return 'rm -f -- "$0"\n' + "\n".join(marked) + "\n", "\n".join(lines[starts[0] + 1 : ends[0]])
