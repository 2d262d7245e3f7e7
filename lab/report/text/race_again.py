"""Give the lines that a user types after a race, and say what the short explorations beside it covered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil

from lab.analysis.statistics import requests_for
from lab.host.environment import anonymous_text
from lab.locking.registry import MODELLED
from lab.output import lab_command, shell_line
from lab.records import Case, ExploredCase, Options, Run
from lab.records.hosts import TIMEOUT_S
from lab.report.format import plural

NEXT = "next: "
"""So begins the line that names the next command. It is not folded, so that it can be pasted."""

MORE = 10
"""The factor for the rounds of a case that should have broken, or in which no request met a holder."""

SPARE = 1.2
"""The factor by which more trials are asked for than are needed on average."""


def explored(run: Run) -> Iterator[str]:
    """Yield which cases held when they were explored, and in what; locks of which the same is true are one sentence."""
    groups: dict[str, dict[str, str]] = {}
    for case in run.cases:
        if case.explored and not case.breaking_exploration:
            groups.setdefault(case.lock, {})[case.scenario] = _cover(case.explored)
    alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for lock, covers in groups.items():
        alike.setdefault(tuple(covers.items()), []).append(lock)
    for items, locks in alike.items():
        lock, covers = ", ".join(locks), dict(items)
        held = {name: cover for name, cover in covers.items() if cover}
        parts = [f"no order of steps breaks {', '.join(f'{name} ({held[name]})' for name in held)}"] * bool(held)
        others = ", ".join(name for name in covers if not covers[name])
        parts += [f"nothing broke in {others}, of which not every order was tried"] * bool(others)
        yield f"{lock}, explored too (workers x rounds): {'; '.join(parts)}."


def _cover(record: ExploredCase) -> str:
    """Return what was covered; empty where that is not enough to hold."""
    if record.programs:
        return f"programs of up to {record.programs.complete} calls" if record.programs.complete else ""
    if record.verdict != "holds":
        return ""
    bound = "" if record.exhausted else f", at most {plural(record.bound or 0, 'preemption')}"
    return f"{record.workers} x {record.rounds}{bound}"


def next_line(run: Run, bad: list[Case]) -> str:
    """Return the next command for the first of the cases that went wrong for the worst reason; empty for none.

    Faults have such a line of their own, and overlaps that `--leak` asked for need none. A worker that died says itself
    why. A program alone can be watched.
    """
    order = ("damaged", "timeout", "inconclusive")
    tried = [case for case in bad if case.verdict in order and not case.fault and _more_can_be_shown(case, run.options)]
    worst = min(tried, key=lambda case: order.index(case.verdict), default=None)
    return "" if worst is None or (run.options.leak and worst.has_overlaps) else _next_command(worst, run.options)


def _more_can_be_shown(case: Case, options: Options) -> bool:
    """Return True where a command shows more of what went wrong."""
    can_be_watched = case.programs == case.workers and not (options.watch or options.isolate or options.directories)
    return can_be_watched or not case.program


def _next_command(case: Case, options: Options) -> str:
    """Return the line with the command that shows more of what went wrong: step by step, or when who did what."""
    if options.hosts and case.verdict != "inconclusive":
        words = [word for option in _reached(options) for word in option]
        return f"{NEXT}{lab_command()} check {shell_line([*words, options.directory])}"
    if case.explanation and case.explanation.token:
        return replay_line(case.explanation.token)
    if case.program:
        more = ["--watch"]
    elif case.verdict == "inconclusive":
        more = _stronger(case, options)
    elif case.lock in MODELLED and case.shares and not case.explanation:
        more = ["--explain"]
    else:
        more = ["--html", "race.html"]
    return f"{NEXT}{race_line(case, options, *more)}"


def replay_line(token: str) -> str:
    """Return the line that performs a schedule on the real kernel."""
    return f"{NEXT}{lab_command()} replay {token}"


def next_to_break(case: Case, options: Options) -> str:
    """Return the next command for a case that should have broken: the schedule that breaks it, or more rounds."""
    if case.breaking_exploration and case.breaking_exploration.token:
        return replay_line(case.breaking_exploration.token)
    return f"{NEXT}{race_line(case, options, '--rounds', str(MORE * case.rounds))}"


def _stronger(case: Case, options: Options) -> list[str]:
    """Return the options with which a case that was too weak has the strength that was asked for."""
    if case.between_hosts and not options.detects:
        return ["--rounds", str(MORE * case.rounds)]
    detects = options.detects or 0.5
    met = max(case.contended_requests, case.refused_requests)
    asked = ["--detects", f"{detects:g}"]
    if not met:
        return ["--rounds", str(MORE * case.rounds), *asked]
    return ["--trials", str(ceil(SPARE * case.trials * requests_for(detects) / met)), *asked]


def race_line(case: Case, options: Options, *more: str) -> str:
    """Return the command that races this case again, with more options: what is not given again counts as before."""
    words = [*_what(case, options), *_how(case, options)]
    given = {word for word in more if word.startswith("--")}
    kept = [word for option in words if option[0] not in given for word in option]
    return f"{lab_command()} race {shell_line([*kept, *more])}"


def _what(case: Case, options: Options) -> Iterator[list[str]]:
    """Yield what is raced, each option with its value."""
    if case.programs == case.workers:
        yield ["--program", options.program]
        yield ["--check", options.check]
        if options.prepare:
            yield ["--prepare", options.prepare]
        if options.watch:
            yield ["--watch"]
        yield from (["--suppress", each] for each in options.suppress)
        yield from (["--ignore", each] for each in options.ignore)
    else:
        yield [options.files.get(case.scenario, case.scenario)]
        known = case.lock in options.locks or not options.locks
        yield from (["--lock", lock] for lock in ([case.lock] if known else options.locks))  # it may have another name
        if case.programs:
            yield ["--program", options.program]
            yield ["--program-workers", str(case.programs)]
    if options.backings:
        yield ["--backing", case.backing]


def _how(case: Case, options: Options) -> Iterator[list[str]]:
    """Yield how it is raced, each option with its value, where the user chose it."""
    usual = anonymous_text(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - the default of --dir
    yield from (["--dir", each] for each in options.directories or [options.directory] if each != usual)
    yield from _reached(options)
    yield ["--workers", str(case.workers - case.programs if case.programs < case.workers else case.workers)]
    yield ["--seed", str(options.seed)]
    chosen: dict[str, float | str | None] = {
        "--rounds": options.rounds,
        "--pin": options.pin,
        "--window": options.window_ns,
        "--leak": options.leak,
        "--leak-on": ",".join(options.leak_on),
        "--isolate": options.isolate,
        "--detects": options.detects,
    }
    if options.hosts:
        chosen["--trials"] = None if options.raise_rounds else options.trials
        chosen["--timeout"] = options.timeout_s if options.timeout_s != TIMEOUT_S else None
        yield from ([word] for word in ["--no-tickets"] if not options.tickets)
    yield from (
        [name, f"{value:g}" if isinstance(value, float) else str(value)] for name, value in chosen.items() if value
    )


def _reached(options: Options) -> Iterator[list[str]]:
    """Yield which hosts it goes over, and how they are reached, each option with its value."""
    if options.mpi:
        yield ["--mpi"]
    elif options.hosts:
        yield ["--hosts", ",".join(options.hosts)]
        reached = {"--python": options.python, "--ssh-config": options.ssh_config, "--rsh": options.rsh}
        yield from ([name, each] for name, each in reached.items() if each)


def evidence(record: ExploredCase) -> Iterator[str]:
    """Yield the lines below the complaint about a case that only the exploration broke."""
    yield f"  {record.headline}"
    yield f"  on the real kernel: {lab_command()} replay {record.token}"
