"""List the commands: what each does, what its exit codes mean, what it writes, and the record of its document.

A command has a module of its name in `lab.cli`, which is loaded on demand. One that writes a document also has a
`REPORT` in the module of its name in `lab.report.text`. Nothing is imported here, so that `--help` need not wait.
"""

from __future__ import annotations


class Command:
    """One line of `--help`, and what the command's own help says beside its options.

    `document` is the record of the document that it writes, as module:class in `lab.records`. `damage` and `failed` are
    the meanings of exit codes 1 and 4, empty where the command never ends with them; `writes` says which files it
    writes.
    """

    def __init__(
        self, summary: str, document: str = "", *, damage: str = "", failed: str = "", writes: str = "nothing"
    ) -> None:
        self.summary = summary
        self.document = document
        self.damage = damage
        self.failed = failed
        self.writes = writes


KEPT = "a document in results/, where that folder exists (--no-save, --save DIR), and what --json"
ASKED = "what --json and --save name"
TABLES = "what --json, --save and --export-markdown name"

COMMANDS = {
    "race": Command(
        "race workers on a mapped file, unlocked and locked",
        "race:Run",
        damage="corruption where none was expected, or none where it was",
        failed="a worker died or hung",
        writes=f"{KEPT}, --export-markdown, --junit, --html and --trace name",
    ),
    "check": Command(
        "find out whether locking is safe on a mount",
        "check:Check",
        damage="unsafe: a guarantee is broken",
        writes=f"{KEPT} and --junit name; its own folder in DIR, which it removes",
    ),
    "explore": Command(
        "run every interleaving of a scenario, simulated",
        "explore:Exploration",
        damage="an interleaving breaks what was expected to hold",
        failed="the scenario raised an error",
        writes=TABLES,
    ),
    "replay": Command(
        "perform an interleaving on the real kernel",
        "explore:Replay",
        damage="not reproduced",
        failed="a worker died or hung",
        writes=ASKED,
    ),
    "bench": Command(
        "measure what locks cost, or copying through each backing",
        "bench:Bench",
        damage="a lock let two in while it was measured",
        failed="a process died or hung",
        writes="what --json, --save, --export-markdown and --trace name",
    ),
    "compare": Command(
        "compare what two runs measured: what changed, and is it more than noise",
        "bench:Comparison",
        damage="slower than --fail-slower allows",
        writes="what --json and --export-markdown name",
    ),
    "plot": Command("draw what a run measured, as a picture", writes="the picture, where --output names"),
    "watch": Command(
        "run a program and judge its locks: what is wrong, at which line",
        "watch:Watch",
        damage="a fault in how the program locks; of a FILE: a deadlock",
        failed="the program failed, or did not end in time",
        writes="what --json, --save, --export-markdown, --junit, --sarif, --html and --trace name, and the logs where "
        "--keep names",
    ),
    "hosts": Command(
        "say who is there on several hosts, and do they see one filesystem",
        "hosts:Hosts",
        writes=TABLES + "; a small file in DIR, which it removes",
    ),
    "history": Command(
        "judge a recorded history of calls: does an order of them explain every result",
        "history:History",
        damage="not linearizable: no order of the calls explains their results",
        writes=ASKED,
    ),
    "list": Command("list scenarios, locks and backings, and which work here", writes="what --json names"),
    "locks": Command(
        "compare the locks, as measured here; of one lock, the runs that show it",
        "survey:LockSurvey",
        damage="a lock does not do what it claims",
        writes=TABLES,
    ),
    "new": Command("write a first scenario of your own, to start from", writes="NAME.py in the current folder"),
    "peek": Command("map a file and print the byte at an offset"),
    "tour": Command(
        "the tutorial's claims on mapped files, each run here",
        "tutorial:Tour",
        damage="with --strict: this system differs from the tutorial",
        failed="a process of a step died or hung",
        writes="what --json names",
    ),
    "backings": Command("compare the ways to share bytes, as they are here", "survey:BackingSurvey", writes=TABLES),
    "page": Command("write the tutorial, and a run, as a page to play with", writes="the page, where --output names"),
    "report": Command(
        "print what an earlier run found again",
        writes="what --export-markdown names",
        damage="that of the command that made the document",
        failed="that of the command that made the document",
    ),
    "completion": Command("print the completion of the command line for bash, zsh or fish"),
}
"""The commands in the order of `--help`."""
