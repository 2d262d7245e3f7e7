"""A results document may come from anybody: whatever it says, a clear line comes of it, soon and in little memory.

By default some hundred changed documents are tried; with LAB_EXHAUSTIVE=1 ten thousand, which takes an hour.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import signal
import traceback
import tracemalloc
import zlib
from binascii import b2a_base64
from pathlib import Path
from typing import Any

import pytest

from lab.errors import UsageError
from lab.records import Run, load_any, untrusted
from lab.records.documents import read
from lab.report.page.problems import accesses_of
from tests.helpers import EXHAUSTIVE, in_fresh_process
from tests.mutated import Mutator, documents

LIMIT_S = 10.0
MEMORY = 1 << 30
ACTS_ON_A_TERMINAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COMMANDS = {
    "report": ("report", "m.json"),
    "report github": ("report", "m.json", "--format", "github"),
    "report csv": ("report", "m.json", "--format", "csv"),
    "compare before": ("compare", "m.json", "other.json", "--anyway"),
    "compare after": ("compare", "other.json", "m.json", "--anyway", "--fail-slower", "10%"),
    "page": ("page", "m.json", "-o", "m.html"),
    "plot": ("plot", "m.json", "-o", "m.svg"),
}
FITS = {
    "compare before": ("race", "bench"),
    "compare after": ("race", "bench"),
    "page": ("race",),
    "plot": ("race", "bench"),
}


class TooLong(BaseException):
    """The command took more than its time."""


def tried(directory: str, seed: int, count: int, names: list[str], commands: list[str]) -> list[str]:
    """What is wrong with the ends of these commands on so many changed documents."""
    mutator, originals = Mutator(seed), documents()
    _made_once()
    signal.signal(signal.SIGPROF, _ring)
    found: list[str] = []
    with contextlib.chdir(directory):
        for name in names:
            Path("m.json").write_bytes(originals[name])
            other = originals[name].replace(b'"started": "2', b'"started": "3')
            Path("other.json").write_bytes(other)
            for _ in range(count):
                raw, done = mutator.one(name)
                Path("m.json").write_bytes(raw)
                for command in commands:
                    if name in FITS.get(command, names):
                        found += [f"{name}, {command}: {wrong}: {done}" for wrong in judged(COMMANDS[command])]
                        if found and found[-1].endswith(done):
                            Path(f"bad-{len(found)}.json").write_bytes(raw)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return [*found, *([f"{used:,} bytes of memory were used"] if used > MEMORY else [])]


def judged(arguments: tuple[str, ...]) -> list[str]:
    """Run the command in this process: what is wrong with how it ended."""
    from lab.cli.main import main

    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict"), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
            code: Any = main([*arguments, "--traceback"])
    except TooLong:
        code = f"more than {LIMIT_S:g} s"
    except BaseException:
        code = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    out.flush()
    said = err.getvalue()
    lines = [line for line in said.splitlines() if line.startswith("lab: ")]
    wrong = []
    if code not in (0, 1, 2):
        wrong.append(f"ended with {code}: {said[-900:]}")
    if code == 2 and len(lines) != 1:
        wrong.append(f"not one line: {said!r}")
    text = out.buffer.getvalue().decode() if isinstance(out.buffer, io.BytesIO) else ""
    if acts := ACTS_ON_A_TERMINAL.search(text + "".join(lines)):
        wrong.append(f"{acts[0]!r} reaches the terminal")
    return wrong


def _made_once() -> None:
    """What the page has besides the document is made once."""
    import functools

    import lab.tutorial.stories
    from lab.cli import page

    lab.tutorial.stories.stories = functools.cache(lab.tutorial.stories.stories)
    plays = page._plays(())
    page._plays = lambda own: plays


def _ring(*_: object) -> None:
    raise TooLong


@pytest.mark.timeout(20_000 if EXHAUSTIVE else 300)
@pytest.mark.parametrize("name", documents())
def test_whatever_a_document_says_ends_with_a_clear_line(name: str, tmp_path: Path) -> None:
    commands = [each for each in COMMANDS if each != "plot"]
    assert in_fresh_process(tried, str(tmp_path), 1, 1500 if EXHAUSTIVE else 25, [name], commands) == []


@pytest.mark.timeout(20_000 if EXHAUSTIVE else 300)
def test_whatever_a_document_says_is_drawn_or_refused(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plot needs matplotlib")
    assert in_fresh_process(tried, str(tmp_path), 2, 500 if EXHAUSTIVE else 6, ["race", "bench"], ["plot"]) == []


def refused(path: Path, *, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        load_any(path)
    return str(raised.value)


def recorded_with(**changes: object) -> bytes:
    """A document of a race whose recording is changed at these columns of its accesses."""
    document = json.loads(documents()["race"])
    document["cases"][0]["recording"]["accesses"].update(changes)
    return json.dumps(document).encode()


def test_what_is_larger_than_a_document_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(read.__globals__, "BYTES", 1000)
    assert "is larger than" in refused(tmp_path / "m.json", content=b" " * 1001)
    assert "is cut short" in refused(tmp_path / "m.json", content=b" " * 1000)


def test_a_pipe_that_nobody_writes_to_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is cut short"):
        load_any(tmp_path / "pipe")


def test_content_is_unpacked_no_further_than_its_accesses_say(tmp_path: Path) -> None:
    bomb = b2a_base64(zlib.compress(bytes(1 << 27), 9), newline=False).decode()
    (tmp_path / "m.json").write_bytes(recorded_with(content=bomb))
    document = load_any(tmp_path / "m.json")
    assert isinstance(document, Run)
    recording = document.cases[0].recording
    assert recording
    tracemalloc.start()
    accesses_of(recording)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kept": [1 << 40] * 5}, "kept more than 64 MiB"),
        ({"kept": [1]}, "columns of different lengths"),
        ({"start": [-1] * 5}, "below 0"),
        ({"worker": [1 << 40] * 5}, "workers"),
        ({"begun_ns": [1 << 63] * 5}, "out of range"),
    ],
)
def test_a_recording_that_cannot_be_is_refused(changes: dict[str, list[int]], said: str, tmp_path: Path) -> None:
    count = len(json.loads(documents()["race"])["cases"][0]["recording"]["accesses"]["kept"])
    fitting = {name: (column * count)[: count if len(column) > 1 else 1] for name, column in changes.items()}
    assert said in refused(tmp_path / "m.json", content=recorded_with(**fitting))


def unpacked(path: Path) -> None:
    document = load_any(path)
    assert isinstance(document, Run)
    recording = document.cases[0].recording
    assert recording
    with untrusted(path):
        accesses_of(recording)


@pytest.mark.parametrize("content", ["a" * 60, "a", "\u00e9"])
def test_content_that_cannot_be_unpacked_is_said_of_the_document(content: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(recorded_with(content=content))
    with pytest.raises(UsageError, match=r"m.json: "):
        unpacked(tmp_path / "m.json")


@pytest.mark.parametrize("value", ["true", "1e400", "NaN", "-5", "5000", '"2"', "2.5"])
def test_a_number_of_workers_that_cannot_be_is_refused(value: str, tmp_path: Path) -> None:
    content = documents()["race"].replace(b'"workers": 2', b'"workers": ' + value.encode(), 1)
    assert "\n" not in refused(tmp_path / "m.json", content=content)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    for deep in (b"[" * 1_000_000, b'{"schema": 2, "command": "race", "cases": ' + b"[" * 1_000_000):
        assert refused(tmp_path / "m.json", content=deep).startswith(f"{tmp_path / 'm.json'}: ")


def test_what_contradicts_itself_is_said_of_the_document() -> None:
    said = r"m.json: its values contradict each other .ValueError: x.x1b.; make it again"
    with pytest.raises(UsageError, match=said), untrusted(Path("m.json")):
        raise ValueError("x\x1b")
