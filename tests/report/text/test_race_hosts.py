"""What several hosts add to the report of a race: who they are, how strong it is between them, and who failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.errors import ExitCode
from lab.racing.host_figures import lacking
from lab.records import HOST, BetweenHosts, Failure, Host, HostPart, Quantiles, Run
from lab.report.format import Style
from lab.report.text import race_again
from lab.report.text.race import REPORT
from tests.report.records import CLEAN, run_of

TIMES = Quantiles(1_000, 2_000, 3_000)
PARTS = [HostPart(name, 2, 400, holds, 30, TIMES, TIMES, 50_000) for name, holds in (("a", 500), ("b", 300))]
PARTS_BY_NAME = {part.name for part in PARTS}
BETWEEN = BetweenHosts(40, "tickets", 800, 80, 800, 1, 50_000, PARTS)


def run_over(*, trouble: str = "", **changed: object) -> Run:
    """A run of one case over two hosts, with changes to the case."""
    row = replace(CLEAN, between_hosts=BETWEEN, contended_requests=60)
    run = run_of(replace(row, **changed))  # type: ignore[arg-type]
    hosts = [Host(name="a", kernel="Linux 6.1", filesystem="nfs4"), Host(name="b", kernel="Linux 6.1", trouble=trouble)]
    return replace(run, hosts=hosts, options=replace(run.options, hosts=["a", "b"]))


@pytest.mark.parametrize(
    ("hand_offs", "contended", "short", "said"),
    [
        (20, 20, 0, ""),
        (
            19,
            500,
            0,
            "19 hand-offs between hosts, and fewer than 20 show nothing: each host kept the lock for long, a with",
        ),
        (400, 19, 0, "19 requests surely met a holder on another host, and fewer than 20 show nothing; give more"),
        (400, 0, 80, "0 requests surely met a holder on another host, and fewer than 20 show nothing; --window makes"),
    ],
)
def test_too_few_hand_offs_or_foreign_holders_show_nothing(
    hand_offs: int, contended: int, short: int, said: str
) -> None:
    between = replace(BETWEEN, hand_offs=hand_offs, short_holds=short)
    assert lacking(between, contended)[: len(said)] == said
    assert bool(lacking(between, contended)) is bool(said)
    assert lacking(replace(between, compared_holds=0), contended) == ""


def test_hosts_hand_offs_clocks_and_tickets_are_told_within_80_columns() -> None:
    text = REPORT.text_of(run_over(), Style(wide=True))
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert "from 2 hosts (a, b), Linux 6.1;" in flat
    assert "40 hand-offs between hosts, by tickets; 60 requests met a holder on another host" in flat
    assert "clocks known to +- 50.0 us, so that 10% of the holds were too short to compare between hosts" in flat
    assert "1 of 2 trials ended before all rounds were done" in flat
    rows = [line.split() for line in text.splitlines() if line.startswith("counter ")]
    shown = [row[2:6] for row in rows if row[2] in PARTS_BY_NAME]
    assert shown[:2] == [["a", "2", "400", "500"], ["b", "2", "400", "300"]]
    by_clocks = run_over(between_hosts=replace(BETWEEN, ordered_by="clocks", ticketed_holds=0))
    assert "at least 40 hand-offs between hosts, by clocks" in " ".join(REPORT.text_of(by_clocks, Style()).split())


def test_the_next_command_races_again_as_this_one_did() -> None:
    run = run_over(verdict="inconclusive", reason="3 hand-offs between hosts")
    changed = replace(run.options, raise_rounds=False, trials=3, tickets=False, timeout_s=30.0, directory="/mnt/x")
    for options, words in (
        (changed, ["--trials 3", "--no-tickets", "--timeout 30"]),
        (replace(run.options, raise_rounds=True), []),
    ):
        line = race_again.race_line(run.cases[0], options)
        assert [word for word in ("--trials 3", "--no-tickets", "--timeout 30") if word in line] == words
        assert "--hosts a,b" in line


def test_a_host_that_was_lost_is_named_on_stderr_and_in_the_exit_code() -> None:
    lost = [Failure(0, HOST, 0, "killed", "its keeper was killed by signal 9", host="b")]
    reason = "host b: its keeper was killed by signal 9, in trial 0"
    run = run_over(verdict="died", reason=reason, failures=lost)
    assert REPORT.exit_code(run) == ExitCode.FAILED
    assert any(reason in line for line in REPORT.complaints(run))
    out = run_over(trouble="no connection in 10 s")
    assert REPORT.exit_code(out) == ExitCode.UNABLE
    assert "b: no connection in 10 s; the others went on without it" in list(REPORT.complaints(out))
