"""List the commands: what each does, and where it writes a document, the record of that.

A command has a module of its name in `lab.cli`, which is loaded on demand. One that writes a document also has a
`REPORT` in the module of its name in `lab.report.text`. Nothing is imported here, so that `--help` need not wait.
"""

from __future__ import annotations


class Command:
    """One line of `--help`; and the record of the document that it writes, as module:class in `lab.records`."""

    def __init__(self, summary: str, document: str = "") -> None:
        self.summary = summary
        self.document = document


COMMANDS = {
    "race": Command("race workers on a mapped file, unlocked and locked", "race:Run"),
    "check": Command("find out whether locking is safe on a mount", "check:Check"),
    "explore": Command("run every interleaving of a scenario, simulated", "explore:Exploration"),
    "replay": Command("perform an interleaving on the real kernel", "explore:Replay"),
    "bench": Command("measure what locks cost, or copying through each backing", "bench:Bench"),
    "compare": Command("compare what two runs measured: what changed, and is it more than noise", "compare:Comparison"),
    "plot": Command("draw what a run measured, as a picture"),
    "list": Command("list scenarios, locks and backings, and which work here"),
    "locks": Command("compare the locks, as measured here; of one lock, the runs that show it", "locks:LockSurvey"),
    "new": Command("write a first scenario of your own, to start from"),
    "peek": Command("map a file and print the byte at an offset"),
    "tour": Command("the tutorial's claims on mapped files, each run here", "tutorial:Tour"),
    "backings": Command("compare the ways to share bytes, as they are here", "backings:BackingSurvey"),
    "page": Command("write the tutorial, and a run, as a page to play with"),
    "report": Command("print what an earlier run found again"),
}
"""The commands in the order of `--help`."""
