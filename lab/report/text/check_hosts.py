"""Write the hosts of a check, who was refused on them, and the table of their turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.analysis.statistics import joined, plural
from lab.checking.guarantees import EXCLUSION
from lab.checking.turns import DATA, OTHER, WAYS
from lab.checking.verdict.between_hosts import words_of
from lab.locking.registry import OWN
from lab.records import Check, TurnResult
from lab.report.format import Column, Table, wrapped

WIDTH = 80
WORDS = {"unsupported": "unsupported", "unknown": "unknown", "unsafe": "UNSAFE"}


def places(run: Check) -> str:
    """Return the hosts, the directory and its filesystem on them."""
    names = ", ".join(host.name for host in run.hosts)
    kinds = " and ".join(dict.fromkeys(host.filesystem for host in run.hosts if host.filesystem))
    return f"{names}: {run.directories[0]}" + (f" ({kinds})" if kinds else "")


def kernels(run: Check) -> str:
    """Return the kernels of the hosts, each once."""
    return ", ".join(dict.fromkeys(host.kernel for host in run.hosts if host.kernel)) or run.environment.kernel


def hosts_text(run: Check, *, full: bool = False) -> str:
    """Return what the hosts were answered and found in their turns; empty for a check of this machine.

    Unless it is `full`, a way is left out that was tried beside another one and came to the same.
    """
    if not run.hosts:
        return ""
    parts = [wrapped(line, width=WIDTH) for line in [*_troubles(run), *_shared(run), *_probes(run)]]
    table = turns_table(run.turns if full else list(_telling(run.turns)))
    shown = [*parts, *(["", table.render()] if table.rows else [])]
    return "\n".join(shown).strip()


def _troubles(run: Check) -> Iterator[str]:
    for host in run.hosts:
        if host.trouble:
            yield f"NOT TRIED: {host.name}: {host.trouble}"


def _shared(run: Check) -> Iterator[str]:
    for host in run.hosts:
        if host.same_kernel_as:
            yield (
                f"{host.name} runs on the same kernel as {host.same_kernel_as}: what holds between them says nothing "
                "about two machines."
            )


def _probes(run: Check) -> Iterator[str]:
    """Yield who is refused, in one sentence where all are, and each answer that is no refusal."""
    locks = [lock for lock in EXCLUSION if any(each.lock == lock for each in run.probes)]
    refused = [lock for lock in locks if all(each.verdict == "safe" for each in run.probes if each.lock == lock)]
    if refused:
        names = joined([OWN[EXCLUSION[lock]].title for lock in refused])
        hosts = len({each.holder for each in run.probes})
        yield f"Held exclusively on each of {plural(hosts, 'host')} in turn, and refused on the others: {names}."
    answers: dict[str, list[str]] = {}
    for each in run.probes:
        if each.verdict != "safe":
            answers.setdefault(words_of(each), []).append(OWN[EXCLUSION[each.lock]].title)
    for words, titles in answers.items():
        yield f"{joined(list(dict.fromkeys(titles)))}: {words}."


def _telling(turns: Sequence[TurnResult]) -> Iterator[TurnResult]:
    """Yield the turns without those of ways that came to the same as the one beside which they were tried."""
    found = {(each.way, each.place, each.lock): each.verdict for each in turns}
    for each in turns:
        way = next(way for way in WAYS if way.name == each.way)
        others = [other.name for other in WAYS if way.beside in other.guarantees.values()]
        own = {key: verdict for key, verdict in found.items() if key[0] == way.name}
        if not any(all(found.get((name, *key[1:])) == own[key] for key in own) for name in others):
            yield each


def turns_table(turns: Sequence[TurnResult]) -> Table[tuple[str, list[TurnResult]]]:
    """Return how many hand-offs were stale: a row for each way, and for each lock where they differ."""
    rows: list[tuple[str, list[TurnResult]]] = []
    for way in dict.fromkeys(each.way for each in turns):
        own = [each for each in turns if each.way == way]
        locks = list(dict.fromkeys(each.lock for each in own))
        by_lock = {lock: [each for each in own if each.lock == lock] for lock in locks}
        alike = len({tuple(sorted((each.place, each.verdict) for each in some)) for some in by_lock.values()}) == 1
        rows += [(way, own)] if alike else [(f"{way} ({lock})", some) for lock, some in by_lock.items()]
    columns: list[Column[tuple[str, list[TurnResult]]]] = [
        Column("stale hand-offs", lambda row: row[0], left=True, key=True),
        Column("lock on the data file", lambda row: _cell(row[1], DATA), left=True),
        Column("lock on another file", lambda row: _cell(row[1], OTHER), left=True),
    ]
    return Table(columns, rows)


def _cell(turns: Sequence[TurnResult], place: str) -> str:
    own = [each for each in turns if each.place == place]
    if not own:
        return "-"
    count, handoffs = sum(each.stale for each in own), sum(each.handoffs for each in own)
    worst = next((word for verdict, word in WORDS.items() if any(each.verdict == verdict for each in own)), "")
    return f"{count} of {handoffs}" if count or not worst else worst
