"""Programs in any language race on one file, alone and beside the lab's own workers, judged by what they left."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import refusal, unfolded, working_lab
from tests.helpers import PATIENCE_S, is_running, race, run_lab, wait_until
from tests.racing.programs.building import COUNTER, built, written

NONE = ("--faults", "none")
"""Faults have tests of their own (tests/racing/programs/test_faults.py)."""

ONCE = ("--trials", "1", "--rounds", "1", *NONE)


@pytest.fixture(scope="module")
def add(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("built"))


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return written(tmp_path / "counter_check.py", COUNTER)


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    """A check that has nothing to say."""
    return written(tmp_path / "fine.py", "def check(path, outcome):\n    return []\n")


def one_case(*args: str | Path) -> tuple[int, dict[str, Any]]:
    code, run = race(*args, *NONE)
    (case,) = run["cases"]
    return code, case


def told(code: int, *args: str | Path) -> str:
    """What stderr says of a race that ends with this code."""
    done = run_lab("race", *args, *NONE)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_copies_of_a_c_program_that_lock_are_clean_and_their_locks_are_seen(add: Path, counter: Path) -> None:
    command = f"{add} {{file}} {{worker}} {{rounds}} fcntl {{start}}"
    code, case = one_case("--program", command, "--check", counter, "--trials", "2", "--rounds", "10000")
    assert (code, case["verdict"], case["operations"]) == (0, "clean", 80_000)
    assert (case["scenario"], case["lock"], case["backing"]) == ("add", "its own", "its own")
    assert (case["program"], case["programs"], case["workers"]) == ("add", 4, 4)
    sampled = case["sampled"]
    assert sampled["source"] == "/proc/locks"
    assert 0 < sampled["held"] <= sampled["samples"]
    assert 2 <= sampled["holders"] <= 8
    assert (sampled["inside"], sampled["overlapping"], sampled["evidence"]) == (0, 0, [])


def test_copies_of_a_c_program_that_take_no_lock_are_damaged_and_the_hint_is_given(add: Path, counter: Path) -> None:
    command = f"{add} {{file}} {{worker}} {{rounds}} none {{start}}"
    done = run_lab("race", "--program", command, "--check", counter, "--trials", "1", "--rounds", "50000", *NONE)
    assert done.returncode == 1
    assert "add  " in done.stdout
    assert "FAILED: broke" in done.stdout
    printed = unfolded(done.stdout)
    assert "no lock of the program was seen in" in printed
    assert "it takes none on this file or on one beside it, or holds it too shortly" in printed
    assert "lab: add, 4 workers: damaged: what its copies do to exclude each other" in done.stderr


MIXED = ("--workers", "2", "--program-workers", "2", "--trials", "1")


def test_a_c_program_and_the_labs_workers_exclude_each_other_on_one_file(add: Path) -> None:
    command = f"{add} {{file}} {{worker}} {{rounds}} fcntl {{start}}"
    done = run_lab("race", "counter", "--program", command, *MIXED, "--rounds", "2000", "--window", "50000")
    assert (done.returncode, done.stderr) == (0, "")
    printed = unfolded(done.stdout)
    assert re.search(r"counter +fcntl beside add +clean +0 +0 %", printed)
    assert "fcntl beside add: clean in 1 case" in printed
    assert "in none of them the program" in printed


def test_a_c_program_under_another_kind_of_lock_is_seen_inside_with_the_labs_workers(add: Path) -> None:
    """flock and fcntl locks do not see each other (flock(2)). The program sleeps inside, to be there for long."""
    command = f"{add} {{file}} {{worker}} {{rounds}} flock {{start}} 150"
    code, case = one_case("counter", "--program", command, *MIXED, "--rounds", "2000", "--window", "200000")
    assert (code, case["verdict"], case["lock"]) == (1, "damaged", "fcntl")
    assert (case["overlapping_holds"], case["holds"]) == (0, 4000)
    assert 0 < case["sampled"]["overlapping"] <= case["sampled"]["inside"] <= case["sampled"]["samples"]
    assert "held FLOCK write 0-end while worker " in case["sampled"]["evidence"][0]
    assert "held write 0-7: seen within " in case["sampled"]["evidence"][0]


SQLITE = """
import sqlite3, sys, time
from pathlib import Path

path, worker, workers, together = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "together"

db = sqlite3.connect(path, timeout=60, isolation_level=None)
if together:
    db.execute("BEGIN IMMEDIATE")
(balance,) = db.execute("SELECT balance FROM account").fetchone()
if not together:
    path.with_name(f"seen-{worker}").touch()
    deadline = time.monotonic() + 60
    while len(list(path.parent.glob("seen-*"))) < workers:
        assert time.monotonic() < deadline
        time.sleep(0.001)
db.execute("UPDATE account SET balance = ?", (balance + 1,))
if together:
    db.execute("COMMIT")
"""

SQLITE_CHECK = """
import sqlite3
from contextlib import closing
from lab import Damage

def prepare(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE account (balance INTEGER)")
        db.execute("INSERT INTO account VALUES (0)")

def check(path, outcome):
    with closing(sqlite3.connect(path)) as db:
        (balance,) = db.execute("SELECT balance FROM account").fetchone()
    return Damage("lost update", outcome.rounds - balance, outcome.rounds, [f"balance is {balance}"])
"""


@pytest.mark.parametrize(("how", "code", "verdict", "lost"), [("together", 0, "clean", 0), ("apart", 1, "damaged", 3)])
def test_processes_share_a_sqlite_database(how: str, code: int, verdict: str, lost: int, tmp_path: Path) -> None:
    """In one transaction a read and the write that follows it are one; in two, all read before anybody writes."""
    program = written(tmp_path / "bank.py", SQLITE)
    check = written(tmp_path / "balance.py", SQLITE_CHECK)
    command = f"{sys.executable} {program} {{file}} {{worker}} {{workers}} {how}"
    ended, case = one_case("--program", command, "--check", check, *ONCE)
    assert (ended, case["verdict"], case["damaged"]) == (code, verdict, lost)


def test_a_shell_script_that_appends_lines_is_clean_and_leaves_nothing(tmp_path: Path) -> None:
    script = '#!/bin/sh\nfor i in $(seq $3); do echo "$2 $i $4 $5" >>"$1"; echo >"$1-journal"; done\n'
    program = written(tmp_path / "append.sh", script)
    check = written(
        tmp_path / "lines.py",
        """
        from lab import Damage

        def check(path, outcome):
            lines = [line.split() for line in path.read_text().splitlines()]
            seeds = {line[3] for line in lines}
            wanted = sorted((str(w), str(i)) for w in range(3) for i in range(1, 6))
            yield Damage("lost lines", sorted((w, i) for w, i, *_ in lines) != wanted, outcome.rounds)
            yield Damage("seeds", len(seeds) != outcome.workers or {line[2] for line in lines} != {"3"}, 1)
        """,
    )
    there = tmp_path / "there"
    there.mkdir()
    command = f"{program} {{file}} {{worker}} {{rounds}} {{workers}} {{seed}}"
    how = ("--workers", "3", "--rounds", "5", "--trials", "2", "--dir", there)
    code, case = one_case("--program", command, "--check", check, *how)
    assert (code, case["damage"], case["operations"], list(there.iterdir())) == (0, [], 30, [])


LOCK_FILES = {
    "flock": ('flock "$1.lock" sh -c \'$ADD\' - "$1"', True, "Files beside it that it locks: {file}.lock (held in "),
    "mkdir": (
        'until mkdir "$1.lock" 2>/dev/null; do sleep 0.001; done; $ADD; rmdir "$1.lock"',
        False,
        "no lock of the kernel was seen in ",
    ),
    "O_EXCL": (
        'until (set -C; : >"$1.lock") 2>/dev/null; do sleep 0.001; done; $ADD; rm "$1.lock"',
        False,
        "A lock file that is made and removed comes and goes: {file}.lock (there in ",
    ),
}
"""The commonest ways of shell scripts, whether the kernel knows the lock, and what is said of it."""

ADD = 'n=$(cat "$1"); sleep 0.02; echo $((n + 1)) >"$1"'
"""Stays inside for a while, so that samples find it there."""


@pytest.mark.parametrize("way", LOCK_FILES)
def test_a_shell_script_with_a_lock_file_is_judged_by_a_command_and_its_lock_file_is_named(
    way: str, tmp_path: Path
) -> None:
    lock, kernel, said = LOCK_FILES[way]
    body = lock.replace("$ADD", ADD)
    program = written(tmp_path / "count.sh", f'#!/bin/sh\nfor i in $(seq "$2"); do {body}; done\n')
    check = """sh -c 'echo "$(cat "$1") of $2 x $3"; test "$(cat "$1")" = $(($2 * $3))' - {file} {workers} {rounds}"""
    command = ("--program", f"sh {program} {{file}} {{rounds}}", "--check", check, "--prepare", "sh -c 'echo 0 >$0'")
    done = run_lab("race", *command, "--rounds", "12", "--trials", "1", *NONE, "--json", "it.json", cwd=tmp_path)
    (case,) = json.loads((tmp_path / "it.json").read_text())["cases"]
    assert (done.returncode, case["scenario"], case["verdict"], case["damage"]) == (0, "count", "clean", [])
    (beside,) = case["sampled"]["beside"]
    assert (beside["name"], beside["kernel"], beside["held"] > 0) == ("{file}.lock", kernel, True)
    assert said in unfolded(done.stdout)


def test_a_command_that_finds_the_file_corrupted_says_what_is_broken(tmp_path: Path) -> None:
    program = written(tmp_path / "count.sh", '#!/bin/sh\necho "$2" >>"$1"\n')
    check = written(tmp_path / "check.sh", '#!/bin/sh\nsort "$1" | sed "s/^/not mine: /"\nexit 1\n')
    how = ("--check", check, "--workers", "2", *ONCE, "--no-save")
    done = run_lab("race", "--program", f"{program} {{file}} {{worker}}", *how)
    assert (done.returncode, "FAILED: broke" in done.stdout) == (1, True)
    assert "not mine: 0" in done.stderr
    assert "not mine: 1" in done.stderr


def test_a_command_that_fails_itself_is_no_corruption_and_its_output_is_shown(tmp_path: Path) -> None:
    check = written(tmp_path / "check.sh", "#!/bin/sh\necho one >&2; echo two >&2; exit 2\n")
    done = run_lab("race", "--program", "true {file}", "--check", check, *ONCE, "--json", "it.json", cwd=tmp_path)
    assert done.returncode == 4
    assert "died: check exited with 2: two; exit with 0 where the file is right, and with 1 where it is" in done.stderr
    assert "the last lines of the check's standard error:\n  one\n  two" in done.stderr
    (case,) = json.loads((tmp_path / "it.json").read_text())["cases"]
    assert [(each["worker"], each["trace"] != "") for each in case["failures"]] == [(-1, True)]


def test_what_a_program_leaves_beside_a_scenarios_file_is_removed(tmp_path: Path) -> None:
    program = written(tmp_path / "litter.sh", '#!/bin/sh\necho >"$1-journal"; mkdir -p "$1.d/e"\n')
    there = tmp_path / "there"
    there.mkdir()
    _, run = race("counter", "--program", f"{program} {{file}}", *MIXED, "--rounds", "1", "--dir", there)
    assert list(there.iterdir()) == []
    assert (run["options"]["program_workers"], run["options"]["workers"], run["options"]["check"]) == (2, [2], "")
    assert [(case["workers"], case["operations"]) for case in run["cases"]] == [(4, 4)]


def test_braces_that_are_no_placeholder_reach_the_program_as_they_are(fine: Path) -> None:
    command = "sh -c 'test \"$1\" = \"{{file}} { x } {}\" || exit 9' {file} '{{file}} { x } {}'"
    assert told(0, "--program", command, "--check", fine, *ONCE) == ""


FAILS = {
    "exit 3": (4, "worker 0 (program) exited with 3, in trial 0"),
    "echo one >&2; echo two >&2; exit 3": (4, "worker 0 (program) exited with 3: two, in trial 0"),
    "echo said; exit 1": (4, "worker 0 (program) exited with 1: said, in trial 0"),
    "kill -SEGV $$": (4, "worker 0 (program) was killed by SIGSEGV, in trial 0"),
    "sleep 600": (4, "timeout: worker 0 (program) was still at work after 1 s, in trial 0"),
    "trap 'exit 0' TERM; sleep 600 & wait": (4, "timeout: worker 0 (program) was still at work after 1 s"),
    "printf '\\033[2Jx' >&2; exit 1": (4, "exited with 1: ?[2Jx, in trial 0"),
}


@pytest.mark.parametrize("script", FAILS)
def test_a_program_that_fails_is_told_by_its_exit_and_its_last_line(script: str, fine: Path, tmp_path: Path) -> None:
    code, said = FAILS[script]
    program = written(tmp_path / "fails.sh", f"#!/bin/sh\n{script}\n")
    how = ("--workers", "1", "--time-limit", "1", *ONCE)
    assert said in told(code, "--program", f"{program} {{file}}", "--check", fine, *how)


def test_a_program_that_fails_beside_a_scenario_is_one_of_its_workers(tmp_path: Path) -> None:
    program = written(tmp_path / "fails.sh", "#!/bin/sh\necho first >&2; echo last >&2; exit 5\n")
    said = told(4, "counter", "--program", f"{program} {{file}}", *MIXED, "--rounds", "5")
    assert "counter under fcntl beside fails, 4 workers: died: worker 2 (program) exited with 5: last" in said
    assert "lab: the last lines of the program's standard error:\n  first\n  last" in said


IGNORES = {
    "exit 0": "ignored the start signal: it exited with 0 and had not read {start} to its end",
    "exit 7": "exited with 7",
    "sleep 600": "ignored the start signal: it did not read {start} to its end (time limit 1 s)",
}


@pytest.mark.parametrize("script", IGNORES)
def test_a_program_that_ignores_the_start_signal_is_told_and_the_others_are_not(
    script: str, fine: Path, tmp_path: Path
) -> None:
    program = written(tmp_path / "hasty.sh", f'#!/bin/sh\ntest $3 = 1 && {{ {script}; }}\ncat "$2"\n')
    command = f"{program} {{file}} {{start}} {{worker}}"
    how = ("--workers", "3", "--time-limit", "1", *ONCE)
    code, case = one_case("--program", command, "--check", fine, *how)
    assert code == 4
    assert [(each["worker"], each["program"]) for each in case["failures"]] == [(1, True)]
    assert IGNORES[script] in case["failures"][0]["reason"]


def test_a_program_that_opens_the_start_signal_and_does_not_wait_for_its_end_is_told(
    fine: Path, tmp_path: Path
) -> None:
    """The other comes once the first has closed it."""
    program = written(
        tmp_path / "hasty.sh",
        """
        #!/bin/sh
        if [ "$3" = 1 ]; then : <"$2"; : >"$1.closed"; exec sleep 600; fi
        while ! [ -e "$1.closed" ]; do sleep 0.01; done
        cat "$2"
        """,
    )
    command = f"{program} {{file}} {{start}} {{worker}}"
    code, case = one_case("--program", command, "--check", fine, "--workers", "2", *ONCE)
    assert (code, [each["worker"] for each in case["failures"]]) == (4, [1])
    assert "ignored the start signal: it did not read {start} to its end" in case["reason"]


def test_programs_that_wait_for_the_start_begin_only_when_all_have_come(tmp_path: Path) -> None:
    """Each writes down when it came and when it was let go: the first go comes after the last arrival."""
    program = written(
        tmp_path / "waits.py",
        """
        import sys, time
        from pathlib import Path
        came = time.monotonic_ns()
        Path(sys.argv[2]).read_bytes()
        Path(f"{sys.argv[1]}.{sys.argv[3]}").write_text(f"{came} {time.monotonic_ns()}")
        """,
    )
    check = written(
        tmp_path / "order.py",
        """
        from lab import Damage

        def check(path, outcome):
            times = [file.read_text().split() for file in path.parent.glob("data.*")]
            late = max(int(came) for came, _ in times) > min(int(let_go) for _, let_go in times)
            return Damage("let go too early", late or len(times) != 4, 1)
        """,
    )
    command = f"{sys.executable} {program} {{file}} {{start}} {{worker}}"
    assert one_case("--program", command, "--check", check, *ONCE)[0] == 0


@pytest.mark.parametrize(("code", "said"), [(0, ""), (1, "of 6,100,000 bytes the last 65,536 are kept")])
def test_a_flood_of_output_blocks_nobody_and_only_its_end_is_kept(
    code: int, said: str, fine: Path, tmp_path: Path
) -> None:
    program = written(
        tmp_path / "flood.py",
        """
        import sys
        for _ in range(100):
            sys.stdout.write(60_999 * "x" + "\\n")
            sys.stderr.write(60_999 * "x" + "\\n")
        sys.exit(int(sys.argv[2]))
        """,
    )
    command = f"{sys.executable} {program} {{file}} {code}"
    assert said in told(4 if code else 0, "--program", command, "--check", fine, "--workers", "2", *ONCE)


def test_a_script_without_an_interpreter_is_told_how_to_be_started(fine: Path, tmp_path: Path) -> None:
    program = written(tmp_path / "plain", "echo hello\n")
    program.chmod(0o755)
    said = told(4, "--program", f"{program} {{file}}", "--check", fine, "--workers", "1", *ONCE)
    assert "worker 0 (program) could not be started (Exec format error); a script needs a #! line" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def check(path, outcome):\n    return 1 / 0\n", "check raised ZeroDivisionError: division by zero"),
        ("def check(path, outcome):\n    return [3]\n", "check returned [3]"),
        ("def check(path, outcome):\n    pass\n", "check returned None"),
        ("def check(path, outcome):\n    while True: pass\n", "check was still at work after 3 s"),
        ("def prepare(path):\n    {}[1]\ndef check(path, outcome): pass\n", "prepare raised KeyError: 1"),
    ],
)
def test_a_check_file_that_raises_ends_with_4_and_its_place(text: str, said: str, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.py", text)
    done = told(4, "--program", "true {file}", "--check", mine, "--time-limit", "3", *ONCE)
    assert len(done.splitlines()) == 1
    assert f" ({mine}:" in done
    assert f"lab: true, 4 workers: died: {said}" in done


AT_WORK = """
#!/bin/sh
sleep 600 &
echo $! >"$2/grandchild.part"; mv "$2/grandchild.part" "$2/grandchild"
echo $$ >"$2/child.part"; mv "$2/child.part" "$2/child"
wait
"""


def test_what_a_program_left_running_in_the_background_ends_with_its_trial(fine: Path, tmp_path: Path) -> None:
    program = written(tmp_path / "leaves.sh", '#!/bin/sh\nsleep 600 &\necho $! >"$2"\n')
    note = tmp_path / "note"
    warned = told(0, "--program", f"{program} {{file}} {note}", "--check", fine, "--workers", "1", *ONCE)
    assert not is_running(int(note.read_text()))
    assert warned == (
        "lab: leaves: warning: workers left a process behind, with any lock that it inherited; ended now: sleep 600\n"
    )


HELPED = """
import fcntl, os, subprocess, sys

file, note, start = sys.argv[1:]
open(start).read()
guard = os.open(file + ".lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(guard, fcntl.LOCK_EX)
helper = subprocess.Popen(["sleep", "600"], pass_fds=[guard])
with open(note, "a") as pids:
    pids.write(f"{helper.pid}\\n")
os.close(guard)
"""


@pytest.mark.needs("first_pid_namespace")
def test_a_helper_that_keeps_the_lock_file_beside_the_data_is_named_by_who_waits(fine: Path, tmp_path: Path) -> None:
    """The first copy ends; what it started has inherited its lock, for which the second one waits for ever."""
    program, note = written(tmp_path / "helped.py", HELPED), tmp_path / "note"
    command = f"{sys.executable} {program} {{file}} {note} {{start}}"
    how = ("--workers", "2", "--time-limit", "3", *ONCE, "--no-save", "--json", "-")
    done = run_lab("race", "--program", command, "--check", fine, *how)
    assert done.returncode == 4
    (helper,) = note.read_text().split()
    kept = f"process {helper} (sleep 600)"
    assert f", seen to wait for FLOCK write 0-end of {{file}}.lock, which {kept} keeps" in done.stderr
    (case,) = json.loads(done.stdout)["cases"]
    (beside,) = case["sampled"]["beside"]
    assert (beside["name"], beside["keepers"]) == ("{file}.lock", [kept])
    assert 0 < beside["waiting"] <= beside["held"] <= case["sampled"]["samples"]
    assert not is_running(int(helper))


def test_a_program_that_leaves_the_group_is_ended_at_the_time_limit(fine: Path, tmp_path: Path) -> None:
    code = (
        f"import os, time; os.setsid(); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    program = written(tmp_path / "alone.py", code)
    how = ("--workers", "1", "--time-limit", "1", *ONCE)
    assert "timeout" in told(4, "--program", f"{sys.executable} {program} {{file}}", "--check", fine, *how)
    assert not is_running(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nobody_outlives_a_race_of_programs_that_is_stopped(stop: signal.Signals, fine: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    command = f"{written(tmp_path / 'at_work.sh', AT_WORK)} {{file}} {tmp_path}"
    how = ("--program", command, "--check", fine, "--workers", "1", *ONCE, "--dir", there)
    with working_lab("race", *how, until=(tmp_path / "child").exists) as lab:
        pids = [int((tmp_path / name).read_text()) for name in ("child", "grandchild")]
        assert all(map(is_running, pids))
        lab.send_signal(stop)
        _, said = lab.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not any(map(is_running, pids)), "the program and its child are gone")
    if stop != signal.SIGKILL:
        assert (lab.returncode, said) == (130, "lab: interrupted; 0 finished cases kept\n")
        assert list(there.iterdir()) == []


def test_a_document_says_what_was_asked_keeps_finished_cases_and_is_printed_again(tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.py", "def check(path, outcome):\n    assert outcome.workers < 2\n    return []\n")
    done = run_lab("race", "--program", "true {file}", "--check", mine, "--workers", "1,2", *ONCE, "--json", "it.json")
    run = json.loads(Path("it.json").read_text())
    assert (done.returncode, [case["verdict"] for case in run["cases"]]) == (4, ["clean", "died"])
    assert (run["options"]["program"], run["options"]["check"]) == ("true {file}", str(mine))
    assert run["options"]["workers"] == [1, 2]
    again = run_lab("report", "it.json")
    assert done.stdout.startswith(again.stdout.rstrip())
    assert "true: clean in 1 case" in again.stdout


WRONG = {
    "--program './missing {file}' --check c.py": "--program ./missing: no such program; build it",
    "--program 'missing-here {file}' --check c.py": "no such program on the PATH; build it, or give its path",
    "--program 'c.py {file}' --check c.py": "or ./c.py for the one in this folder",
    "--program './c.py {file}' --check c.py": "--program ./c.py: may not be run; chmod +x it",
    "--program '' --check c.py": "--program: an empty command",
    """--program "'' {file}" --check c.py""": "--program: an empty name",
    """--program "true 'x" --check c.py""": "No closing quotation; fix the quoting",
    "--program true --check c.py": "has no {file}, so the program would not know its file",
    "--program 'true {fil}' --check c.py": "unknown placeholder 'fil'; did you mean file?",
    "TRUE": "--program: nobody could say whether the file is right; add --check, or name a SCENARIO",
    "TRUE --check no.py": "--check no.py: cannot be read (No such file or directory)",
    "TRUE --check bare.py": "--check bare.py: has no function check(path, outcome); define one",
    "TRUE --check 'no-such-check {file}'": "--check no-such-check: no such program on the PATH; build it",
    "TRUE --check './bare.sh'": "--check ./bare.sh: may not be run; chmod +x it, or name its interpreter before it",
    "TRUE --check ./": "--check ./: is a folder; name the program in it",
    "TRUE --check ''": "--check: an empty name; give a Python file, or a command",
    "TRUE --check 'true {worker}'": "unknown placeholder 'worker'; did you mean workers?",
    """TRUE --check "true 'x" """: "No closing quotation; fix the quoting",
    "TRUE --check true --prepare missing-here": "--prepare missing-here: no such program on the PATH",
    "TRUE --check true --prepare ''": "--prepare: an empty command",
    "TRUE --check c.py --prepare true": "--prepare: belongs to a --check that is a command; define prepare",
    "counter TRUE --program-workers 2 --prepare true": "--prepare: the scenario prepares its own file",
    "--prepare true": "--prepare: belongs to --program",
    "TRUE --check syntax.py": "--check syntax.py:1: invalid syntax; fix the file",
    "TRUE --check raises.py": "--check raises.py: cannot be loaded: ZeroDivisionError",
    "TRUE --check c.py --lock fcntl": "--lock: a program alone has a lock and a memory of its own",
    "TRUE --check c.py --backing sysv": "--backing: a program alone has a lock and a memory of its own",
    "TRUE --check c.py --window 9": "--window: a program alone",
    "TRUE --check c.py --explain": "--explain: an outside program's loads and stores cannot be seen",
    "TRUE --check c.py --record": "--record: an outside program's loads and stores cannot be seen",
    "TRUE --check c.py --detects 1e-3": "--detects: the holds of a program alone are not recorded",
    "TRUE --check c.py --program-workers 2": "--program-workers: beside which scenario?",
    "counter TRUE": "--program: how many copies beside the scenario's workers? add --program-workers N",
    "counter TRUE --program-workers 2 --check c.py": "--check: the scenario has its own check",
    "counter TRUE --program-workers 2 --backing posix": "backing posix is not the file that --program",
    "--check c.py": "--check: belongs to --program",
    "./deposit --watch": "to watch a command by itself: lab watch -- ./deposit",
    "counter TRUE --program-workers 2 --watch": "--watch: is for a program alone",
    "TRUE --check c.py --watch --isolate pid": "--watch: tells processes by their numbers",
    "TRUE --check c.py --watch --dir . --dir ..": "--watch: tells files by their inodes",
    "TRUE --check c.py --suppress sqlite": "--suppress: belongs to --watch",
    "TRUE --check c.py --watch --ignore 'no luck'": "unknown cause 'no luck'; did you mean no lock?",
    "TRUE --check c.py --watch --suppress nosuch": "--suppress nosuch: cannot be read",
    "counter --program-workers 2": "--program-workers: belongs to --program",
}
"""TRUE stands for --program 'true {file}'."""


@pytest.mark.parametrize("args", WRONG)
def test_wrong_usage_ends_with_2_in_one_line(args: str, elsewhere: Path) -> None:
    written(elsewhere / "c.py", "def check(path, outcome): return []\n")
    written(elsewhere / "bare.py", "x = 1\n")
    written(elsewhere / "bare.sh", "exit 0\n")
    written(elsewhere / "syntax.py", "def check(:\n")
    written(elsewhere / "raises.py", "1 / 0\n")
    line = refusal(2, "race", *shlex.split(args.replace("TRUE", "--program 'true {file}'")))
    assert line.startswith("lab: ")
    assert WRONG[args] in line
