"""Derive the evidence of a check on several hosts: who was refused, and how often the turns found stale data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.analysis.statistics import joined, plural
from lab.checking.guarantees import EXCLUSION, FENCING
from lab.checking.partition import LOCK, WRITE
from lab.checking.turns import DATA, LEAST_HANDOFFS, OTHER
from lab.locking.registry import OWN
from lab.records import CheckVerdict, LockProbe, PartitionResult, TurnResult

Saying = tuple[CheckVerdict, str]
PLACES = {DATA: "the data file", OTHER: "another file"}
ALONE, BESIDE = "reopened", "reopened, also open elsewhere"


def about_probes(name: str, probes: Sequence[LockProbe]) -> Iterator[Saying]:
    """Yield what each host was answered that asked for this lock while another held it."""
    for each in telling(probes):
        if each.lock == name:
            yield each.verdict, words_of(each)


def telling(probes: Sequence[LockProbe]) -> Iterator[LockProbe]:
    """Yield the answers, without those of readers where even two writers were granted a lock."""
    lawless = {(each.lock, each.holder, each.asker) for each in probes if each.granted_falsely and _is_exclusive(each)}
    for each in probes:
        if _is_exclusive(each) or (each.lock, each.holder, each.asker) not in lawless:
            yield each


def _is_exclusive(probe: LockProbe) -> bool:
    return probe.held == probe.asked == "exclusive"


def too_strict(probe: LockProbe) -> bool:
    """Tell whether a reader was refused beside a reader: such a lock still excludes."""
    return probe.verdict == "unsafe" and not probe.granted_falsely


def words_of(probe: LockProbe) -> str:
    """Return what is wrong with an answer; empty where it was a refusal."""
    if probe.verdict == "safe":
        return ""
    held, too = (" shared" * (mode == "shared") for mode in (probe.held, probe.asked))
    if too_strict(probe):
        return f"held shared on {probe.holder}, and refused to a reader on {probe.asker} ({probe.answer})"
    if probe.verdict == "unsafe":
        return f"held{held} on {probe.holder}, and granted{too} on {probe.asker} too"
    if probe.verdict == "unsupported":
        return f"not supported on {probe.asker} ({probe.answer})"
    where = f"on {probe.asker}" if probe.holder == probe.asker else f"held on {probe.holder}, on {probe.asker}"
    return f"{where}: {probe.answer}"


def about_turns(name: str, turns: Sequence[TurnResult]) -> Iterator[Saying]:
    """Yield what the turns found of this guarantee; where one lock only is refused, the others say enough."""
    own = [each for each in turns if each.guarantee == name]
    some = any(each.verdict != "unsupported" for each in own)
    for each in own:
        yield ("safe" if each.verdict == "unsupported" and some else each.verdict), told(each)


def told(turn: TurnResult) -> str:
    """Return what went wrong in a series of turns; empty where nothing did."""
    if turn.verdict == "safe":
        return ""
    if turn.verdict == "unsupported":
        return f"turns: {turn.reason}"
    what = f"turns under {OWN[EXCLUSION[turn.lock]].title} on {PLACES[turn.place]}, {turn.way}"
    return f"{what}: {stale(turn.stale, turn.handoffs) if turn.stale else turn.reason}"


def stale(count: int, handoffs: int) -> str:
    """Return how many hand-offs were stale."""
    return f"{count} of {plural(handoffs, 'hand-off')} stale"


def about_partitions(name: str, partitions: Sequence[PartitionResult]) -> Iterator[Saying]:
    """Yield what holders did that were cut off."""
    for each in partitions if name in FENCING else ():
        yield each.verdict, words_of_cut(each)


def words_of_cut(found: PartitionResult) -> str:
    """Return what is wrong with what a holder did, or what is not known of it; empty where it was fenced off."""
    title = OWN[EXCLUSION[found.lock]].title
    if found.verdict == "safe":
        return ""
    if found.verdict != "unsafe" or found.granted_s is None:
        return f"{title}: {found.reason}"
    calls = {each.call: each for each in found.calls}
    did = []
    if calls[WRITE].unfenced:
        did.append("wrote on without an error")
    if found.overwrote:
        did.append(f"overwrote what {found.asker} had written")
    elif calls[WRITE].unfenced_healed:
        did.append("wrote again once it was back")
    if calls[LOCK].unfenced + calls[LOCK].unfenced_healed:
        did.append("was granted the lock too")
    return (
        f"{title}: {found.asker} was granted it {found.granted_s:.1f} s after the cut, and {found.holder} {joined(did)}"
    )


def strength_of_cuts(name: str, partitions: Sequence[PartitionResult]) -> Iterator[str]:
    """Yield how long the cut lasted, and of how many locks the holder was fenced off or kept its lock."""
    known = [each for each in partitions if each.verdict in ("safe", "unsafe")]
    if name not in FENCING or not known:
        return
    taken = [each for each in known if each.granted_s is not None]
    good = sum(each.verdict == "safe" for each in taken)
    longest = max(each.cut_s for each in known)
    said = [f"fenced off in {good} of {len(taken)}"] if taken else []
    kept = len(known) - len(taken)
    yield "; ".join([*said, *([f"{plural(kept, 'lock')} kept in {longest:.0f} s"] if kept else [])])


def strengths(name: str, probes: Sequence[LockProbe], turns: Sequence[TurnResult]) -> Iterator[str]:
    """Yield what was tried of this guarantee."""
    answers = [each for each in probes if each.lock == name and each.holder != each.asker]
    readers = [each for each in answers if each.held == each.asked == "shared"]
    others = [each for each in answers if each not in readers]
    for done, some in (("refused", others), ("readers admitted", readers)):
        if some:
            yield f"{done} {sum(each.verdict == 'safe' for each in some)} of {len(some)}"
    handoffs = sum(each.handoffs for each in turns if each.guarantee == name)
    if handoffs:
        yield stale(sum(each.stale for each in turns if each.guarantee == name), handoffs)


def excluded(probes: Sequence[LockProbe]) -> bool:
    """Tell whether any lock that was tried excludes between the hosts."""
    return not probes or any(
        all(each.verdict == "safe" or too_strict(each) for each in probes if each.lock == lock) for lock in EXCLUSION
    )


def share(turns: Sequence[TurnResult], way: str, place: str) -> tuple[int, int]:
    """Return how many hand-offs were stale by this way with the lock at this place, of how many, under all locks."""
    own = [each for each in turns if (each.way, each.place) == (way, place)]
    return sum(each.stale for each in own), sum(each.handoffs for each in own)


def lost_by(name: str, turns: Sequence[TurnResult]) -> str:
    """Return how many of the hand-offs for this guarantee were stale, in words; empty where none was."""
    own = [each for each in turns if each.guarantee == name]
    count = sum(each.stale for each in own)
    return stale(count, sum(each.handoffs for each in own)) if count else ""


def advice_of(turns: Sequence[TurnResult]) -> Iterator[str]:
    """Yield where to put the lock, and what to do with the file inside it, as the turns show it."""
    places = {place: share(turns, "pread, pwrite", place) for place in (DATA, OTHER)}
    if _fresh(places[DATA]) and places[OTHER][0]:
        yield (
            "On this mount lock the data file itself: under a lock on another file "
            f"{stale(*places[OTHER])}, under one on the data file none."
        )
    alone, beside = share(turns, ALONE, OTHER), share(turns, BESIDE, OTHER)
    if _fresh(alone) and beside[0]:
        yield (
            "A file that is reopened inside a lock on another file is fresh only where no process of that host has it "
            f"open besides: with another descriptor open {stale(*beside)}."
        )
    elif _fresh(alone) and places[DATA][0]:
        yield (
            f"Reopen the file inside a lock on another file: {stale(*alone)}, and {places[DATA][0]} of "
            f"{places[DATA][1]} where it stays open."
        )


def advice_of_cuts(partitions: Sequence[PartitionResult]) -> Iterator[str]:
    """Yield what to do where a holder that is cut off loses its lock, and can go on."""
    unsafe = [each for each in partitions if each.verdict == "unsafe"]
    if unsafe:
        yield (
            "A host that is cut off loses its lock here, and can go on writing without it: draw a number with each "
            "lock that only grows, keep it beside the data, and let the writer or the storage refuse a smaller one; or "
            "have the host shut down before its lock is given away (fencing)."
        )
    if any(each.granted_s is not None for each in partitions):
        yield (
            "After any error of a call inside a lock the lock may be gone, even if the next call succeeds: close the "
            "file, lock it again, and read it anew before anything is written."
        )
    kept = [each for each in partitions if each.verdict == "safe" and each.granted_s is None]
    if kept:
        yield (
            f"Nobody else was granted the lock of a host that was cut off for {max(each.cut_s for each in kept):.0f} "
            "s: a lease of the server may be longer than that (--cut-seconds)."
        )


def _fresh(found: tuple[int, int]) -> bool:
    """Tell whether there were enough hand-offs, and none was stale."""
    return found[0] == 0 and found[1] >= LEAST_HANDOFFS
