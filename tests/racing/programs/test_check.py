from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ScenarioError, UsageError
from lab.racing.programs.check import CommandCheck, FileCheck, PythonCheck, check_of
from lab.racing.programs.launch import name_of, program_of
from lab.scenario import Damage, Outcome
from tests.helpers import in_fresh_process, is_running
from tests.racing.programs.building import written

CHECK = """
from lab import Damage

def check(path, outcome):
    return Damage("lost", outcome.rounds - int(path.read_text()), outcome.rounds)
"""


LIMIT_S = 30.0


def checked(folder: Path, text: str) -> FileCheck:
    made = folder / "mine.py"
    made.write_text(text)
    return check_of(str(made))


def test_the_check_file_judges_the_file(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("3")
    assert checked(tmp_path, CHECK).judge(file, Outcome(5, [2, 3]), LIMIT_S) == [Damage("lost", 2, 5)]


def test_without_a_prepare_the_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    checked(tmp_path, CHECK).first_content(file, LIMIT_S)
    assert file.read_bytes() == b""
    checked(tmp_path, CHECK + "\ndef prepare(path):\n    path.write_text('7')\n").first_content(file, LIMIT_S)
    assert file.read_bytes() == b"7"


def test_nothing_appears_beside_the_check_file(tmp_path: Path) -> None:
    checked(tmp_path, CHECK)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.py"]


def test_all_damage_of_a_program_is_unexpected(tmp_path: Path) -> None:
    assert {checked(tmp_path, CHECK).expected(lock) for lock in ("its own", "none", "fcntl")} == {"clean"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", r"has no function check\(path, outcome\); define one"),
        ("check = 3\n", r"has no function check\(path, outcome\)"),
        (CHECK + "\nprepare = 3\n", r"has no function prepare\(path\)"),
        ("import nowhere_to_be_found\n", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit: 3"),
        ("\ndef check(:\n", "mine.py:2: invalid syntax; fix the file"),
        ("a = 'b\0'\n", "null bytes"),
    ],
)
def test_a_check_file_that_cannot_be_used_is_told(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        checked(tmp_path, text)


def test_a_check_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check_of(str(tmp_path / "missing.py"))
    with pytest.raises(UsageError, match="cannot be read"):
        PythonCheck(tmp_path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("check.py", PythonCheck),
        ("my check.py", PythonCheck),
        ("sh check.py", CommandCheck),
        ("./check.py {file}", CommandCheck),
        ("./check.sh", CommandCheck),
        ("test -s", CommandCheck),
    ],
)
def test_a_path_that_ends_in_py_is_a_python_file_and_all_else_a_command(
    text: str, kind: type[FileCheck], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("check.py", "my check.py", "check.sh"):
        written(tmp_path / name, "#!/bin/sh\n" if name == "check.sh" else CHECK).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert type(check_of(text)) is kind


ANSWERS: dict[str, Any] = {
    "exit 0": [0],
    "echo all is well; exit 0": [0, "all is well"],
    "exit 1": [1],
    'echo first; echo "is $(cat "$1"), not $2"; exit 1': [1, "first", "is 3, not 6"],
    "echo noted >&2; echo broken; exit 1": [1, "broken"],
    "echo crash >&2; exit 1": "check exited with 1 and printed to standard error only: crash; print what is broken to",
    "echo one >&2; echo two >&2; exit 2": "check exited with 2: two; exit with 0 where the file is right, and with 1 |"
    "the last lines of the check's standard error:\n  one\n  two",
    "echo said; exit 7": "check exited with 7: said; exit with 0",
    "kill -SEGV $$": "check was killed by SIGSEGV; fix it",
    "sleep 600": "check was still at work after 0.3 s; fix it, or raise --time-limit",
    "sleep 600 & echo $! >pid; exit 0": [0],
}
"""What a shell's script does, and the answer that it gives: the count and the evidence, or the error and its trace."""


def answers(folder: str, scripts: list[str]) -> list[object]:
    given: list[object] = []
    file = written(Path(folder, "data"), "3")
    for script in scripts:
        program = written(Path(folder, "check.sh"), f"#!/bin/sh\ncd {folder}\n{script}\n")
        check = check_of(f"{program} {{file}} {{rounds}}")
        try:
            ((kind, count, of, evidence),) = [
                (each.kind, each.count, each.of, each.evidence)
                for each in check.judge(file, Outcome(12, [6, 6]), 0.3 if "sleep 600" in script else LIMIT_S)
            ]
            assert (kind, of) == ("corrupted file", 1)
            given.append([count, *evidence])
        except ScenarioError as error:
            given.append(f"{error}|{error.trace}")
    return given


def test_a_command_answers_by_its_exit_code_and_what_it_prints(tmp_path: Path) -> None:
    given = in_fresh_process(answers, str(tmp_path), list(ANSWERS))
    for (script, wanted), came in zip(ANSWERS.items(), given, strict=True):
        if isinstance(wanted, list):
            assert came == wanted, script
        else:
            reason, _, trace = wanted.partition(" |")
            assert came.startswith(reason), script
            assert came.endswith(f"|{trace}"), script
    assert not is_running(int((tmp_path / "pid").read_text()))


def prepared(folder: str) -> list[str]:
    """The contents that commands write, of which one gets the file as its last argument; and what a failed one says."""
    file = written(Path(folder, "data"), "")
    check_of("true", "sh -c 'printf one >$0'").first_content(file, LIMIT_S)
    contents = [file.read_text()]
    check_of("true", "sh -c 'printf two >$1' - {file}").first_content(file, LIMIT_S)
    contents.append(file.read_text())
    check_of("true").first_content(file, LIMIT_S)
    contents.append(file.read_text())
    try:
        check_of("true", "sh -c 'echo full; exit 1'").first_content(file, LIMIT_S)
    except ScenarioError as error:
        contents.append(str(error))
    return contents


def test_a_command_writes_the_first_content(tmp_path: Path) -> None:
    failed = "prepare exited with 1: full; exit with 0"
    assert in_fresh_process(prepared, str(tmp_path)) == ["one", "two", "two", failed]


def test_a_path_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path / "mine.py", CHECK)
    written(tmp_path / "spool", "#!/bin/sh\n")
    assert isinstance(check_of("~/mine.py"), PythonCheck)
    assert program_of("~/spool {file} ~/x a~/b").words == (f"{tmp_path}/spool", "{file}", f"{tmp_path}/x", "a~/b")


NAMES = {
    "./spool {file}": "spool",
    "python3 spool.py {file}": "spool",
    "/usr/bin/python3.11 -u -W error bin/spool.py {file}": "spool",
    "python -m mail.spool {file}": "mail.spool",
    "python3 -c 'import x' {file}": "python3",
    "node --enable-source-maps -r ./hook.js spool.mjs {file}": "spool",
    "perl -w spool.pl {file}": "spool",
    "perl -e 'print 1' {file}": "perl",
    "./spool.sh {file}": "spool",
    "sh -eu ./spool.sh {file}": "spool",
    "bash -c './spool \"$1\"' - {file}": "spool",
    "bash -c 'exec flock {file}.lock ./spool {file}'": "spool",
    "sh -ec 'for i in 1 2; do ./spool {file}; done'": "sh",
    "sh -c 'n=$(cat $0); echo $n >$0' {file}": "sh",
    "sh {file}": "sh",
    "flock {file}.lock ./spool {file}": "spool",
    "flock -w 5 {file}.lock -c 'python3 spool.py {file}'": "spool",
    "env A=1 timeout -s KILL 5 nice -n 3 ./spool {file}": "spool",
    "java -jar spool.jar {file}": "spool",
    "go run spool.go {file}": "spool",
    "awk -f sum.awk {file}": "awk",
    "./spool-1.2 {file}": "spool-1.2",
    "env": "env",
}


@pytest.mark.parametrize("command", NAMES)
def test_a_case_is_named_after_the_program_and_not_after_what_runs_it(command: str) -> None:
    assert name_of(shlex.split(command)) == NAMES[command]
