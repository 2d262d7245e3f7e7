from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.racing.mailbox import EVIDENCE_KEPT, Mailbox, Report, Reports, Seen
from tests.helpers import in_fresh_process


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


def test_damage_is_counted_by_kind_and_the_first_evidence_kept() -> None:
    reports = Reports()
    for number in range(EVIDENCE_KEPT + 2):
        reports.damaged("torn read", f"read {number}")
    reports.damaged("stray value", "once")
    assert reports.seen == {
        "torn read": Seen(EVIDENCE_KEPT + 2, [f"read {number}" for number in range(EVIDENCE_KEPT)]),
        "stray value": Seen(1, ["once"]),
    }


def test_two_workers_do_not_share_their_evidence() -> None:
    one, other = Reports(), Reports()
    one.damaged("torn read", "mine")
    assert other.seen == {}


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [Report(3, {"torn read": Seen(7, ["one", "two"])}, "ValueError: no", "ValueError", "Traceback\n  line\n")],
        [Report(1, {}, "OSError: caf\udce9\r\n\x85\u2028", "OSError")],
        [Report(worker, {}) for worker in (2, 0, 1)],
    ],
)
def test_reports_come_back_whole_and_in_the_order_in_which_they_were_sent(
    mailbox: Mailbox, reports: list[Report]
) -> None:
    for report in reports:
        mailbox.send(report)
    assert list(mailbox.read()) == reports


@pytest.mark.parametrize("part", [b'{"worker": 1', b'{"worker": 1, "seen": {"torn', b"{"])
def test_a_worker_killed_while_it_wrote_leaves_no_report_and_spoils_no_other(mailbox: Mailbox, part: bytes) -> None:
    before, after = Report(0, {}), Report(2, {})
    mailbox.send(before)
    os.write(mailbox._descriptor, part)
    mailbox.send(after)
    assert list(mailbox.read()) == [before, after]


def test_a_report_does_not_overwrite_what_was_sent_since_its_writer_looked(mailbox: Mailbox) -> None:
    """The position that all writers share may be old when one of them uses it."""
    reports = [Report(0, {}), Report(1, {})]
    mailbox.send(reports[0])
    os.lseek(mailbox._descriptor, 0, os.SEEK_SET)
    mailbox.send(reports[1])
    assert list(mailbox.read()) == reports


def test_a_closed_mailbox_has_given_its_descriptor_back() -> None:
    mailbox = Mailbox()
    mailbox.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mailbox._descriptor)


def sent_by_children(children: int, size: int) -> dict[str, object]:
    """Long reports of children that all send at once, when the barrier opens."""
    mailbox = Mailbox()
    barrier, opener = os.pipe()
    pids = []
    for index in range(children):
        pids.append(os.fork())
        if not pids[-1]:
            os.close(opener)
            os.read(barrier, 1)
            mailbox.send(Report(index, {}, trace=str(index) * size))
            os._exit(0)
    os.close(opener)
    for pid in pids:
        os.waitpid(pid, 0)
    reports = list(mailbox.read())
    return {
        "workers": sorted(report.worker for report in reports),
        "whole": all(report.trace == str(report.worker) * size for report in reports),
    }


def test_reports_of_workers_that_end_together_arrive_whole() -> None:
    assert in_fresh_process(sent_by_children, 20, 50_000) == {"workers": list(range(20)), "whole": True}
