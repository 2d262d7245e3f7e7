"""Build the page as one text: the template with its style, its scripts, and the data of its sections.

The data of the third section are a run with its tables, its environment and its recorded trials: columns of numbers,
problems, and the last writer of each byte. Pages are passed on to others, so of each absolute path a page shows the
last name only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from string import Template
from sys import byteorder
from typing import Any

from lab.analysis.accesses import ENDLESS, Access
from lab.analysis.lost_updates import NOBODY, origins
from lab.host.environment import anonymous_text
from lab.records import NEVER, Case, Recording, Run
from lab.report.format import Style, Table
from lab.report.text.race import tables_of
from lab.report.text.race_verdict import conclusions, heading

from .problems import Problem, Story

_NAME = r"[^\s/:;,()'\"<>]+"
_BEFORE = r"(?<![\w<~])(?<!:/)"  # a slash in a fraction, a closing tag, a web address begins no path

PATH = re.compile(rf"{_BEFORE}~?/(?:{_NAME}/)*({_NAME})")
"""This matches an absolute path; its last name is the group."""

_IN_CODE = re.compile(rf"(?<![)\]}}]){_BEFORE}~?/(?:{_NAME}/)+({_NAME})")
"""This matches the same in a program, where a slash also divides: only a path with a folder in it counts."""


def without_paths(part: Any, path: re.Pattern[str] = PATH) -> Any:
    """Return the same with every absolute path cut to its last name; a value named `source` is a program."""
    if isinstance(part, str):
        return path.sub(r"\1", part)
    if isinstance(part, dict):
        return {name: without_paths(each, _IN_CODE if name == "source" else path) for name, each in part.items()}
    if isinstance(part, list):
        return part if part and isinstance(part[0], int) else [without_paths(each, path) for each in part]
    return part


TITLE = "The lab: does this lock really protect this file?"

SHARED = ("style.css", "page.js")
"""These files come first, because the others build on them."""

SECTIONS = ("memory.js", "scheduler.js", "run.js", "stories.js", "plug.js")
"""These files draw the sections; they run last, in this order, when everything that they use is defined."""

NAMES = ("tutorial", "plays", "run", "stories", "plug")
"""The names of the sections, which are also the names of their data."""

UNSAFE = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}
"""These characters could end a script element, or a line in one.

Inside JSON strings, the only place where they occur, their escapes mean the same.
"""


def page_of(parts: Mapping[str, bytes]) -> str:
    """Return the page with these parts, which are JSON by the name of the section; a section without a part has `null`.

    Scenarios to play may come from anywhere: absolute paths in their data are cut to the last name here.
    """
    return Template(template_text("page.html")).substitute(
        title=TITLE,
        style=_all(".css"),
        data="\n".join(_element(name, parts.get(name, b"null")) for name in NAMES),
        script=_all(".js"),
    )


def _element(name: str, data: bytes) -> str:
    text = _without_paths_in_plays(name, data.decode("utf-8", "replace").strip()).translate(UNSAFE)
    return f'<script type="application/json" id="data-{name}">{text}</script>'


def _without_paths_in_plays(name: str, text: str) -> str:
    import msgspec

    return msgspec.json.encode(without_paths(msgspec.json.decode(text))).decode() if name == "plays" else text


def _all(ending: str) -> str:
    """Return the template's files with this ending, concatenated."""
    names = sorted(each.name for each in (files(__package__) / "template").iterdir() if each.name.endswith(ending))
    order = sorted(names, key=lambda name: (name not in SHARED, SECTIONS.index(name) if name in SECTIONS else -1))
    return "\n".join(template_text(name).rstrip() for name in order)


def template_text(name: str) -> str:
    """Return a file of the template."""
    return (files(__package__) / "template" / name).read_text("utf-8")


TABLES = {
    "broken": ("What broke", "One row a case: what was damaged, how often, and what would have been noticed."),
    "cost": ("What it cost", "Speed, how long requests waited and how long locks were held."),
    "used": ("What it used", "Processor time, context switches, page faults, memory of the largest worker."),
}
"""Titles and captions of the tables of a race (`tables_of`)."""

HELP = {
    "corrupted": "operations found corrupted, of all that were done",
    "rate": "what was damaged, of all that could be",
    "trials": "damaged trials, of those that could be judged",
    "95 % interval": "exact interval of the rate of damaged trials",
    "overlaps": "pairs of holds that overlapped and may not",
    "detects": "a lock that grants falsely this often would have been noticed with 95 % probability",
    "verdict": "FAILED where something went wrong that was not expected",
    "kind": "the kind of corruption, and how many other kinds there were",
    "ops/s": "operations of all workers together in a second",
    "slowdown": "how many times slower than without a lock",
    "overtaken": "the most later requests that were granted before one that waited",
    "gave up": "requests that the lock refused after a time of its own",
    "voluntary": "context switches because the worker waited",
    "involuntary": "context switches because the processor was taken from it",
    "private KiB": "the largest private memory of a worker (USS)",
    "peak KiB": "the largest resident memory of a worker",
}

ENVIRONMENT = {
    "lab": "lab",
    "python": "Python",
    "recorder": "recorder of holds",
    "kernel": "kernel",
    "machine": "machine",
    "cpu": "processor",
    "cpus": "CPUs",
    "cpus_allowed": "CPUs allowed",
    "filesystems": "filesystem",
    "mount_options": "mount options",
    "load_at_start": "load at the start",
}


def run_part(run: Run) -> bytes:
    """Return the run as JSON, without absolute paths and user names."""
    import msgspec

    part = {
        "heading": heading(run),
        "started": run.started,
        "conclusions": list(conclusions(run)),
        "tables": [_table(*TABLES[name], table) for name, table in tables_of(run).items()],
        "environment": [[label, str(getattr(run.environment, name))] for name, label in ENVIRONMENT.items()],
        "options": _options(run),
        "cases": [_case(case) for case in run.cases],
    }
    # The home directory comes first, because it may have spaces in it: then the end of each path is known.
    text = anonymous_text(msgspec.json.encode(part).decode())
    return msgspec.json.encode(without_paths(msgspec.json.decode(text)))


def _table(title: str, caption: str, table: Table[Case]) -> dict[str, Any]:
    columns = table.shown(Style(wide=True))
    head = [[column.title, HELP.get(column.title, "")] for column in columns]
    return {
        "title": title,
        "caption": caption,
        "head": head,
        "rows": [[c.text(r) for c in columns] for r in table.rows],
    }


def _options(run: Run) -> list[list[str]]:
    """Return the options of the run, without the directory."""
    options = run.options
    window = f"widened by {options.window_ns:,} ns before every store"
    texts = {
        "trials a case": f"{options.trials:,}",
        "rounds of each worker": f"{options.rounds:,}" if options.rounds else "the scenario's own",
        "seed": str(options.seed),
        "processors": options.pin or "the scenario's own choice",
        "race window": window if options.window_ns else "not widened",
        "false grants": f"with probability {options.leak:g}: a negative control" if options.leak else "none asked for",
        "time limit": f"{options.time_limit_s:g} s",
    }
    return [[label, text] for label, text in texts.items()]


def _kinds(case: Case) -> list[str]:
    """Return the kinds of corruption, the most frequent first, or what only the exploration beside the race found."""
    kinds = [each.kind for each in sorted(case.damage, key=lambda each: -each.count)]
    explored = case.breaking_exploration
    return kinds or ([f"when explored, {explored.how_it_breaks}"] if explored else [])


def _case(case: Case) -> dict[str, Any]:
    return {
        "scenario": case.scenario,
        "lock": case.lock,
        "backing": case.backing,
        "workers": case.workers,
        "fault": case.fault,
        "verdict": case.verdict,
        "expected": case.as_expected,
        "kinds": _kinds(case),
        "reason": case.reason,
        "why": case.why,
        "recording": recording_part(case),
    }


MOST_SENTENCES = 400
"""So many problems are described in words; of the others the page has the moment and the bytes."""

VALUE_BYTES = 8
"""The page shows so many bytes of an access."""


def recording_part(case: Case) -> dict[str, Any] | None:
    """Return what the page needs of a case's recording."""
    recording = case.recording
    if recording is None:
        return None
    story = Story(recording, case.workers)
    problems = story.problems()
    return {
        "order": byteorder,
        "rounds": recording.rounds,
        "done": recording.done,
        "attempts": recording.attempts,
        "wall": recording.wall_ns,
        "size": recording.size,
        "lanes": _lanes(recording, story),
        "fields": [[each.name, each.start, each.size, each.kind, each.dimensions] for each in recording.fields],
        "blocks": [[block.start, block.after] for block in recording.blocks],
        "cut": _cut(recording, len(problems)),
        "holds": _holds(recording),
        "accesses": _accesses(story.accesses),
        "problems": [_problem(each) for each in problems[:MOST_SENTENCES]],
        "marked": _without_sentence(problems[MOST_SENTENCES:]),
        "count": len(problems),
        "first": story.first(problems[:MOST_SENTENCES]),
        "origins": _origins(story),
        "damage": [f"{each.kind}: {each.count:,} of {each.of:,}" for each in recording.damage],
        "counted": sum(each.count for each in recording.damage),
        "failures": recording.failures,
    }


def _lanes(recording: Recording, story: Story) -> list[list[Any]]:
    """Return number and name of every worker, and of the second owners that did anything."""
    workers = {*range(len(recording.done)), *recording.holds.worker, *recording.accesses.worker}
    return [[number, story.who(number).replace("the second owner", "second owner")] for number in sorted(workers)]


def _cut(recording: Recording, problems: int) -> list[str]:
    """Return how much was left out for lack of room."""
    counts = {
        "accesses were not written down": recording.unrecorded_accesses,
        "holds were not written down: the file had been replaced, or the log was full": recording.unrecorded_holds,
        "further blocks of the file are not shown": recording.blocks_left_out,
        "of the moments marked below are not described in words": max(0, problems - MOST_SENTENCES),
    }
    return [f"{count:,} {what}" for what, count in counts.items() if count]


def _holds(recording: Recording) -> dict[str, list[int]]:
    columns = recording.holds
    return {
        "worker": columns.worker,
        "requested": steps(columns.requested_ns),
        "waited": lengths(columns.requested_ns, columns.granted_ns),
        "held": lengths(columns.granted_ns, columns.released_ns),
        "start": columns.start,
        "length": columns.length,
        "write": columns.write,
    }


def _accesses(accesses: list[Access]) -> dict[str, list[Any]]:
    return {
        "worker": [each.worker for each in accesses],
        "round": [each.round for each in accesses],
        "kind": [each.what for each in accesses],
        "begun": steps([each.begun_ns for each in accesses]),
        "took": [NEVER if each.ended_ns == ENDLESS else each.ended_ns - each.begun_ns for each in accesses],
        "start": [each.start for each in accesses],
        "length": [each.length for each in accesses],
        "bytes": [each.data[:VALUE_BYTES].hex() for each in accesses],
    }


def steps(times: list[int]) -> list[int]:
    """Return each time as the distance from the one before it, which needs fewer digits."""
    return times[:1] + [later - earlier for earlier, later in pairwise(times)]


def lengths(begins: list[int], ends: list[int]) -> list[int]:
    """Return how long each took; NEVER for one that has no end."""
    return [NEVER if end == NEVER else end - begin for begin, end in zip(begins, ends, strict=True)]


def _problem(each: Problem) -> list[Any]:
    return [
        each.kind, each.at_ns, each.since_ns, each.until_ns, each.start, each.end, each.workers, each.sentence,
        each.accesses,
    ]  # fmt: skip


def _without_sentence(problems: list[Problem]) -> dict[str, list[Any]]:
    """Return the times, the kinds (indexes into `kinds`) and the bytes of the problems without a description."""
    kinds = list(dict.fromkeys(each.kind for each in problems))
    return {
        "kinds": kinds,
        "kind": [kinds.index(each.kind) for each in problems],
        "at": steps([each.at_ns for each in problems]),
        "start": [each.start for each in problems],
        "end": [each.end for each in problems],
    }


def _origins(story: Story) -> list[list[Any]]:
    """Return runs of bytes: first, one past the last, whose store, over which, if the order is certain, if it fits.

    After these come the bytes that they overwrote, as hexadecimal digits, as far as the page shows them. Bytes that
    changed without a recorded store have no owner.
    """
    if not story.images:
        return []
    before, after = story.images
    found = []
    end = 0
    for each in origins(story.accesses, after):
        found += _changed(before, after, end, each.start)
        under = before if each.over == NOBODY else story.accesses[each.over]
        old = under.at(each.start, min(each.end, each.start + VALUE_BYTES)).hex()
        found.append([each.start, each.end, each.store, each.over, int(each.certain), int(each.agrees), old])
        end = each.end
    return found + _changed(before, after, end, after.end)


def _changed(before: Access, after: Access, start: int, end: int) -> list[list[Any]]:
    """Return the bytes in between that differ from what they were."""
    was, now = before.at(start, end), after.at(start, end)
    if was == now:
        return []
    changed = [at for at, (old, new) in enumerate(zip(was, now, strict=True), start) if old != new]
    return [[at, at + 1, NOBODY, NOBODY, 1, 0, before.at(at, at + 1).hex()] for at in changed]
