"""Records of a check made by hand: what rules, programs and races came to, without a mount."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab.analysis.statistics import detection_limit
from lab.checking.guarantees import GUARANTEES
from lab.records import (
    Case,
    Check,
    CheckOptions,
    CheckVerdict,
    Damage,
    Difference,
    Guarantee,
    Host,
    Mount,
    RandomPrograms,
    RuleResult,
    StressResult,
    Stuck,
)
from tests.report.records import CLEAN, ENVIRONMENT, header

CALLS = ["A: open f = ok", "A: F_SETLK f write 0 10 = granted", "B: F_SETLK f write 0 1 = granted"]
STUCK = Stuck(pid=4711, where="fuse_wait_answer")


def rule(number: int, guarantee: str, verdict: CheckVerdict = "safe", **how: Any) -> RuleResult:
    """A rule that holds, or does not as a lock that is granted twice does not."""
    broken = verdict in ("unsafe", "unsupported")
    made = RuleResult(
        number=number,
        sentence="Who comes second is denied.",
        source="fcntl(2)",
        guarantee=guarantee,
        verdict=verdict,
        guaranteed=True,
        reason="",
        expected="EAGAIN" if broken else "",
        observed="granted" if broken else "not tried: 3 calls hung before" if verdict == "unknown" else "as demanded",
        calls=CALLS if broken else [],
    )
    return replace(made, **how)


def programs(*differences: Difference, number: int = 2000) -> RandomPrograms:
    """So many random programs, of which these differed."""
    return RandomPrograms(programs=number, calls=10 * number, open=0, seconds=3.0, differences=list(differences))


def difference(guarantee: str) -> Difference:
    return Difference(guarantee=guarantee, calls=CALLS, expected="EAGAIN", observed="granted")


def case(lock: str = "fcntl", *, met: int = 100, overlaps: int = 0, lost: int = 0, **how: Any) -> Case:
    """A row of 1,000 rounds."""
    damage = [Damage(kind="lost update", count=lost, of=1000, evidence=["counted"])] if lost else []
    made = replace(
        CLEAN,
        lock=lock,
        contended_requests=met,
        detection_limit=detection_limit(met),
        overlapping_holds=overlaps,
        damage=damage,
        damaged=lost,
        corruption_rate=lost / 1000,
        verdict="damaged" if lost or overlaps else "clean",
    )
    return replace(made, **how)


def race(guarantee: str, backing: str = "stream", raced: Case | None = None, **how: Any) -> StressResult:
    """One race; its verdict is what the stress says of it."""
    row = raced or case()
    verdict: CheckVerdict = "safe" if row.verdict == "clean" else "unsafe" if row.verdict == "damaged" else "unknown"
    made = StressResult(guarantee=guarantee, backing=backing, rules=[61, 67], polled=False, verdict=verdict, case=row)
    return replace(made, **how)


def guarantee(name: str, verdict: CheckVerdict = "safe", *evidence: str, strength: str = "3 rules") -> Guarantee:
    return Guarantee(name=name, title=GUARANTEES[name], verdict=verdict, strength=strength, evidence=list(evidence))


def mounts(*kinds: str) -> list[Mount]:
    """Mounts of these types, /mnt/0 the first."""
    return [Mount(f"/mnt/{number}", kind, "rw") for number, kind in enumerate(kinds)]


def check_of(*guarantees: Guarantee, kinds: Sequence[str] = ("ext4",), **how: Any) -> Check:
    """A check that came to these guarantees."""
    here = mounts(*kinds)
    directories = [mount.directory for mount in here]
    made = Check(
        **header(ENVIRONMENT),
        directories=directories,
        mounts=here,
        options=CheckOptions(directories=directories, only=how.pop("only", []), seconds=8.0, seed=0, workers=4),
        safe=all(each.verdict == "safe" for each in guarantees),
        guarantees=list(guarantees),
        advice=[],
        rules=[],
        random=None,
        stress=[],
        stuck=[],
    )
    return replace(made, **how)


BROKEN = check_of(
    guarantee(
        "posix", "unsafe", "rule 1: expected EAGAIN, observed granted", strength="8 rules, 2 broken; 50 programs"
    ),
    guarantee("ofd", strength="4 rules; 50 programs; detects 1 in 48"),
    guarantee("ranges", "unsafe", "rule 4: expected EAGAIN, observed granted", strength="17 rules, 9 broken"),
    guarantee("deadlock", "unsupported", "rule 44: expected EDEADLK, observed waits", strength="1 rule"),
    guarantee("mapping", "unsafe", "counter under ofd, mapped: lost update", strength="500 of 1,000 damaged under ofd"),
    kinds=("fuse", "fuse"),
    advice=[
        "Use open file description locks: what was tried of them excludes here; POSIX locks may not be.",
        "Reopen.",
    ],
    rules=[
        *[rule(number, name, "unsafe") for number, name in enumerate(["posix"] * 2 + ["ranges"] * 9, start=1)],
        rule(44, "deadlock", "unsupported", expected="EDEADLK", observed="waits"),
        rule(47, "posix", "unsafe", guaranteed=False, reason="POSIX leaves it open"),
    ],
    random=programs(difference("ranges"), number=50),
    stress=[race("posix", raced=case(overlaps=5)), race("mapping", "mapped", case("ofd", lost=500))],
    not_asked=["flock, modes (--only)"],
)
"""A check of a filesystem with several faults, of which one is shared by many rules."""


def host(name: str, **how: Any) -> Host:
    """A host that answers, with the shared directory on NFS."""
    return replace(
        Host(name=name, kernel="Linux 6.1.0", machine="x86_64", cpus=4, python="3.11.2", filesystem="nfs4", sees=True),
        **how,
    )
