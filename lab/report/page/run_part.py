"""The data of the page's third section: a run with its tables, its environment and its recorded trials."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from typing import Any

from lab.environment import anonymous_text
from lab.report.tables import what_broke, what_it_cost, what_it_used
from lab.report.verdicts import conclusions, heading
from lab.results import Case, Run

from .paths import without_paths
from .recorded import recorded

TABLES: tuple[tuple[str, str, Callable[[Run, str], str]], ...] = (
    ("What broke", "One row a case: what was damaged, how often, and what would have been noticed.", what_broke),
    ("What it cost", "Speed, its price against no lock, how long requests waited and locks were held.", what_it_cost),
    ("What it used", "Processor time, context switches, page faults, memory of the largest worker.", what_it_used),
)

HELP = {
    "damaged operations": "operations found damaged, of all that were done",
    "rate": "what was damaged, of all that could be",
    "trials": "damaged trials, of those that could be judged",
    "95 % interval": "exact interval of the rate of damaged trials",
    "two in": "pairs of holds that overlapped and may not",
    "notices": "a lock that lies this often would have been noticed with 95 % probability",
    "verdict": "in capitals where it was not announced",
    "ops/s": "operations of all workers together in a second",
    "price": "how many times slower than without a lock",
    "overtaken": "the most later requests that were granted before one that waited",
    "gave up": "requests that the lock refused after a time of its own",
    "voluntary": "context switches because the worker waited",
    "involuntary": "context switches because the processor was taken from it",
    "private KiB": "the largest private memory of a worker (USS)",
    "peak KiB": "the largest resident memory of a worker",
}

ENVIRONMENT = {
    "lab": "lab",
    "python": "Python",
    "recorder": "recorder of holds",
    "kernel": "kernel",
    "machine": "machine",
    "cpu": "processor",
    "cpus": "CPUs",
    "cpus_allowed": "CPUs allowed",
    "filesystem": "filesystem",
    "mount_options": "mount options",
    "load_at_start": "load at the start",
}


def run_part(run: Run) -> bytes:
    """The run as JSON; no absolute paths, no user names."""
    import msgspec

    part = {
        "heading": heading(run),
        "started": run.started,
        "conclusions": list(conclusions(run)),
        "tables": [_table(run, *each) for each in TABLES],
        "environment": [[label, str(getattr(run.environment, name))] for name, label in ENVIRONMENT.items()],
        "options": _options(run),
        "cases": [_case(case) for case in run.cases],
    }
    # First the home directory, which may have spaces in it: where a path ends can then be told.
    told = anonymous_text(msgspec.json.encode(part).decode())
    return msgspec.json.encode(without_paths(msgspec.json.decode(told)))


def _table(run: Run, title: str, caption: str, make: Callable[[Run, str], str]) -> dict[str, Any]:
    head, *rows = csv.reader(StringIO(make(run, "csv")))
    return {"title": title, "caption": caption, "head": [[name, HELP.get(name, "")] for name in head], "rows": rows}


def _options(run: Run) -> list[list[str]]:
    """What was asked for, without the directory."""
    asked = run.options
    told = {
        "trials a case": f"{asked.trials:,}",
        "rounds of each worker": f"{asked.rounds:,}" if asked.rounds else "the scenario's own",
        "seed": str(asked.seed),
        "processors": asked.pin or "the scenario's own choice",
        "race window": f"widened by {asked.window_ns:,} ns before every store" if asked.window_ns else "not widened",
        "false grants": f"with probability {asked.leak:g}: a negative control" if asked.leak else "none asked for",
        "time limit": f"{asked.time_limit_s:g} s",
    }
    return [[label, text] for label, text in told.items()]


def _case(case: Case) -> dict[str, Any]:
    return {
        "scenario": case.scenario,
        "lock": case.lock,
        "region": case.region,
        "workers": case.workers,
        "verdict": case.verdict,
        "expected": case.as_expected,
        "kinds": [each.kind for each in sorted(case.damage, key=lambda each: -each.count)],
        "reason": case.reason,
        "why": case.why,
        "recording": recorded(case),
    }
