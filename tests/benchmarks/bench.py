"""What `compare` makes of runs of the same benchmark, and of a lock that became 20 % slower; and whether it is so.

    python tests/benchmarks/bench.py [same] [slower]

Each runs a benchmark five times or more and compares them in pairs; nothing is asserted. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RUNS = 5
SLOWER = 0.20
PRICES = ("uncontended", "hand-off", "queue")


def main(chosen: list[str]) -> None:
    print(f"{platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    for name, benchmark in BENCHMARKS.items():
        if not chosen or name in chosen:
            print(f"\n{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
            with tempfile.TemporaryDirectory() as folder:
                benchmark(Path(folder))


def same(folder: Path) -> None:
    """verdicts of all pairs of five runs of fcntl, ofd and flock (same in 9 of 10)."""
    runs = [measured(folder / f"{number}.json", "--lock", "fcntl,ofd,flock") for number in range(RUNS)]
    told(combinations(runs, 2))


def slower(folder: Path) -> None:
    """verdicts of runs of a lock against runs of the same lock that spins for 20 % of its price (worse in 9 of 10)."""
    for price in PRICES:
        options = ("--lock", "spinning:Spinning", "--price", price)
        base = measured(folder / "base.json", *options)
        spin_ns = round(SLOWER * json.loads(base.read_text())["locks"][0]["median_ns"])
        before, after = [], []
        for number in range(RUNS):
            before.append(measured(folder / f"{price}{number}.json", *options))
            after.append(measured(folder / f"{price}{number}s.json", *options, spin_ns=spin_ns))
        told([*zip(before, after, strict=True), *zip(before, [*after[1:], after[0]], strict=True)])


def measured(path: Path, *options: str, spin_ns: int = 0) -> Path:
    """Run `bench`; the path of its document."""
    run_lab("bench", *options, "--json", path, spin_ns=spin_ns)
    return path


def told(pairs: Iterable[tuple[Path, Path]]) -> None:
    """A row a case: how many pairs had which verdict, and the ratios from the smallest to the largest."""
    counts: dict[str, Counter[str]] = {}
    ratios: dict[str, list[float]] = {}
    for before, after in pairs:
        for case in json.loads(run_lab("compare", before, after, "--json", "-"))["cases"]:
            counts.setdefault(case["name"], Counter())[case["verdict"]] += 1
            ratios.setdefault(case["name"], []).append(case["ratio"])
    for name, verdicts in counts.items():
        found = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        print(f"{name:28} {found:32} {min(ratios[name]):.2f} to {max(ratios[name]):.2f}")


def run_lab(*arguments: Any, spin_ns: int = 0) -> str:
    environment = {**os.environ, "SPIN_NS": str(spin_ns), "PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
    command = [sys.executable, "-m", "lab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


BENCHMARKS: dict[str, Callable[[Path], None]] = {"same": same, "slower": slower}

if __name__ == "__main__":
    main(sys.argv[1:])
