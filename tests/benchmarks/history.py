"""How long `lab history` takes for generated histories, beside Porcupine where Go is installed.

python -m tests.benchmarks.history [CALLS [PORCUPINE]]

Prints a row for each history: the verdict, and the milliseconds of the exact answer, of the search in C and in Python,
of finding the core, and of Porcupine (github.com/anishathalye/porcupine): that of the folder PORCUPINE, a checkout of
it, else what `go get` fetches. A dash is a way that is not here; "> 10,000" one that gave up after ten seconds. Figures
beside other load are rough: run it on a quiet machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.histories import search
from lab.histories.automaton import OfModel
from lab.histories.call import Call
from lab.histories.core import core_of
from lab.histories.exact import EXACT
from lab.histories.judge import Budget, as_judged, judge
from lab.histories.models import MODELS
from tests.histories.made import made

CALLS, CLIENTS, GIVEN_UP_S = 10_000, 8, 10.0
CASES = [(kind, wrong) for kind in ("register", "counter", "queue") for wrong in (False, True)]
GO = Path(__file__).with_name("porcupine.go")
MODULE, VERSION = "github.com/anishathalye/porcupine", "v1.1.0"


def median_ms(act: Callable[[], object], times: int = 3) -> float:
    """The median time of this many calls, in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        taken.append(1e3 * (time.perf_counter() - begun))
        if taken[0] > 3e3:
            break
    return sorted(taken)[len(taken) // 2]


def searched(calls: list[Call], specification: OfModel, *, native: bool) -> str:
    """The time of the search alone."""
    if native and not search.compiled:
        return "-"
    verdicts = []

    def act() -> None:
        budget = Budget(time.monotonic() + GIVEN_UP_S)
        verdicts.append(judge(calls, specification, budget, exact=False, native=native).verdict)

    taken = median_ms(act)
    return f"> {1e3 * GIVEN_UP_S:,.0f}" if verdicts[-1] == "unknown" else f"{taken:,.1f}"


def porcupine(folder: Path, checkout: str) -> Path | None:
    """The built program; None where there is no Go, or Porcupine cannot be fetched."""
    if not shutil.which("go"):
        return None
    shutil.copy(GO, folder / "main.go")
    fetched = ["go", "get", f"{MODULE}@{VERSION}"]
    if checkout:
        fetched = ["go", "mod", "edit", f"-require={MODULE}@v0.0.0", f"-replace={MODULE}={Path(checkout).resolve()}"]
    for command in (["go", "mod", "init", "beside"], fetched, ["go", "build", "-mod=mod", "-o", "porcupine", "."]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            print("Porcupine is not here: go cannot fetch or build it; name a checkout of it")
            return None
    return folder / "porcupine"


def beside(program: Path | None, kind: str, calls: list[Call]) -> str:
    """What Porcupine says of the same history, and its milliseconds."""
    if not program:
        return "-"
    rows = [[call.process, call.name, call.args[0] if call.args else 0, call.start, call.end,
             -1 if call.result is None else call.result] for call in calls]  # fmt: skip
    done = subprocess.run(
        [program, kind, str(GIVEN_UP_S)],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if sys.argv[1:] else CALLS
    with TemporaryDirectory() as folder:
        program = porcupine(Path(folder), "".join(sys.argv[2:3]))
        print(f"{count:,} calls by {CLIENTS} clients; milliseconds")
        print(f"{'history':18}{'verdict':18}{'exact':>9}{'C':>11}{'Python':>11}{'core':>9}  Porcupine")
        for kind, wrong in CASES:
            specification = OfModel(MODELS[kind])
            calls = made(kind, count, CLIENTS, wrong=wrong)
            judged = as_judged(calls, specification)
            found = judge(calls, specification)
            exact = median_ms(partial(EXACT[MODELS[kind]], judged))
            core = f"{median_ms(partial(core_of, found, specification), 1):,.0f}" if wrong else "-"
            ways = [searched(calls, specification, native=native) for native in (True, False)]
            row = f"{kind} {'bad' if wrong else 'ok':12}"
            print(f"{row:18}{found.verdict:18}{exact:9.1f}{ways[0]:>11}{ways[1]:>11}{core:>9}", end="  ", flush=True)
            print(beside(program, kind, calls))


if __name__ == "__main__":
    main()
