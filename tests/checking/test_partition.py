"""What is concluded from the calls of a holder that was cut off, and of the host that asked for its lock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.checking.partition import ASK, LOCK, READ, RELEASE, WRITE, CutCall, CutTimes, Moment, conclude, mark
from lab.checking.request import request_for
from lab.checking.verdict.advice import advice
from lab.checking.verdict.judge import Findings, judge, not_asked
from lab.errors import UsageError
from lab.records import Mount, PartitionResult
from lab.report.text.check_hosts import cut_lines

SECOND = 10**9
CUT, HEALING, HEALED, BACK = (each * SECOND for each in (10, 30, 31, 32))
TIMES = CutTimes(CUT, HEALING, HEALED, BACK)
UNCERTAIN_NS = 1_000_000


def call(what: str, begun_s: float, ended_s: float | None, result: str) -> CutCall:
    """A call at these times, by a clock that is known to a millisecond."""

    def moment(at_s: float) -> Moment:
        return Moment(round(at_s * SECOND) - UNCERTAIN_NS, round(at_s * SECOND) + UNCERTAIN_NS)

    return CutCall(what, moment(begun_s), None if ended_s is None else moment(ended_s), result)


def calls(at_s: float, result: str, *kinds: str) -> list[CutCall]:
    return [call(what, at_s, at_s + 0.1, result) for what in kinds or (READ, WRITE, LOCK)]


BEFORE = [*calls(9, "ok", READ, WRITE), *calls(9, "granted", LOCK)]
GRANTED = [*calls(9.5, "EAGAIN", ASK), *calls(16, "granted", ASK), *calls(16.2, "ok", WRITE)]
FAILED = calls(25, "ENOTCONN")
BACK_REFUSED = [*calls(33, "EBADFD", READ, WRITE), *calls(33, "EAGAIN", LOCK)]
HUNG = [call(what, 11, 31.5, "ok") for what in (READ, WRITE)] + [call(LOCK, 11, 31.5, "granted")]
OLD, NEW = mark("held", 9).decode(), mark("ask", 1).decode()

AFTER_A_CUT: dict[str, tuple[Sequence[CutCall], Sequence[CutCall], str, str, str]] = {
    "its calls fail from then on": ([*FAILED, *BACK_REFUSED], GRANTED, NEW, "safe", "What a had written is still"),
    "its writes succeed again": (
        [*FAILED, *calls(33, "ok", READ, WRITE)], GRANTED, OLD, "unsafe", "OVERWRITTEN",
    ),
    "its writes succeed again, and were overwritten": (
        [*FAILED, *calls(33, "ok", WRITE)], GRANTED, NEW, "unsafe", "it wrote on, though a held the lock",
    ),
    "its writes never failed": (calls(20, "ok", READ, WRITE), GRANTED, OLD, "unsafe", "While cut off, it read on and"),
    "a write that hung arrives late": (HUNG, GRANTED, OLD, "unsafe", "b never saw an error"),
    "calls that hung succeed, of no effect": (HUNG, GRANTED, NEW, "safe", "None of its calls failed"),
    "the lock is granted to both": (
        [*FAILED, *calls(33, "granted", LOCK), *calls(33, "EIO", WRITE)], GRANTED, NEW, "unsafe", "granted the lock a",
    ),
    "it reads on alone": (
        [*FAILED, *calls(33, "ok", READ), *calls(33, "EIO", WRITE)], GRANTED, NEW, "safe", "it read on, though a held",
    ),
    "the other is granted it once it is healed": (
        [*calls(20, "ETIMEDOUT"), *calls(36, "ok", WRITE)],
        [*calls(35, "granted", ASK), *calls(35.2, "ok", WRITE)], OLD, "unsafe",
        "a was granted the lock 25.1 s after the cut, 15.0 s after b had seen its",
    ),
    "nobody else is granted it": ([*HUNG, *calls(33, "ok", WRITE)], calls(9.5, "EAGAIN", ASK), OLD, "safe", "not gr"),
    "the cut reached nothing": (calls(20, "ok", WRITE), calls(9.5, "EAGAIN", ASK), OLD, "unknown", "the cut did not"),
    "it is not heard of again": ([call(WRITE, 11, None, "")], GRANTED, NEW, "unknown", "were not answered after"),
    "the new holder cannot write": (
        [*FAILED, *BACK_REFUSED], [*GRANTED[:2], *calls(16.2, "EROFS", WRITE)], OLD, "unknown", "and could not write",
    ),
}  # fmt: skip


def concluded(held: Sequence[CutCall], asked: Sequence[CutCall], view: str, lost: str = "") -> PartitionResult:
    return conclude("posix", ("b", "a"), TIMES, [*BEFORE, *held], asked, {"a": view, "c": view}, lost)


@pytest.mark.parametrize("about", AFTER_A_CUT)
def test_a_holder_that_was_cut_off_is_judged_by_what_it_did_while_another_held_its_lock(about: str) -> None:
    held, asked, view, verdict, words = AFTER_A_CUT[about]
    found = concluded(held, asked, view)
    assert found.verdict == verdict
    assert any(words in line for line in cut_lines([found])), list(cut_lines([found]))
    (judged,) = judge(request_for(["partition"], on_hosts=True, cut=True), Findings(partitions=[found]))
    assert (judged.name, judged.verdict) == ("fenced", verdict)
    assert bool(judged.evidence) is (verdict != "safe")
    told = " ".join(advice([judged], [Mount("b:/mnt", "nfs4", "")] * 2, partitions=[found], on_hosts=True))
    assert ("draw a number" in told) is (verdict == "unsafe")
    assert ("After any error" in told) is (found.granted_s is not None)


def test_times_are_counted_from_the_cut_and_from_the_healing() -> None:
    found = concluded([*FAILED, *calls(33, "ok", READ, WRITE), *calls(38, "ENOTCONN", RELEASE)], GRANTED, OLD)
    assert (found.cut_s, found.granted_s, found.learned_s, found.back_s) == (20.0, 6.1, 15.1, 1.0)
    assert (found.overwrote, found.released) == (True, "ENOTCONN")
    read, write, lock = found.calls
    assert [each.call for each in found.calls] == ["read", "write", "lock"]
    assert (write.error, write.error_s, write.again_s) == ("ENOTCONN", 15.1, 2.1)
    assert (read.unfenced_healed, write.unfenced_healed, lock.unfenced_healed, lock.again_s) == (1, 1, 0, None)
    assert "9.0 s before b saw an error" in next(cut_lines([found]))


def test_a_host_that_is_lost_is_no_proof_and_says_who_was_granted_its_lock() -> None:
    found = concluded([], GRANTED, NEW, "b: the connection is gone")
    assert (found.verdict, found.granted_s) == ("unknown", 6.1)
    assert "b: the connection is gone" in next(cut_lines([found]))


def test_locks_of_which_the_same_is_said_share_a_paragraph() -> None:
    one = concluded([*FAILED, *BACK_REFUSED], GRANTED, NEW)
    another = conclude(
        "flock", ("b", "a"), TIMES, [*BEFORE, *calls(26, "ENOTCONN"), *BACK_REFUSED], GRANTED, {"a": NEW}
    )
    (line,) = cut_lines([one, another])
    assert line.startswith("POSIX locks and flock: b held")
    assert "9.0 to 10.0 s before b saw an error" in line


def test_without_a_command_the_cut_is_not_asked_and_the_line_to_type_is_said() -> None:
    hosts = request_for([], on_hosts=True)
    assert "partition" not in hosts.parts
    assert "fenced" not in hosts.guarantees
    said = not_asked(hosts, several=True, left_out=[])
    assert any(
        "cut off from the file server (--faults --cut 'COMMAND {}' --heal 'COMMAND {}')" in each for each in said
    )
    assert "fenced" in request_for([], on_hosts=True, cut=True).guarantees
    alone = not_asked(request_for([]), several=False, left_out=[])
    assert not any("fenced" in each or "cut off" in each for each in alone)
    for only in ("partition", "fenced"):
        for on_hosts, words in ((True, "takes what cuts a host off: --faults --cut"), (False, "takes several hosts")):
            with pytest.raises(UsageError, match=words):
                request_for([only], on_hosts=on_hosts)
