"""What every kind of sandbox promises of a command."""

from __future__ import annotations

import pytest

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.protocol import Sandbox, SandboxError


def test_a_sandbox_when_checked_is_one_of_the_protocol(sandbox: AttachedSandbox) -> None:
    assert isinstance(sandbox, Sandbox)


def test_run_when_a_command_succeeds_gives_its_output_and_code(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("echo out; echo err >&2; pwd")
    assert (done.exit_code, done.output.text()) == (0, f"out\nerr\n{sandbox.workdir}\n")
    assert done.output.complete
    assert not done.timed_out
    assert done.leftovers == 0


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 3", 3), ("false", 1), ("set -e; false; exit 0", 1), ("nosuchprogram-x", 127), ("(exit 255)", 255)],
)
def test_run_when_a_command_fails_gives_its_code(sandbox: AttachedSandbox, command: str, code: int) -> None:
    assert sandbox.run(command).exit_code == code


def test_run_when_a_command_kills_itself_gives_the_signal(sandbox: AttachedSandbox) -> None:
    assert sandbox.run("sh -c 'kill -9 $$'").exit_code == 137


def test_directory_and_variables_when_changed_persist(sandbox: AttachedSandbox) -> None:
    sandbox.run("mkdir -p 'new dir' && cd 'new dir' && export KEPT=\"it's\n'two' lines\" && other=lost && unset CI")
    done = sandbox.run('pwd; echo "$KEPT"; echo "[$other][$CI]"')
    assert done.output.text() == f"{sandbox.workdir}/new dir\nit's\n'two' lines\n[][]\n"
    assert done.cwd == f"{sandbox.workdir}/new dir"


def test_directory_and_variables_when_a_command_exits_or_fails_persist(sandbox: AttachedSandbox) -> None:
    sandbox.run("set -e; cd package; export KEPT_EXIT=1; false")
    assert sandbox.run('pwd; echo "$KEPT_EXIT"').output.text() == f"{sandbox.workdir}/package\n1\n"
    sandbox.run("export KEPT_EXIT=2; cd ..; exit 3")
    assert sandbox.run('pwd; echo "$KEPT_EXIT"').output.text() == f"{sandbox.workdir}\n2\n"


def test_directory_and_variables_when_a_command_times_out_stay_as_before_it(sandbox: AttachedSandbox) -> None:
    sandbox.run("cd package; export BEFORE=1")
    assert sandbox.run("cd /; export BEFORE=2; sleep 60", timeout_s=0.3).timed_out
    assert sandbox.run('pwd; echo "$BEFORE"').output.text() == f"{sandbox.workdir}/package\n1\n"


def test_directory_and_variables_when_a_probe_changes_them_do_not_persist(sandbox: AttachedSandbox) -> None:
    sandbox.run("cd package; export PROBED=1")
    sandbox.run("cd /; export PROBED=2", keep_state=False)
    assert sandbox.run('pwd; echo "$PROBED"').output.text() == f"{sandbox.workdir}/package\n1\n"


def test_directory_when_given_for_one_command_does_not_persist(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("pwd; export GIVEN=1; cd /", cwd=f"{sandbox.workdir}/package")
    assert done.output.text() == f"{sandbox.workdir}/package\n"
    assert sandbox.run('pwd; echo "$GIVEN"').output.text() == f"{sandbox.workdir}\n1\n"


def test_directory_when_the_given_one_is_missing_fails_the_command(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("echo ran", cwd="/no/such/place")
    assert done.exit_code != 0
    assert "/no/such/place" in done.output.text()
    assert "ran" not in done.output.text()


def test_directory_when_removed_falls_back_to_the_workspace(sandbox: AttachedSandbox) -> None:
    sandbox.run("mkdir new-gone && cd new-gone")
    sandbox.run(f"rmdir {sandbox.workdir}/new-gone")
    done = sandbox.run("pwd")
    assert done.exit_code == 0
    assert done.output.text().endswith(f"{sandbox.workdir}\n")


def test_directory_when_its_name_is_odd_persists(sandbox: AttachedSandbox) -> None:
    sandbox.run("mkdir 'new\nline \"q\" ü' && cd 'new\nline \"q\" ü'")
    assert sandbox.run("pwd").output.text() == f'{sandbox.workdir}/new\nline "q" ü\n'


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("cat <<'X'\n$HOME `a` \\\n  'b'\n\tc\nX\n", "$HOME `a` \\\n  'b'\n\tc\n"),
        ("cat <<X\n$((1 + 2))\nX", "3\n"),
        ("""printf '%s|' 'a b' "c'd" e\\ f""", "a b|c'd|e f|"),
        ("echo äöü 日本語 🙂 ÁÂ", "äöü 日本語 🙂 ÁÂ\n"),
        ("printf 'a\\\\b\\n'  # a comment", "a\\b\n"),
        ("# only a comment", ""),
        ("", ""),
        ("\n\necho late\n\n", "late\n"),
        ("echo a \\\n  b", "a b\n"),
        ("printf 'x\\ty\\r\\n'", "x\ty\r\n"),
        ("for i in 1 2; do\n  echo $i\ndone", "1\n2\n"),
        ("f() { echo in $1; return 4; }\nf x || echo $?", "in x\n4\n"),
        ("echo '\x01\x02\x7f\x81\x88 \u0081\u0088'", "\x01\x02\x7f\x81\x88 \u0081\u0088\n"),
        ("echo a; exit 0; echo b", "a\n"),
        ("set -- x y; echo $# $1", "2 x\n"),
        ("echo $#", "0\n"),
    ],
)
def test_text_of_a_command_when_odd_arrives_as_written(sandbox: AttachedSandbox, command: str, output: str) -> None:
    assert sandbox.run(command).output.head.decode() == output


def test_text_of_a_command_when_huge_arrives_whole(sandbox: AttachedSandbox) -> None:
    lines = "\n".join(f"line {number} äöü" for number in range(20_000))
    done = sandbox.run(f"wc -l <<'X' | tr -d ' '\n{lines}\nX\ncd package")
    assert done.output.text() == "20000\n"
    assert done.cwd.endswith("/package")


def test_text_of_a_command_when_it_does_not_parse_is_a_failed_command(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("echo 'unfinished")
    assert done.exit_code != 0
    assert sandbox.run("echo fine").output.text() == "fine\n"


def test_text_of_a_command_when_it_holds_a_nul_is_refused(sandbox: AttachedSandbox) -> None:
    with pytest.raises(SandboxError, match="NUL") as refused:
        sandbox.run("echo a\0b")
    assert refused.value.kind == "usage"


def test_a_command_when_it_looks_finds_nothing_of_ours(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("set | grep -i ostro_ | grep -v OSTRO_STEP; alias; trap | grep -v EXIT | grep -v ostro")
    assert "mark" not in done.output.text()
    listed = sandbox.run("set | grep -c '^ostro_'").output.text().strip()
    assert listed == "0"


def test_errors_of_bash_when_in_the_second_line_name_it(sandbox: AttachedSandbox) -> None:
    if not sandbox.has("bash"):
        pytest.skip("no bash in this one")
    assert "line 2: nosuchprogram" in sandbox.run("true\nnosuchprogram").output.text()


def test_stdin_when_none_is_given_is_empty(sandbox: AttachedSandbox) -> None:
    assert sandbox.run("cat; read x; echo $?").output.text() == "1\n"


@pytest.mark.parametrize("size", [0, 1, 4096, 3_000_001])
def test_stdin_when_given_arrives_byte_for_byte(sandbox: AttachedSandbox, size: int) -> None:
    data = bytes(number * 7 % 256 for number in range(min(size, 65536))) * (size // 65536 + 1)
    done = sandbox.run("cat", stdin=data[:size], head_bytes=size + 10)
    assert done.output.head == data[:size]


def test_output_when_binary_arrives_byte_for_byte(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("cat data.bin")
    assert done.output.head == bytes(range(256)) * 8


def test_output_when_large_keeps_head_and_tail_and_size(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done", head_bytes=100, tail_bytes=50)
    whole = "".join(f"line {number}\n" for number in range(30000)).encode()
    assert done.output.head == whole[:100]
    assert done.output.tail == whole[-50:]
    assert done.output.total_bytes == len(whole)
    assert done.output.spool is not None
    assert done.output.spool.read_bytes() == whole


def test_time_limit_when_passed_keeps_the_output_so_far(sandbox: AttachedSandbox) -> None:
    done = sandbox.run("echo before; sleep 60; echo after", timeout_s=0.5)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert done.output.text() == "before\n"
    assert 0.5 <= done.duration_s < 3


def test_environment_when_listed_is_ours_alone(sandbox: AttachedSandbox) -> None:
    names = {line.partition("=")[0] for line in sandbox.run("env", head_bytes=10**6).output.text().splitlines()}
    assert {"PAGER", "GIT_TERMINAL_PROMPT", "HOME", "PATH", "OSTRO_STEP", "LANG", "TERM"} <= names
    assert not {name for name in names if "KEY" in name or "TOKEN" in name or name.startswith("PYTEST")}


def test_has_when_asked_knows_what_is_on_the_path(sandbox: AttachedSandbox) -> None:
    assert sandbox.has("sh")
    assert not sandbox.has("nosuchprogram-x")
    assert not sandbox.has("-h")


def test_run_when_the_sandbox_is_closed_is_an_error(kind: str, own_sandbox: AttachedSandbox) -> None:
    own_sandbox.close()
    own_sandbox.close()
    with pytest.raises(SandboxError) as gone:
        own_sandbox.run("true")
    assert gone.value.kind == "gone"
