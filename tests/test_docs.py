"""The pages of docs/ that are to be typed, typed; and the runner that does it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.checking.guarantees import FENCING, GUARANTEES
from lab.errors import ExitCode
from lab.scenario import Scenario, Worker
from tests.checking.measured import NOT_MEASURED, name_of
from tests.checking.mounts import BAD_INPUT, FILESYSTEMS
from tests.golden import Golden
from tests.helpers import ROOT, run_lab
from tests.pages import blocks, calls_of, differs, is_accepted, run_page, typed

TYPED = [
    ["own-scenario.md"],
    ["bench.md"],
    ["index.md"],
    ["python.md"],
    ["ci.md"],
    ["histories.md"],
    ["operations.md"],
    ["teach/hand-out.md", "teach/answers.md"],
]
"""The pages that are run from their first block to their last; those that stand together, in one folder."""


PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def page(folder: Path, text: str) -> Path:
    made = folder / "page.md"
    made.write_text(text)
    return made


@pytest.mark.timeout(400)
@pytest.mark.parametrize("names", TYPED, ids=" ".join)
def test_all_that_a_page_shows_is_so(names: list[str], tmp_path: Path) -> None:
    for name in names:
        run_page(ROOT / "docs" / name, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_of_a_page_is_one_that_the_lab_has(page: Path) -> None:
    assert [call for call in calls_of(page.read_text()) if not is_accepted(call)] == []


@pytest.mark.parametrize("line", ["lab race --wokers 3", "lab rce counter", "lab check --seconds many /mnt"])
def test_a_command_line_that_the_lab_has_not_is_found(line: str) -> None:
    assert list(calls_of(f"```console\n$ {line} 2>&1 | cat\n```\n")) == [f"{line} 2>&1 | cat"]
    assert not is_accepted(f"{line} 2>&1 | cat")


def test_every_exit_code_is_told_in_the_order_of_precedence() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text()
    assert sorted(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE))) == sorted(ExitCode)
    order = ", ".join(str(int(code)) for code in ExitCode if code is not ExitCode.AS_EXPECTED)
    assert f"the first of {order} counts" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_that_a_page_links_to_or_names_is_there(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / name for name in re.findall(r"\]\((?!https?:)([^)#\s]+)", text)]
    named = [ROOT / name for name in re.findall(r"`(docs/[\w./-]+\.\w+)`", text)]
    assert [path for path in linked + named if not path.exists()] == []


def test_all_that_a_worker_offers_is_told() -> None:
    text = (ROOT / "docs/own-scenario.md").read_text()
    offered = {*Worker.__annotations__, *(name for name in vars(Worker) if not name.startswith("_"))}
    assert {name for name in offered if not re.search(rf"`w\.{name}\b", text)} == set()


def test_all_that_a_scenario_can_set_is_told() -> None:
    text = (ROOT / "docs/own-scenario.md").read_text()
    settings = {name for name, value in vars(Scenario).items() if not name.startswith("_") and not callable(value)}
    assert {name for name in settings if f"`{name}`" not in text} == set()
    assert len(settings) > 8


def test_a_file_is_written_where_the_block_says_and_the_commands_find_it(tmp_path: Path) -> None:
    text = '```python file=sub/hello.py\nprint("hello", 3)\n```\n\n```console\n$ python sub/hello.py\nhello 4\n```\n'
    run_page(page(tmp_path, text), tmp_path)
    assert (tmp_path / "typed/sub/hello.py").read_text() == 'print("hello", 3)\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words\n\n```console\n$ echo hello\nbye\n```\n", r"page.md:3: `echo hello` prints\nhello\n\nnot\nbye"),
        ("```console\n$ exit 3\n```\n", "page.md:1: `exit 3` ended with 3"),
        ("```console\n$ echo out; exit 3\nout\n```\n", "ended with 3"),
        ("```yaml\na: 1\n```\n", "a block of yaml: what is to be done with it"),
        ("```\n$ true\n```\n", "a block of no kind"),
    ],
)
def test_what_is_not_as_shown_is_told_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=said):
        run_page(page(tmp_path, text), tmp_path)


def test_a_block_with_a_reason_above_it_is_not_run(tmp_path: Path) -> None:
    run_page(page(tmp_path, "<!-- not run: needs a second host -->\n```console\n$ false\n```\n"), tmp_path)


def test_a_block_without_a_reason_is_run(tmp_path: Path) -> None:
    assert len(list(blocks("<!-- not run: -->\n```console\n$ false\n```\n"))) == 1


def test_the_commands_of_a_block_have_each_its_own_output() -> None:
    (block,) = blocks("```console\n$ one\n1\n$ two\n$ three\n3\n\n3\n```\n")
    assert [(each.command, each.shown) for each in typed(block)] == [
        ("one", ["1"]), ("two", []), ("three", ["3", "", "3"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a 1,234 of 99.5 %", "a 7 of 3 %"),
        ("wait 681 ns", "wait 1.2 ms"),
        ("a    b\n---  -----", "a b\n---------  --"),
        ("a\n\nb", "a\nb\n"),
        ("a sentence that\nis folded", "a sentence\nthat is folded"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("a\n...\nd", "a\nd"),
        ("...\nd", "d"),
        ("raised ... (x.py:3)", "raised Error: 7 and more (x.py:44)"),
    ],
)
def test_figures_widths_and_what_is_left_out_make_no_difference(shown: str, printed: str) -> None:
    assert not differs(shown.splitlines(), printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a 1", "b 1"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("a\n...\nd", "a\nb"),
        ("clean", "damaged"),
        ("a\n...", "b\na"),
        ("0 of 3", "- of 3"),
    ],
)
def test_words_and_lines_make_a_difference(shown: str, printed: str) -> None:
    assert differs(shown.splitlines(), printed)


def test_the_table_of_filesystems_has_every_guarantee_and_every_filesystem_of_the_tests() -> None:
    text = (ROOT / "results" / "filesystems.md").read_text()
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.split("|")[2:-1]] == [name for name in GUARANTEES if name not in FENCING]
    named = [name for row in rows for name in row.split("|")[1].strip().split("; ")]
    measured = [name for name in named if f"| {name} | not measured |" not in text]
    assert sorted(measured) == sorted(name_of(each) for each in FILESYSTEMS if each not in BAD_INPUT)
    assert set(named) - set(measured) == set(NOT_MEASURED)


def test_the_table_of_the_readme_is_that_of_the_reference_run(golden: Golden, tmp_path: Path) -> None:
    run = json.loads((ROOT / "results" / "reference.json").read_text())
    run["cases"] = [case for case in run["cases"] if case["scenario"] in ("counter", "append_log")]
    run["environment"]["kernel"] = "Linux 6.18"
    document = tmp_path / "run.json"
    document.write_text(json.dumps(run))
    heading, table, *_ = run_lab("report", document, env={"COLUMNS": "80"}).stdout.split("\n\n")
    shown = f"$ lab race counter append_log\n\n{heading}\n\n{table}\n  ...\n"
    before, _, rest = (ROOT / "README.md").read_text().partition("```\n")
    after = rest.partition("```\n")[2]
    golden(ROOT / "README.md", f"{before}```\n{shown}```\n{after}")


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 10_000
    assert len(re.findall(r"\]\(docs/[\w./-]+\)", text)) > 12
