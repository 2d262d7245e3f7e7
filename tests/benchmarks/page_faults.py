"""Where the page faults of a crowd's workers go, beside those of a child of a bare interpreter that ends at once.

    python tests/benchmarks/page_faults.py [workers]

The kernel's trace events say the address of each fault (tracefs at /sys/kernel/tracing, as root); /proc/PID/maps of the
parent says what lies there. Figures are faults a child, the mean of the middle half of all children by their number.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
TRACE = Path("/sys/kernel/tracing/instances/lab-page-faults")
FAULT = re.compile(r"-(\d+) +\[\d+\].*: page_fault_\w+: address=0x([0-9a-f]+) ip=\S+ error_code=0x([0-9a-f]+)")
PRESENT, WRITE, FETCH = 1, 2, 16
HELD_BACK = "import os, sys; sys.stdin.readline(); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

Where = tuple[str, str]


def main(workers: str = "300") -> None:
    race = ["-m", "lab", "race", "counter", "--locked", "--workers", workers, "--rounds", "1", "--trials", "1"]
    commands = {"race": [*race, "--no-save", "--quiet"], "bare": [str(HERE / "bare_fork.py"), workers]}
    found = {name: traced(command) for name, command in commands.items()}
    print("a child's page faults            race   bare")
    for kind in ("copied page", "code", "other"):
        of_kind = {where for counts in found.values() for where in counts if where[0] == kind}
        for where in sorted(of_kind, key=lambda each: -found["race"][each]):
            shown = [found[name][where] for name in commands]
            if max(shown) >= 1:
                print(f"{where[0]:12} {where[1]:16} {shown[0]:8.0f} {shown[1]:6.0f}")
    print(f"{'all':29} {found['race'].total():8.0f} {found['bare'].total():6.0f}")


def traced(command: list[str]) -> Counter[Where]:
    """The faults of the children of this command by kind and place, a child."""
    TRACE.mkdir()
    try:
        write("buffer_size_kb", "32768")
        write("options/event-fork", "1")
        for event in ("user", "kernel"):
            write(f"events/exceptions/page_fault_{event}/enable", "1")
        started = subprocess.Popen(
            [sys.executable, "-c", HELD_BACK, *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        write("set_event_pid", str(started.pid))
        assert started.stdin
        started.stdin.write(b"\n")
        started.stdin.close()
        maps = ""
        while started.poll() is None:
            with suppress(OSError):
                maps = Path(f"/proc/{started.pid}/maps").read_text() or maps
            with suppress(subprocess.TimeoutExpired):
                started.wait(0.02)
        return counted((TRACE / "trace").read_text(), maps, started.pid)
    finally:
        TRACE.rmdir()


def write(name: str, text: str) -> None:
    (TRACE / name).write_text(text)


def counted(trace: str, maps: str, parent: int) -> Counter[Where]:
    places = [place(line) for line in maps.splitlines()]
    children: defaultdict[int, list[Where]] = defaultdict(list)
    for found in FAULT.finditer(trace):
        pid, address, code = int(found[1]), int(found[2], 16), int(found[3], 16)
        if pid != parent:
            kind = "copied page" if code & PRESENT and code & WRITE else "code" if code & FETCH else "other"
            where = next((name for start, stop, name in places if start <= address < stop), "another")
            children[pid].append((kind, where))
    ordered = sorted(children.values(), key=len)
    middle = ordered[len(ordered) // 4 : -(len(ordered) // 4)]
    total = Counter(where for child in middle for where in child)
    return Counter({where: count / len(middle) for where, count in total.items()})


def place(line: str) -> tuple[int, int, str]:
    """Start, end and name of a mapping: the library's, or what kind of memory it is."""
    start, _, rest = line.partition("-")
    stop, *facts = rest.split()
    name = facts[4] if len(facts) > 4 else "Python's heap"
    known = {"[heap]": "C's heap", "[stack]": "stack"}
    library = "Python" if "python3" in name and "lib-dynload" not in name else "libc" if "libc.so" in name else "others"
    return int(start, 16), int(stop, 16), known.get(name, library if "/" in name else name)


if __name__ == "__main__":
    main(*sys.argv[1:])
