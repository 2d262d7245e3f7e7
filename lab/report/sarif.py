"""Write what was watched as SARIF 2.1.0, which code hosts show beside the source lines.

A rule is a cause, a result a cause at one pair of lines. Its location is the last of its calls whose source line is in
the project, and the other calls are its related locations. Sources: "Static Analysis Results Interchange Format", OASIS
standard (2020); "SARIF support for code scanning", GitHub docs, for what a code host reads of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from lab.records import Document, Watch, WatchedCall, WatchFinding, groups_of

from .format import plural
from .text.watch import CAUSES, replays_of

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MANUAL = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"
ROOT = "%SRCROOT%"
FINGERPRINT = "lockFaultAtLines/v1"


def sarif(document: Document) -> bytes:
    """Return the log of what was watched. Raise TypeError for the document of another command."""
    if not isinstance(document, Watch):
        raise TypeError(f"{type(document).__name__}: nothing was watched")
    causes = list(dict.fromkeys(found.cause for found in document.findings))
    faults = [group for group in groups_of(document.findings) if not group[0].note]
    again = {id(each): list(replays_of(document.replayed, k)) for k, its in enumerate(faults, 1) for each in its[:1]}
    run = {
        "tool": {
            "driver": {
                "name": "lab watch",
                "version": document.environment.lab,
                "semanticVersion": _semantic(document.environment.lab),
                "rules": [_rule(cause, document) for cause in causes],
            }
        },
        "originalUriBaseIds": {ROOT: {"description": {"text": "the root of the project"}}},
        "invocations": [
            {
                "executionSuccessful": not document.interrupted,
                "startTimeUtc": document.started,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": f"not seen: {each}"}} for each in document.not_seen
                ],
            }
        ],
        "results": [
            _result(found, causes, found in document.faults, again.get(id(found), [])) for found in document.findings
        ],
        "columnKind": "unicodeCodePoints",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return (json.dumps(log, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _semantic(version: str) -> str:
    """Return the version as Semantic Versioning has it, three numbers: SARIF allows no other there."""
    numbers = [part for part in version.split("+")[0].split(".") if part.isdigit()]
    return ".".join([*numbers, "0", "0", "0"][:3])


def _rule(cause: str, run: Watch) -> dict[str, Any]:
    explained = CAUSES[cause]
    note = all(found.note for found in run.findings if found.cause == cause) and not run.options.strict
    cure = f" {explained.cure[:1].upper()}{explained.cure[1:]}." if explained.cure else ""
    because = f"{explained.because[:1].upper()}{explained.because[1:]}."
    return {
        "id": _identifier(cause),
        "name": "".join(word.capitalize() for word in cause.split()),
        "shortDescription": {"text": explained.title},
        "fullDescription": {"text": because},
        "help": {"text": because + cure, "markdown": f"**Because:** {because}\n\n**Cure:**{cure or ' none is known.'}"},
        "defaultConfiguration": {"level": "note" if note else "error"},
        "properties": {
            "tags": ["locking", "concurrency"],
            "precision": "very-high",
            "problem.severity": _severity(note),
        },
    }


def _severity(note: bool) -> str:
    return "recommendation" if note else "error"


def _identifier(cause: str) -> str:
    return f"lock/{cause.replace(' ', '-')}"


def _result(found: WatchFinding, causes: Sequence[str], is_fault: bool, replayed: Sequence[str]) -> dict[str, Any]:
    placed = [call for call in found.calls if call.source]
    main = placed[-1] if placed else None
    others = (
        [call for call in placed if call is not main and (call.source, call.line) != (main.source, main.line)]
        if main
        else []
    )
    result: dict[str, Any] = {
        "ruleId": _identifier(found.cause),
        "ruleIndex": causes.index(found.cause),
        "level": "error" if is_fault else "note",
        "message": {"text": "".join([_message(found), *(f" Replayed {each}." for each in replayed)])},
        "locations": [_location(main)] if main else [],
        "relatedLocations": [{"id": number, **_location(call, told=True)} for number, call in enumerate(others, 1)],
        "partialFingerprints": {FINGERPRINT: _fingerprint(found)},
        "occurrenceCount": max(1, found.count),
        "codeFlows": [{"threadFlows": _flows(found)}] if placed else [],
    }
    return {key: value for key, value in result.items() if value != []}


def _message(found: WatchFinding) -> str:
    calls = "; ".join(
        f"process {call.process}: {call.call}{f' at {call.place}' * bool(call.place)}" for call in found.calls
    )
    file = found.file.rsplit("/", 1)[-1]
    return f"{CAUSES[found.cause].title} ({file}, {plural(found.count, 'time')}). {calls}."


def _location(call: WatchedCall, *, told: bool = False) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(call.source), "uriBaseId": ROOT},
            "region": {"startLine": max(1, call.line)},
        }
    }
    if told:
        location["message"] = {"text": f"process {call.process}: {call.call}"}
    return location


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def _flows(found: WatchFinding) -> list[dict[str, Any]]:
    """Return the calls of each process in order, as a thread flow of its own."""
    flows = []
    for process in dict.fromkeys(call.process for call in found.calls):
        its = [
            {"location": _location(call, told=True), "executionOrder": number}
            for number, call in enumerate(found.calls, 1)
            if call.process == process and call.source
        ]
        if its:
            flows.append({"id": f"process {process}", "locations": its})
    return flows


def _fingerprint(found: WatchFinding) -> str:
    """Return what stays the same in another run: the cause and the functions, not the lines, processes or times.

    A code host matches the results of two runs by it.
    """
    places = [f"{call.source}:{call.place.partition(' ')[2] or call.place}" for call in found.calls]
    text = "\n".join([found.cause, found.file.rsplit("/", 1)[-1], *sorted(set(places))])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
