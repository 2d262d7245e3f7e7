"""`lab history`: a file in, a verdict, a table of what contradicts itself, and an exit code out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.histories.call import Call
from lab.records import load_any
from tests.cli.commands import lines, refusal
from tests.helpers import run_lab
from tests.histories.made import alike, json_lines, made

STALE = [
    Call(0, "write", (1,), None, 0, 10), Call(1, "write", (2,), None, 20, 30), Call(2, "read", (), 1, 40, 50),
    Call(3, "write", (3,), None, 35, None), Call(0, "read", (), 3, 60, 70),
]  # fmt: skip

LAMP = """
class Model:
    def __init__(self): self.shines = False
    def switch(self): self.shines = not self.shines
    def on(self): return self.shines
    def loop(self):
        while True: pass
    def fail(self): return [][0]
"""


def test_a_history_that_no_order_explains_ends_with_1_and_shows_its_core(elsewhere: Path) -> None:
    Path("stale.jsonl").write_text(json_lines(STALE))
    done = run_lab("history", "stale.jsonl", "--json", "it.json")
    assert done.returncode == 1
    rows = [line.split()[:3] for line in lines(done.stdout) if "|" in line]
    assert rows == [["0", "write(1)", "0"], ["1", "write(2)", "20"], ["2", "read()", "1"]]
    orders = lines(done.stdout)[-2].split("  ")
    assert [each.strip() for each in orders if each] == ["1 write(1)", "2 write(2)", "3 read()", "2", "1"]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "no order explains 3 of its 5 calls" in done.stderr
    made = json.loads(Path("it.json").read_text())
    assert (made["verdict"], made["calls"], made["open_calls"], made["exact_parts"]) == ("not linearizable", 5, 1, 1)
    assert load_any(Path("it.json")).command == "history"
    again = run_lab("report", "it.json")
    assert [*lines(again.stdout), "written to it.json"] == lines(done.stdout)


def test_a_linearizable_history_comes_from_standard_input_too(elsewhere: Path) -> None:
    done = run_lab("history", "-", input=json_lines(made("map", 40)))
    assert (done.returncode, done.stderr) == (0, "")
    assert "-: 40 calls by 8 processes on the object map, in 10 parts." in done.stdout


def test_a_history_that_takes_too_long_is_unknown_and_ends_with_3(elsewhere: Path) -> None:
    Path("stack.jsonl").write_text(json_lines(alike(made("stack", 1000, wrong=True))))
    done = run_lab("history", "stack.jsonl", "--time-limit", "0.3")
    assert done.returncode == 3
    assert "unknown: gave up when the time was over" in done.stdout
    assert "What helps: a longer --time-limit" in done.stdout


ONE = '{"process": 1, "op": "read", "result": 1, "start_ns": 1, "end_ns": 2}\n'


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [
        (ONE + "{", [], "h:2: is no JSON"),
        (ONE + "[]", [], "h:2: is no JSON object"),
        (ONE + '{"process": 1}', [], 'h:2: has no "op"'),
        (ONE + '{"op": "read", "start_ns": 1}', [], 'h:2: has no "process"'),
        (ONE + '{"process": 1, "op": "read"}', [], 'h:2: has no "start_ns"'),
        (ONE + '{"process": 1, "op": "read", "start": 1}', [], "h:2: has 'start'"),
        (ONE + '{"process": 1, "op": "read", "start_ns": 5, "end_ns": 2}', [], "h:2: ends 3 ns before it starts"),
        (ONE + '{"process": 1, "op": "read", "start_ns": 0.5}', [], "no whole number of nanoseconds"),
        (ONE + '{"process": 1, "call": 1, "end_ns": 5}', [], "h:2: ends call 1 of process 1, which did not begin"),
        (ONE + '{"process": 1, "op": "read", "start_ns": true}', [], "no whole number of nanoseconds"),
        (ONE + '{"process": 1, "op": "read", "args": "abc", "start_ns": 1}', [], 'h:2: has "args" that are no list'),
        (ONE + '{"process": 1, "op": "read", "args": null, "start_ns": 1}', [], 'h:2: has "args" that are no list'),
        (ONE + '{"process": 1, "op": "read", "start_ns": 1, "op": "write"}', [], "h:2: has 'op' twice"),
        (ONE + '{"process": 1, "op": "write", "args": [{"a": 1, "a": 2}], "start_ns": 1}', [], "h:2: has 'a' twice"),
        (
            ONE + f'{{"process": 1, "op": "write", "args": [{"9" * 5000}], "start_ns": 1}}',
            [],
            "h:2: has a number of more",
        ),
        (ONE + '{"process": true, "op": "read", "start_ns": 1}', [], 'h:2: has no "process": a number or a text'),
        (ONE + '{"process": 1, "op": "no name", "start_ns": 1}', [], "h:2: has the \"op\" 'no name', which is no name"),
        ("\x1f\x8b\x08 and more", [], "h: is compressed; give the text, such as from zcat FILE | lab history -"),
        ("", [], "h: has no calls in the format jsonl"),
        ("\n\r\n\ufeff", [], "h:"),
        (ONE, ["--as", "queue"], "h:1: 'read' is no call of Queue"),
        (ONE, ["--format", "etcd"], "h: has no calls in the format etcd"),
        (ONE.replace("read", "jump"), [], "no known object has these calls: jump"),
        (ONE, ["--as", "queue", "--model", "x.py"], "not allowed with argument"),
        (ONE, ["--model", "lamp.py"], "'read' is no call of Model, which has fail, loop, on, switch"),
        (ONE.replace("read", "fail"), ["--model", "lamp.py"], "fail() raised IndexError"),
        (ONE, ["--model", "h"], "h: no such model file"),
        (ONE.replace("read", "put"), ["--as", "queue"], "h:1: put of Queue takes 1 argument, has 0"),
        (ONE.replace("read", "append"), ["--as", "map"], "h:1: append of Map takes 2 arguments, has 0"),
        (ONE, ["--model", "empty.py"], "empty.py: has no class Model"),
    ],
)
def test_what_is_no_history_is_told_with_its_line(text: str, options: list[str], why: str, elsewhere: Path) -> None:
    Path("h").write_bytes(text.encode("latin-1" if text[:1] == "\x1f" else "utf-8"))
    Path("lamp.py").write_text(LAMP)
    Path("empty.py").write_text("x = 1\n")
    assert why in refusal(2, "history", "h", *options)


def test_lines_of_other_systems_are_lines_too(elsewhere: Path) -> None:
    Path("h").write_bytes(b"\xef\xbb\xbf" + f"\n{ONE}\n  \n{ONE}".replace("\n", "\r\n").encode())
    made = json.loads(run_lab("history", "h", "--json", "-").stdout)
    assert (made["calls"], made["verdict"]) == (2, "not linearizable")


def test_a_model_in_a_scenario_describes_the_object(elsewhere: Path) -> None:
    Path("lamp.py").write_text("class Lamp:\n" + LAMP.replace("\n", "\n    "))
    switch, on = Call(1, "switch", (), None, 1, 2), Call(2, "on", (), True, 2, 5)
    for calls, code in (([switch, on], 0), ([switch, on, Call(3, "on", (), False, 6, 7)], 1)):
        Path("lamp.jsonl").write_text(json_lines(calls))
        assert run_lab("history", "lamp.jsonl", "--model", "lamp.py").returncode == code
