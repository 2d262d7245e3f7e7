from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

import lab
from lab.cli import list as list_command
from lab.cli.completion import SHELLS
from lab.cli.main import epilog_of, main, parse, whole_parser
from lab.commands import COMMANDS
from lab.errors import ExitCode
from lab.output import lab_command, shell_line
from tests.cli.commands import QUICK, refusal, start_lab
from tests.helpers import PATIENCE_S, ROOT, run_lab
from tests.needs import need_program


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_80_columns_and_ends_with_the_files_written_and_the_exit_codes(name: str) -> None:
    asked = (
        [["help", name], [name, "--help"], ["--color", "never", "help", name]] if name else [[], ["help"], ["--help"]]
    )
    first, *others = (run_lab(*words, env={"COLUMNS": "80"}) for words in asked)
    assert (first.returncode, first.stderr) == (0, "")
    assert [other.stdout for other in others] == [first.stdout] * len(others)
    assert [line for line in first.stdout.splitlines() if len(line) > 80] == []
    epilog = epilog_of(COMMANDS[name]) if name else ExitCode.explained()
    assert squeezed(first.stdout).endswith(squeezed(epilog))


def squeezed(text: str) -> str:
    """The text without the line breaks that the width of the terminal makes."""
    return " ".join(text.split())


def test_the_script_does_what_the_module_does() -> None:
    script = Path(sys.executable).with_name("lab")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (0, f"lab {lab.__version__}\n")
    assert run_lab("-V").stdout == done.stdout


def test_the_script_finds_a_lock_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from contextlib import nullcontext\n\n\ndef lock(path):\n    return nullcontext()\n"
    )
    raced = ["race", "counter", "--lock", "mine:lock", "--faults", "none", "--no-save", *QUICK, "--json", "-"]
    script = Path(sys.executable).with_name("lab")
    done = subprocess.run(
        [script, *raced], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert json.loads(done.stdout)["cases"][0]["lock"] == "mine:lock", done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rice", "unknown command 'rice'; did you mean race?"),
        ("--color always rice", "unknown command 'rice'; did you mean race?"),
        ("race --wrokers 2", "unknown option '--wrokers'; did you mean --workers?; see lab race --help"),
        ("race --work 2", "unknown option '--work'; did you mean --workers?; see lab race --help"),
        (
            "race --lock fcntl,,flock",
            "argument --lock: an empty name in 'fcntl,,flock'; separate names by one comma; see lab race --help",
        ),
        ("list --dir . more", "unrecognized arguments: more; see lab list --help"),
        ("--color never", "give a COMMAND; see lab --help"),
    ],
)
def test_wrong_usage_is_one_line_with_the_nearest_right_one(words: str, said: str) -> None:
    assert refusal(2, *words.split()).splitlines()[-1] == f"lab: {said}"


@pytest.mark.parametrize(
    "words",
    ["--lock fcntl,flock -w 2,4", "--lock fcntl --lock flock,fcntl -w 2 --workers 4", "--lock fcntl,flock -w2,4"],
)
def test_a_list_is_separated_by_commas_or_repeated(words: str) -> None:
    parsed = parse(["race", "-n", "7", *words.split()])
    assert (parsed.lock, parsed.workers, parsed.rounds) == (["fcntl", "flock"], [2, 4], 7)


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [
        ((), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color=never",), {"FORCE_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": ""}, False),
    ],
)
def test_colour_is_as_chosen_or_as_the_environment_says(
    options: tuple[str, ...], env: dict[str, str], coloured: bool
) -> None:
    done = run_lab(*options, "report", ROOT / "results/reference.json", env=env)
    assert done.returncode == 0
    assert ("\x1b[" in done.stdout) == coloured


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_s_completion_has_every_command_and_option(shell: str) -> None:
    printed = run_lab("completion", shell).stdout
    words = [*COMMANDS, "counterexamples", "fail-slower"]
    assert [word for word in words if word not in printed] == []
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=printed, text=True, timeout=PATIENCE_S, check=True)


COMPLETED = {"lab ra": "race", "lab race --loc": "--lock --locked", "lab race --pin ": "none spread one"}


@pytest.mark.parametrize("typed", COMPLETED)
def test_bash_completes_commands_options_and_values(typed: str) -> None:
    """The function that bash calls on a TAB (bash(1), Programmable Completion)."""
    need_program("/bin/bash")
    script = (
        run_lab("completion", "bash").stdout
        + """
    words=($TYPED); case "$TYPED" in *" ") words+=("");; esac
    COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
    _shtab_lab lab "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[@]}"
    """
    )
    done = subprocess.run(
        ["/bin/bash", "--norc"],
        input=script,
        env={"TYPED": typed},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout.split() == COMPLETED[typed].split()


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command."""
    (made,) = [each for each in whole_parser()._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(made.choices)


@pytest.mark.parametrize("option", ["--check", "--json", "-o", "--dir", "--save", "--seed", "--lock", "--format", "-q"])
def test_an_option_has_one_meaning_in_every_command(option: str) -> None:
    """All options of one name have the same long name, and a value of the same kind or none."""
    actions = [each for parser in parsers().values() for each in parser._actions if option in each.option_strings]
    assert actions
    assert len({(tuple(each.option_strings), each.nargs == 0) for each in actions}) == 1
    assert len({str(each.metavar or "") for each in actions}) == 1


WRITING = {
    "--json", "--save", "--no-save", "--output", "--html", "--junit", "--sarif", "--trace", "--keep",
    "--export-markdown",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option_that_writes_a_file(name: str) -> None:
    options = {option for each in parsers()[name]._actions for option in each.option_strings}
    assert set(re.findall(r"--[a-z-]+", COMMANDS[name].writes)) == options & WRITING


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ("here", "lab"),
        ("link", "lab"),
        ("other", "{here}/lab"),
        ("", "{here}/lab"),
        ("no script", "{here}/python -m lab"),
    ],
)
def test_the_command_to_paste_calls_this_lab_from_any_folder(
    scripts: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other, link = (tmp_path / name for name in ("h ere", "other", "link"))
    for folder in (here, other):
        folder.mkdir()
        (folder / "lab").touch(0o755)
    link.mkdir()
    (link / "lab").symlink_to(here / "lab")
    if scripts == "no script":
        (here / "lab").unlink()
    monkeypatch.setattr(sys, "executable", str(here / "python"))
    monkeypatch.setenv("PATH", str({"here": here, "other": other, "link": link}.get(scripts, tmp_path)))
    words = shlex.split(lab_command())
    assert " ".join(words) == expected.format(here=here)


def test_a_line_to_paste_keeps_the_home_directory_and_quotes_the_rest() -> None:
    assert shell_line(["lab", "race", "--program", "~/my prog {file}", "a'b"]) == (
        "lab race --program ~/'my prog {file}' 'a'\"'\"'b'"
    )


def test_help_names_every_option_of_race() -> None:
    told = run_lab("race", "--help").stdout
    options = [
        "--lock ", "--locked", "--unlocked", "--counterexamples", "--workers", "--rounds", "--trials", "--dir",
        "--seed", "--pin", "--window", "--leak", "--time-limit", "--format", "--json", "--save", "--no-save", "--quiet",
    ]  # fmt: skip
    assert [option for option in options if option not in told] == []


@pytest.mark.parametrize("order", [["--traceback", "report", "missing"], ["report", "missing", "--traceback"]])
def test_traceback_is_taken_before_and_after_the_command(order: list[str]) -> None:
    done = run_lab(*order)
    assert done.returncode == 2
    assert "UsageError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lab: missing: cannot be read")


def test_an_error_without_memory_is_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(list_command, "run", exhausted)
    told = StringIO()
    with redirect_stderr(told):
        assert main(["list"]) == 3
    assert told.getvalue() == "lab: no memory is left; ask for less, or raise the limit (ulimit -v)\n"


def without_a_reader(*command: str) -> tuple[int, str]:
    """The exit code and the stderr of a command whose stdout is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    begun = start_lab(*command, stdout=write)
    os.close(write)
    _, told = begun.communicate(timeout=PATIENCE_S)
    return begun.returncode, told


@pytest.mark.parametrize("command", [["list"], ["race", "counter", *QUICK]])
def test_a_reader_that_went_away_ends_the_program_without_a_word(command: list[str]) -> None:
    assert without_a_reader(*command) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_race_whose_document_nobody_reads_still_ends_with_its_own_exit_code(
    unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    assert without_a_reader("race", "counter", "--locked", *QUICK, "--json", "-") == (0, "")
