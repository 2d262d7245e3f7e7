"""The functions of `lab` as a user calls them: from a script or a notebook, whose classes nobody can import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.helpers import PATIENCE_S, ROOT

SCRIPT = """
import threading
from ctypes import Structure, c_uint64

import fcntl
import lab

class Pair(Structure):
    _fields_ = [("one", c_uint64), ("two", c_uint64 * 2)]

class Counts(lab.Scenario):
    'Every worker adds.'

    class Memory(Structure):
        _fields_ = [("pair", Pair), ("value", c_uint64)]

    def work(self, w):
        with w.write_lock(self.Memory.value):
            w.memory.value += 1

    def check(self, memory, outcome):
        return lab.Damage("lost", outcome.rounds - memory.value, outcome.rounds)

class Wrong(Counts):
    def check(self, memory, outcome):
        return lab.Damage("wrong", lost, outcome.rounds)

lost = 1

class Held:
    def __init__(self, path):
        self.file = open(path, "w")

    def __enter__(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *raised):
        fcntl.flock(self.file, fcntl.LOCK_UN)

def lied(name):
    class Lies:
        summary = "lets all in"
        def actions(self, descriptor, start, length, *, write):
            return (lambda: None), (lambda: None)
    Lies.name = name
    return Lies

ended = threading.Event()
threading.Thread(target=ended.wait).start()
try:
    short = {"trials": 1, "rounds": 300, "dir": "."}
    locks = [Held, lab.adapt(lambda path: Held(path)), lambda path: Held(path)]
    several = lab.race([Counts, Counts()], lock=locks, **short)
    print([(case.scenario, case.lock, case.operations) for case in several.cases])
    wrong = lab.race(Wrong, lock=lied("liar"), workers=[2, 3], **short)
    wrong.assert_damaged()
    assert wrong.manner == "" and [case.workers for case in wrong.cases] == [2, 3]
    lab.explore(Counts).assert_exhausted()
    assert lab.explore("ring:two_ranges", operations=2).case.programs.count == 1
    assert lab.explore("bank", crash="kill").case.crashes.kind == "kill"
    broken = lab.explore(Counts, lock="none").case
    again = lab.replay(broken.token, Counts, times=2, dir=".")
    again.assert_reproduced()
    assert (again.record.reproduced, again.record.headline) == (2, broken.headline)
    lab.check(".", only="flock", seconds=0.1).assert_safe()
    price = lab.bench(Held, price="uncontended", seconds=0.05, repeats=5, dir=".").record.locks
    assert [each.lock for each in price] == ["Held"] and price[0].samples_ns

    class Twice(Counts):
        def work(self, w):
            super().work(w)
            super().work(w)

    for call in (
        lambda: lab.replay(broken.token, Twice, times=2, dir="."),
        lambda: lab.replay(broken.token, times=2, dir="."),
        lambda: lab.race(Counts, lock="fcntl", dir="/proc", trials=1).assert_clean(),
        lambda: lab.race(Counts, lock=[lied("one"), lied("one")]),
        lambda: lab.explore(Counts, lock="none").assert_holds(),
    ):
        try:
            call()
        except (lab.LabError, AssertionError) as error:
            print(type(error).__name__, str(error).splitlines()[0])
finally:
    ended.set()
"""


NOTEBOOK = """
import ast, json, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        *body, last = ast.parse("".join(cell["source"])).body
        exec(compile(ast.Module(body, []), "cell", "exec"), globals())
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), "cell", "eval"), globals())
            print(getattr(shown, "_repr_html_", shown.__repr__)().count("<svg"), repr(shown))
        else:
            exec(compile(ast.Module([last], []), "cell", "exec"), globals())
"""
"""What a kernel does with a notebook: all cells in one namespace that is a module's, beside another thread."""


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    notebook = ROOT / "docs" / "lab.ipynb"
    assert all(cell.get("outputs", []) == [] for cell in json.loads(notebook.read_text())["cells"])
    assert run_script(tmp_path, NOTEBOOK, str(notebook)) == [
        "1 race of Tickets under fcntl, 3 workers",
        "0 exploration of Tickets under none, 2 workers x 2 rounds",
        "0 replay of Tickets under none: reproduced 20 of 20 times",
        "0 race of Tickets under Mine, 2 workers; Tickets under none, 2 workers",
        "0 'clean'",
    ]


def run_script(folder: Path, text: str, *args: str) -> list[str]:
    """What a script prints, with warnings as errors."""
    (folder / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_a_script_defines_is_raced_from_a_process_with_threads(tmp_path: Path) -> None:
    locks = ["Held", "adapted", "adapted_2"]
    assert [re.split(" overwrites|; make", line)[0] for line in run_script(tmp_path, SCRIPT)] == [
        str([("Counts", lock, 1200) for lock in locks * 2]),
        "UsageError the token does not fit scenario Twice: workers go on after the last of its 4 steps",
        "UsageError unknown scenario 'Counts'; did you mean counter?; give the class or the object as scenario=",
        "CannotRunError dir= /proc: cannot be written (No such file or directory); give another",
        "UsageError lock one: two locks have this name, and rows are distinguished by it; rename one",
        "AssertionError Counts under none, 2 workers x 2 rounds: broken: lost: worker 0",
    ]
