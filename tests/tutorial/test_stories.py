from __future__ import annotations

from pathlib import Path

import pytest

from lab.checking.actors.pool import ActorPool
from lab.checking.language import parse
from lab.exploring.replay import reproduce
from lab.gallery import counterexample_names
from lab.memory import workspace
from lab.records import ReplayOptions, Story
from lab.scenario import find_scenarios
from lab.tutorial.stories import BROKEN, FIXED, failure_of, lines_of, perform_program, stories, why_and_fix
from tests.helpers import in_fresh_process

STORIES = stories()
EXPLORED = [story for story in STORIES if story.source == "explored"]
TOLD = {
    f"{name}, {kind}": text for kind, texts in (("broken", BROKEN), ("fixed", FIXED)) for name, text in texts.items()
}

each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: str(story.scenario))


def on_the_kernel(program: str, directory: str) -> list[str]:
    """What each call of a program comes to when real processes make it."""
    steps = [step for line in lines_of(program) for step in parse(line.call)]
    with workspace(Path(directory)) as folder, ActorPool([folder]) as actor_pool, actor_pool.stage() as stage:
        return [stage.perform(step.call, step.expected) for step in steps]


def replayed(token: str, directory: str) -> tuple[int, str]:
    """How often real processes came to the same end as the explorer, and where they did not."""
    done = reproduce(ReplayOptions(token, 3, directory, 5.0))
    return done.reproduced, done.divergence


def test_every_counterexample_is_told_in_the_order_of_teaching() -> None:
    assert [story.scenario for story in STORIES] == counterexample_names()
    assert len(EXPLORED) == 3


@each_story
def test_a_story_goes_wrong_at_one_call_which_is_explained_and_has_a_fix(story: Story) -> None:
    (wrong,) = [call for call in story.broken.calls if call.wrong]
    assert wrong.note
    assert story.why
    assert " fix" in story.fix
    assert not any(call.wrong for call in story.fixed.calls)
    assert {call.worker for call in story.broken.calls} == set(range(len(story.broken.workers)))


@pytest.mark.parametrize("which", TOLD)
def test_real_processes_are_answered_as_the_story_tells(which: str, tmp_path: Path) -> None:
    told = [call.result for call in perform_program(TOLD[which]).calls]
    assert in_fresh_process(on_the_kernel, TOLD[which], str(tmp_path)) == told


@pytest.mark.parametrize("story", EXPLORED, ids=lambda story: str(story.scenario))
def test_real_processes_come_to_the_end_that_the_explorer_found(story: Story, tmp_path: Path) -> None:
    found = failure_of(find_scenarios([story.scenario])[0])
    assert story.broken.moral == found.reasons
    assert in_fresh_process(replayed, found.token or "", str(tmp_path)) == [3, ""]


@pytest.mark.parametrize("story", EXPLORED, ids=lambda story: str(story.scenario))
def test_of_an_explored_story_no_schedule_breaks_once_it_is_fixed(story: Story) -> None:
    fixed = failure_of(find_scenarios([story.scenario])[1])
    assert (fixed.verdict, fixed.exhausted) == ("holds", True)
    assert fixed.covered in story.fixed.moral[0]


@pytest.mark.parametrize("name", BROKEN)
def test_a_performed_story_ends_with_less_than_was_done_and_its_fix_with_all_of_it(name: str) -> None:
    ends = {
        "closed_descriptor": ("1", "2"),
        "threads": ("1", "2"),
        "forked_holder": ("1", "2"),
        "replaced_file": ("1", "3"),
        "private_mapping": ("0", "2"),
        "killed_holder": ("21", "00"),
    }
    assert (perform_program(BROKEN[name]).calls[-1].result, perform_program(FIXED[name]).calls[-1].result) == ends[name]


def test_a_program_that_does_not_go_as_it_says_is_no_story() -> None:
    with pytest.raises(AssertionError, match="gave granted, not EAGAIN"):
        perform_program("A: open f\nA: F_SETLK f write 0 1 = EAGAIN")


def test_second_threads_and_children_have_columns_of_their_own() -> None:
    assert perform_program(BROKEN["threads"]).workers == ["process A", "A, second thread"]
    assert perform_program(BROKEN["forked_holder"]).workers == ["process A", "C, a child of A", "process B"]


def test_what_fixes_a_counterexample_is_told_apart_from_what_is_the_matter() -> None:
    assert why_and_fix("It is so. It is, e.g. so. This fixes it; no other does.") == (
        "It is so. It is, e.g. so.",
        "This fixes it; no other does.",
    )
