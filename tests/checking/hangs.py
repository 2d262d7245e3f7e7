"""Checks of mounts that stop answering at a certain request: do they end, and say what they left?

    python -m tests.checking.hangs --jobs 2 [--every N]

runs the whole matrix, as root: every request up to the 200th and the first of each kind, on one mount and on two, with
the server stopped (SIGSTOP) or this one request never answered. It prints a line a run and the figures of all, and
ends with 1 where a check did not end or left something that it did not name. It takes hours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lab.checking.supervise import BOUND_S
from tests.checking.fuse.serving import fuse
from tests.checking.fuse.stopping import HOWS, KINDS, MOMENT
from tests.checking.mounting import processes_below
from tests.helpers import ROOT, is_running

SECONDS = 1.0
"""What is given to each check (--seconds)."""

FAR_TOO_LONG_S = 240.0
"""So long it is waited for, on a machine that does much else."""

NUMBERS = 200
FIRST_OF_A_KIND = (1, 2, 5)


class Case(NamedTuple):
    """The request at which the server stops: its kind, its number, and how; on how many mounts."""

    kind: str
    number: int
    how: str
    mounts: int = 1

    def __str__(self) -> str:
        return f"{self.kind}-{self.number}-{self.how}-{self.mounts}"


MATRIX = [
    *(Case("any", number, how, mounts) for number in range(1, NUMBERS + 1) for how in HOWS for mounts in (1, 2)),
    *(
        Case(kind, number, how, mounts)
        for kind in KINDS
        for number in FIRST_OF_A_KIND
        for how in HOWS
        for mounts in (1, 2)
    ),
]


@dataclass
class Outcome:
    """How one check ended: the exit code, None where it did not; and what is wrong with that.

    `over_s` is how long after the mount had stopped and the time of the check had passed, whichever came last.
    """

    case: Case
    code: int | None
    took_s: float
    over_s: float
    document: dict[str, Any]
    complaints: str
    wrong: list[str]

    def __str__(self) -> str:
        ended = "did not end" if self.code is None else f"exit {self.code}"
        why = "; ".join(self.wrong) or self.document.get("ended_early") or self.complaints.partition("\n")[0]
        return f"{self.case!s:22} {ended}, {self.took_s:5.1f} s, {self.over_s:5.1f} s over  {why}"


def outcomes(cases: Sequence[Case], jobs: int, only: Sequence[str] = ()) -> Iterator[Outcome]:
    """Run these checks, so many side by side, each on mounts of its own."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        yield from pool.map(lambda case: outcome(case, only), cases)


def outcome(case: Case, only: Sequence[str] = ()) -> Outcome:
    """Run one. Raises Missing where there are no such mounts."""
    with fuse("honest", case.mounts, (case.kind, str(case.number), case.how)) as directories:
        servers = {pid for directory in directories for pid in processes_below(directory)}
        asked = ["--only", ",".join(only)] if only else []
        command = [sys.executable, "-m", "lab", "check", *map(str, directories), "--seconds", f"{SECONDS:g}", *asked]
        begun = time.monotonic()
        lab = subprocess.Popen(
            [*command, "--no-save", "--json", "-"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            printed, told = lab.communicate(timeout=FAR_TOO_LONG_S)
        except subprocess.TimeoutExpired:
            lab.kill()
            lab.communicate()
            return Outcome(case, None, FAR_TOO_LONG_S, FAR_TOO_LONG_S, {}, "", ["it did not end"])
        ended = time.monotonic()
        document = json.loads(printed) if printed else {}
        backing = directories[0].parent / "backing"
        moment = backing.with_name(MOMENT)
        stopped = float(moment.read_text()) if moment.exists() else ended
        over_s = ended - max(stopped, begun + SECONDS)
        wrong = list(_wrong(document, told, lab.returncode, directories, servers, backing))
        return Outcome(case, lab.returncode, ended - begun, over_s, document, told, wrong)


def _wrong(
    document: dict[str, Any], told: str, code: int, directories: Sequence[Path], servers: set[int], backing: Path
) -> Iterator[str]:
    """What a check should not have done or left."""
    if code not in (0, 1, 3):
        yield f"exit {code}"
    if "Traceback" in told or "a fault of the lab" in told:
        yield told
    if not document and (code != 3 or "does not answer within" not in told):
        yield f"no document: {told}"
    named = {each["pid"] for each in document.get("stuck", [])}
    left = {pid for directory in directories for pid in processes_below(directory)} - servers
    if document and (unnamed := {pid for pid in left - named if is_running(pid)}):
        yield f"processes {sorted(unnamed)} live on and are not named"
    for folder in backing.glob("lab-check-*"):
        if folder.name not in told and "a folder lab-check-* may be left" not in told:
            yield f"{folder.name} is left and not named"
    unsafe = [each["name"] for each in document.get("guarantees", []) if each["verdict"] == "unsafe"]
    if unsafe and document["hang"] and document["hang"]["directories"] == [str(each) for each in directories]:
        yield f"unsafe though nothing was answered: {', '.join(unsafe)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="checks side by side (2)")
    parser.add_argument("--every", type=int, default=1, help="of the matrix only the first of so many (1)")
    args = parser.parse_args()
    found = []
    for each in outcomes(MATRIX[:: args.every], args.jobs):
        print(each, flush=True)  # noqa: T201
        found.append(each)
    ended = [each for each in found if each.code is not None]
    hung = [each for each in ended if each.document.get("hang") or not each.document]
    slowest = max(hung, key=lambda each: each.over_s, default=None)
    print(  # noqa: T201
        f"{len(found)} runs, {len(ended)} ended, {len(hung)} of them early; slowest of these {slowest}; "
        f"{sum(each.over_s > BOUND_S for each in hung)} of them took more than {BOUND_S:g} s over; "
        f"{sum(len(each.document.get('stuck', [])) for each in ended)} processes and "
        f"{sum(len(each.document.get('left_behind', [])) for each in ended)} folders left and named; "
        f"{sum(bool(each.wrong) for each in found)} runs wrong"
    )
    return int(any(each.wrong for each in found))


if __name__ == "__main__":
    sys.exit(main())
