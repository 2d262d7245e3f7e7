"""`check`: its options, its documents, and how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from lab import records as results
from lab.checking.guarantees import GROUPS, GUARANTEES
from lab.checking.request import PARTS
from lab.checking.rules import RULES
from lab.records import Check, CheckOptions
from tests.checking.mounts import FILESYSTEMS
from tests.cli.commands import Terminal, refusal, start_lab, working_lab
from tests.helpers import PATIENCE_S, has_made, in_fresh_process, run_lab
from tests.report.checked_records import check_of, guarantee

QUICK = ("--only", "modes,rules")
"""Six rules that wait for nobody."""


@contextmanager
def mounted(name: str) -> Iterator[list[Path]]:
    """The directories of a filesystem; skips where it cannot be had."""
    with ExitStack() as stack:
        found = stack.enter_context(FILESYSTEMS[name]())
        yield list(found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    return made


def document(*args: str | Path) -> dict[str, Any]:
    """The document of a check with these arguments."""
    done = run_lab("check", *args, "--json", "-")
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_its_document_and_its_junit_file_are_kept_in_the_results_folder_unless_told_otherwise(place: Path) -> None:
    Path("results").mkdir()
    run_lab("check", place, *QUICK, "--no-save", "--junit", "check.xml", "--json", "check.json")
    assert list(Path("results").iterdir()) == []
    made = json.loads(Path("check.json").read_text())
    assert made["guarantees"][0].keys() >= {"name", "verdict", "strength", "evidence"}
    assert made["rules"][0].keys() >= {"number", "sentence", "verdict", "observed"}
    assert (made["safe"], made["directories"], made["command"]) == (True, [str(place)], "check")
    (suite,) = Xml.parse("check.xml").getroot()  # noqa: S314 - ours
    assert (suite.attrib["name"], suite.attrib["failures"], len(suite)) == ("modes", "0", 1 + len(made["rules"]))
    run_lab("check", place, *QUICK)
    (kept,) = Path("results").iterdir()
    assert kept.name.startswith("check-")
    assert isinstance(results.load_any(kept), Check)


# Safe, unsafe, and what is printed of it


def test_a_directory_that_keeps_what_is_asked_ends_with_0_and_holds_nothing_afterwards(place: Path) -> None:
    (place / "theirs").write_text("kept")
    assert run_lab("check", place, *QUICK, "--quiet").stdout == ""
    done = run_lab("check", place, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    told = " ".join(done.stdout.split())
    assert "Safe for all that was asked: modes. Not asked: posix, ofd, flock, ranges, ownership," in told
    assert told.endswith(
        "(takes a second mount of the filesystem); what a crash or a power loss leaves (no check asks)."
    )
    assert [entry.name for entry in place.iterdir()] == ["theirs"]
    assert (place / "theirs").read_text() == "kept"


def test_two_mounts_of_a_server_without_locks_are_unsafe() -> None:
    with mounted("fuse_no_lock_two") as pair:
        done = run_lab("check", *pair, "--only", "modes,flock,rules")
    assert done.returncode == 1
    assert "UNSAFE for flock, modes. Not asked: posix, ofd," in " ".join(done.stdout.split())
    assert "flock is granted twice between these mounts".lower() in done.stdout.lower()
    assert done.stderr.startswith("lab: flock, modes: UNSAFE: rule 26: ")


def test_a_server_that_refuses_locks_could_not_be_found_out() -> None:
    with mounted("fuse_enosys") as [point]:
        done = run_lab("check", point, "--only", "posix,rules")
    assert done.returncode == 3
    assert "not supported for posix. Not asked: " in " ".join(done.stdout.split())


def test_a_terminal_gets_colours_in_the_column_of_verdicts_alone(place: Path) -> None:
    terminal = Terminal()
    with start_lab("check", place, *QUICK, stdout=terminal.end, env={"PATH": "/bin", "TERM": "xterm-256color"}) as lab:
        terminal.hand_over()
        printed = terminal.read()
        lab.communicate(timeout=PATIENCE_S)
    terminal.close()
    assert printed.count("\x1b[32m") == 1
    assert "\x1b[32m  safe " in printed


# What is asked for


def test_all_options_stand_in_the_document(place: Path) -> None:
    how = ("--seed", "7", "--workers", "3", "--seconds", "2.5", "--only", "modes", "--only", "rules,modes")
    made = document(place, *how, "--detects", "1/1000")
    assert made["options"] == {
        "directories": [str(place)], "only": ["modes", "rules"], "seconds": 2.5, "seed": 7, "workers": 3,
        "detects": 0.001, "faults": False, "hosts": [], "cut": "", "cut_s": 120.0, "heal": "", "timeout_s": 10.0,
    }  # fmt: skip
    assert [each["name"] for each in made["guarantees"]] == ["modes"]


@pytest.mark.parametrize(("detects", "code", "verdict"), [("0.9", 0, "safe"), ("1e-9", 3, "unknown")])
def test_a_guarantee_is_held_to_the_strength_that_was_asked_for(
    detects: str, code: int, verdict: str, place: Path
) -> None:
    done = run_lab("check", place, "--only", "posix,stress", "--seconds", "0.5", "--detects", detects, "--json", "-")
    made = json.loads(done.stdout)
    (guarantee,) = made["guarantees"]
    assert (done.returncode, guarantee["verdict"], made["options"]["detects"]) == (code, verdict, float(detects))
    assert 1e-9 < guarantee["detection_limit"] < 0.9
    assert ("lab: posix: unknown: inconclusive: " in done.stderr) == (code == 3)


# The list of rules


def test_the_list_has_every_rule_with_number_sentence_and_source_on_paper_and_as_json() -> None:
    done = run_lab("check", "--list")
    assert (done.returncode, done.stderr) == (0, "")
    head, _, *rows = done.stdout.splitlines()
    assert head.split() == ["number", "sentence", "source"]
    assert [row.split()[0] for row in rows if row[:1].strip()] == [str(rule.number) for rule in RULES]
    assert max(len(row) for row in rows) <= 100
    assert run_lab("check", "--list", "--json", "rules.json").stdout == ""
    assert [
        (entry["number"], entry["sentence"], entry["source"]) for entry in json.loads(Path("rules.json").read_text())
    ] == [(rule.number, rule.sentence, rule.source) for rule in RULES]


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        ("modes", [24, 25, 27, 28, 29]),
        ("rename", [88, 89, 99]),
        ("faults,posix", [74, 75]),
        ("neighbours,stress", [63, 65, 67]),
    ],
)
def test_the_list_has_the_rules_alone_that_are_about_what_is_named(only: str, numbers: list[int]) -> None:
    listed = json.loads(run_lab("check", "--list", "--only", only, "--json", "-").stdout)
    assert [entry["number"] for entry in listed] == numbers


def test_help_names_every_option_guarantee_and_part() -> None:
    told = run_lab("check", "--help").stdout
    options = ["--only", "--list", "--seconds", "--seed", "--workers", "--json", "--junit", "--save", "--no-save"]
    words = " ".join(told.split())
    assert [word for word in [*options, "--quiet", *GUARANTEES, *PARTS, *GROUPS] if word not in words] == []


# Stopped, and what is left


def test_a_check_that_is_stopped_keeps_what_it_found(place: Path, elsewhere: Path) -> None:
    how = ("--only", "pread", "--seconds", "100", "--json", "check.json")
    with working_lab("check", place, *how, until=lambda: has_made(place, "lab-check-*/*-trial-*")) as lab:
        lab.send_signal(signal.SIGINT)
        printed, told = lab.communicate(timeout=PATIENCE_S)
    assert lab.returncode == 130
    assert "INTERRUPTED: the rest is missing" in " ".join(printed.split())
    assert told.splitlines() == [
        "lab: pread: unknown: not reached before the interruption", "lab: interrupted; 0 of 1 guarantee judged by then",
    ]  # fmt: skip
    made = results.load_any(elsewhere / "check.json")
    assert isinstance(made, Check)
    assert (made.interrupted, made.safe) == (True, False)
    assert list(place.iterdir()) == []


def ended_as(verdicts: dict[str, Any], directory: str, options: list[str]) -> tuple[int, str, str, list[str]]:
    """The command with a check that comes to these verdicts: exit code, what is printed, what it was given."""
    import lab.checking.supervise
    from lab.cli.main import main

    given: list[str] = []

    def check(asked: CheckOptions, directories: list[Path], tell: Any) -> Check:
        given.extend([*map(str, asked.only), *map(str, directories)])
        tell("something")
        return check_of(*(guarantee(name, verdict) for name, verdict in verdicts.items()), only=asked.only)

    vars(lab.checking.supervise)["check"] = check
    printed, told = StringIO(), StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        code = main(["check", directory, "--no-save", *options])
    return code, printed.getvalue(), told.getvalue(), given


@pytest.mark.parametrize(("verdict", "code"), [("safe", 0), ("unsafe", 1), ("unsupported", 3), ("unknown", 3)])
def test_every_verdict_has_its_exit_code_and_is_complained_of_where_it_is_not_safe(
    verdict: str, code: int, place: Path
) -> None:
    ended, printed, told, given = in_fresh_process(ended_as, {"posix": verdict}, str(place), ["--only", "posix"])
    assert ended == code
    assert ("POSIX locks" in printed, told == "") == (True, verdict == "safe")
    assert given == ["posix", str(place)]


def test_quiet_still_tells_what_is_not_safe(place: Path) -> None:
    code, printed, told, _ = in_fresh_process(ended_as, {"posix": "unsafe"}, str(place), ["--quiet"])
    assert (code, printed, told) == (1, "", "lab: posix: UNSAFE\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("", 2, ["lab: check: give a directory of the filesystem in question; see lab check --help"]),
        (". --only modes,maping", 2, ["maping", *GUARANTEES, *PARTS]),
        (". --workers 1", 2, ["at least 2"]),
        (". --workers 513", 2, ["513 is too many: at most 512"]),
        ("missing --json check.json --junit check.xml", 2, ["lab: missing: does not exist;"]),
        (". --only posix,", 2, ["--only: an empty name in 'posix,'"]),
        (". --junit -", 2, ["is no file"]),
        (
            ". --junit missing/check.xml",
            3,
            ["missing/check.xml: cannot be written (No such file or directory); give another --junit PATH"],
        ),
        (
            "--list --only random",
            2,
            ["--list --only random: no rule is about that; name guarantees, rules, stress or faults"],
        ),
        ("--list --only maping", 2, ["there is no such guarantee or part"]),
        ("--list --json missing/x", 3, ["missing/x: cannot be written"]),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    arguments: str, code: int, words: list[str], elsewhere: Path
) -> None:
    line = refusal(code, "check", *arguments.split())
    assert [word for word in words if word not in line] == []
    assert list(elsewhere.iterdir()) == []
