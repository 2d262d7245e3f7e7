"""Run the matrix of faults, or a part of it: `python -m tests.faults [--command NAME ...] [--every K] [--most N]`.

Prints a line for each trial that is flagged, then how many there were, by command and kind. Ends with 1 where any is.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory

from tests.faults.cell import Cell, Trial, compiled
from tests.faults.matrix import COMMANDS, surroundings, trials


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--command", action="append", choices=COMMANDS, metavar="NAME", help="repeatable (all)")
    parser.add_argument("--call", action="append", metavar="CALL", help="only faults of this call; repeatable (all)")
    parser.add_argument(
        "--most", type=int, default=0, metavar="N", help="of each call and errno so many, spread out (all)"
    )
    parser.add_argument("--cells", type=int, default=2, metavar="N", help="trials at the same time (2)")
    asked = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="faults-") as folder:
        place = Path(folder)
        library = compiled(place)
        chosen = []
        for command in asked.command or COMMANDS:
            with Cell(_made(place / f"count-{command}"), library) as cell:
                whole = cell.run(Trial(command, COMMANDS[command], codes=(0, 3), counts=True))
            if whole.flags:
                print(f"{command}: without any fault: {whole.flags}\n{whole.stderr}")
            chosen += spread([*trials(command, whole.counted)], asked.most, asked.call)
            if not asked.call or "surroundings" in asked.call:
                chosen += surroundings(command)
        flagged = _run(chosen, place, library, asked.cells)
    print(f"{len(chosen)} trials, {sum(flagged.values())} flags")
    for (command, flag), count in sorted(flagged.items()):
        print(f"{count:6} {command:10} {flag}")
    return 1 if flagged else 0


def spread(all_trials: Sequence[Trial], most: int, calls: Sequence[str] | None = None) -> list[Trial]:
    """Of the trials that differ in the number of the call only so many, from the first to the last."""
    groups: dict[str, list[Trial]] = {}
    for trial in all_trials:
        if not calls or trial.name.split()[1] in calls or trial.name.split()[2] in calls:
            groups.setdefault(trial.name.rpartition(" ")[0], []).append(trial)
    kept = []
    for group in groups.values():
        if most and len(group) > most:
            step = (len(group) - 1) / max(1, most - 1)
            group = [group[round(index * step)] for index in range(most)]
        kept += group
    return kept


def _run(chosen: Sequence[Trial], place: Path, library: Path, cells: int) -> Counter[tuple[str, str]]:
    """Run all, so many at a time; the flags by command and kind."""
    waiting: Queue[Trial] = Queue()
    for trial in chosen:
        waiting.put(trial)
    flagged: Counter[tuple[str, str]] = Counter()
    guard = threading.Lock()

    def work(number: int) -> None:
        with Cell(_made(place / f"cell-{number}"), library) as cell:
            while True:
                try:
                    trial = waiting.get_nowait()
                except Empty:
                    return
                outcome = cell.run(trial)
                with guard:
                    for flag in outcome.flags:
                        flagged[trial.name.split()[0], flag.partition(":")[0]] += 1
                    if outcome.flags:
                        last = (outcome.stderr.strip().splitlines() or [""])[-1]
                        print(
                            f"{trial.name}: exit {outcome.code}, {outcome.seconds:.1f} s, {outcome.flags} | {last}",
                            flush=True,
                        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(cells)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return flagged


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
