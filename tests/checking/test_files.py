"""A server whose files are broken in one way is found unsafe for that, and not for what it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.checking.fuse.serving import fuse
from tests.helpers import PATIENCE, run_lab

pytestmark = [pytest.mark.mounts, pytest.mark.timeout(60)]

BROKEN: dict[str, tuple[int, str, list[str], str, str]] = {
    "no_excl": (2, "o_excl", ["link"], "overlapped that may not",
        "Lock files: O_EXCL lets two in between these mounts; make them with link."),
    "no_excl_mkdir": (2, "mkdir", ["o_excl"], "overlapped that may not", "Lock files: mkdir lets two in"),
    "no_excl_link": (2, "link", ["o_excl"], "overlapped that may not", "Lock files: link lets two in"),
    "two_step_rename": (2, "rename", ["entries"], "replaced without a lock, files: missing name in",
        "Saving by rename: unsafe here, because a name may be missing or torn while it is replaced"),
    "late_names": (2, "entries", ["append"], "rule 105: expected success, observed ENOENT",
        "A name that was made again may lead to the old file"),
    "appends_blindly": (2, "append", ["size"], "appended without a lock, files: lost record in",
        "Append logs (O_APPEND without a lock): unsafe here, because appended records overwrite each other"),
    "late_size": (2, "size", ["o_excl"], "rule 94: expected 4, observed 0",
        "A size may be old inside the lock: keep the length"),
    "snapshots": (1, "mixed", ["mapping", "pread"], "rule 96: expected text, observed ....",
        "a mapping beside pread and pwrite is not coherent"),
    "keeps_cache": (2, "whole_file", ["entries"], "whole_file under flock, files: stale file in",
        "No way to reach the data that was tried is safe."),
}  # fmt: skip
"""The server, its mounts, what is unsafe, what is safe all the same, a piece of the evidence and of the advice."""

CONTROL = ["whole_file", "append", "size", "o_excl", "mkdir", "link", "entries"]
"""All but `mixed`, since each mount has a cache, and `rename`: libfuse moves an open file away first."""


def checked(variant: str, mounts: int, only: list[str], seconds: float) -> tuple[int, dict[str, Any]]:
    """The exit code and the document of a check."""
    with fuse(variant, mounts) as directories:
        words = ",".join([*only, "flock", "rules", "stress"])
        options = ("--only", words, "--seconds", str(seconds * PATIENCE), "--json", "-", "--no-save")
        ended = run_lab("check", *directories, *options, timeout=50 * PATIENCE)
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.parametrize("variant", BROKEN)
def test_what_is_broken_about_files_is_unsafe_and_what_is_not_is_safe(variant: str) -> None:
    mounts, broken, kept, evidence, advice = BROKEN[variant]
    code, document = checked(variant, mounts, [broken, *kept], 0.4 * (1 + len(kept)))
    found = {each["name"]: each for each in document["guarantees"]}
    assert (code, found[broken]["verdict"]) == (1, "unsafe"), found
    assert {name: found[name]["verdict"] for name in kept} == dict.fromkeys(kept, "safe"), [
        found[name] for name in kept
    ]
    assert any(evidence in each for each in found[broken]["evidence"]), found[broken]
    assert advice in "\n".join(document["advice"]), document["advice"]


def test_an_honest_server_keeps_all_of_it_between_two_mounts() -> None:
    code, document = checked("honest", 2, CONTROL, 1)
    verdicts = {each["name"]: each["verdict"] for each in document["guarantees"]}
    assert (code, verdicts) == (0, dict.fromkeys(["flock", *CONTROL], "safe"))
