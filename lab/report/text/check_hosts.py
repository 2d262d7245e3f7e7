"""Write the hosts of a check, who was refused on them, and the table of their turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.analysis.statistics import joined, plural
from lab.checking.guarantees import EXCLUSION
from lab.checking.partition import DONE, LOCK, READ, WRITE
from lab.checking.turns import DATA, OTHER, WAYS
from lab.checking.verdict.between_hosts import telling, words_of
from lab.locking.registry import OWN
from lab.records import Check, PartitionResult, TurnResult
from lab.report.format import Column, Table, wrapped

WIDTH = 80
CALLED = {READ: "read", WRITE: "write", LOCK: "lock call"}
DID = {READ: "read on", WRITE: "wrote on", LOCK: "was granted the lock again"}
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
    shown += [f"\n{wrapped(line, width=WIDTH)}" for line in cut_lines(run.partitions)]
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
        hosts = plural(len({each.holder for each in run.probes}), "host")
        readers = "; held shared, readers alone admitted" * any(each.held == "shared" for each in run.probes)
        yield f"Held exclusively on each of {hosts} in turn, and refused on the others{readers}: {names}."
    answers: dict[str, list[str]] = {}
    for each in telling(run.probes):
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


def cut_lines(cuts: Sequence[PartitionResult]) -> Iterator[str]:
    """Yield what came of a cut: a paragraph for all locks of which the same is said, but for the times."""
    alike: dict[object, list[PartitionResult]] = {}
    for cut in cuts:
        alike.setdefault(_without_times(cut), []).append(cut)
    for some in alike.values():
        yield f"{joined([OWN[EXCLUSION[cut.lock]].title for cut in some])}: {' '.join(_told(some))}"


def _without_times(cut: PartitionResult) -> object:
    calls = [(each.call, bool(each.errors), bool(each.unfenced), bool(each.unfenced_healed)) for each in cut.calls]
    return cut.granted_s is None, _late_s(cut) is None, cut.overwrote, cut.verdict, cut.reason, tuple(calls)


def _told(cuts: Sequence[PartitionResult]) -> Iterator[str]:
    """Yield the sentences: who was granted it meanwhile, what the old holder saw, and what it did once it was back."""
    first = cuts[0]
    holder, asker = first.holder, first.asker
    if not first.calls:
        yield f"inconclusive, for {first.reason}."
        return
    yield f"{holder} held, and was cut off for {_span([cut.cut_s for cut in cuts])}."
    if first.granted_s is None:
        yield f"{asker} was not granted the lock."
    else:
        late = [found for cut in cuts if (found := _late_s(cut)) is not None]
        since = f"{_span(late)} before {holder} saw an error" if late else f"and {holder} never saw an error"
        if late and max(late) <= 0:
            since = f"{_span([-each for each in late])} after {holder} had seen its first error"
        yield f"{asker} was granted the lock {_span([cut.granted_s or 0.0 for cut in cuts])} after the cut, {since}."
    yield _errors(cuts)
    yield from _late_calls(first)
    if first.reason:
        yield f"Inconclusive: {first.reason}."


def _late_s(cut: PartitionResult) -> float | None:
    """Return for how long both believed that they held the lock; None where the old holder was never told."""
    return None if cut.granted_s is None or cut.learned_s is None else cut.learned_s - cut.granted_s


def _errors(cuts: Sequence[PartitionResult]) -> str:
    """Say what the calls of the old holder came to."""
    errors: dict[str, list[str]] = {}
    for each in (call for cut in cuts for call in cut.calls if call.errors):
        seen = errors.setdefault(each.call, [])
        seen += [error for error in each.errors if error not in seen]
    said = [f"{CALLED[what]} {', '.join(errors[what])}" for what in CALLED if what in errors]
    hung = list(dict.fromkeys(CALLED[each.call] for cut in cuts for each in cut.calls if each.unanswered))
    text = f"Its errors: {'; '.join(said)}." if said else "None of its calls failed."
    return text + (f" Not answered until the end: {joined(hung)}." if hung else "")


def _late_calls(cut: PartitionResult) -> Iterator[str]:
    """Say what the old holder did while the other held the lock."""
    calls = {each.call: each for each in cut.calls}
    for when, count in (("While cut off", "unfenced"), ("Back on the network", "unfenced_healed")):
        done = [DID[what] for what in (READ, WRITE, LOCK) if getattr(calls[what], count)]
        if done:
            yield f"{when}, it {joined(done)}, though {cut.asker} held the lock."
    if cut.overwrote:
        yield f"What {cut.asker} had written is OVERWRITTEN."
    elif cut.overwrote is not None:
        yield f"What {cut.asker} had written is still there."
    if cut.granted_s is not None and cut.released in DONE:
        yield "Its unlock succeeded, as if the lock were still its own."


def _span(seconds: Sequence[float]) -> str:
    """Return the times, in s."""
    least, most = f"{min(seconds):.1f}", f"{max(seconds):.1f}"
    return f"{least} s" if least == most else f"{least} to {most} s"
