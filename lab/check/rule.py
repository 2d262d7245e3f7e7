"""A rule of the specification: its number, its sentence, where it is written, and the calls that show it."""

from __future__ import annotations

from dataclasses import dataclass

from .language import Step, parse


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `promise` names the line of the verdict that it counts for (`lab.check.promises`).

    Each program is performed on a file of its own and stands for itself; a rule about data under a race has none, it
    is the soak that judges it. `unpromised` gives the reason where Linux behaves so and promises it nowhere: a
    difference is then shown and makes nothing unsafe. `part` is the part of a check that performs it. A rule with a
    `risk` may harm the client of a network filesystem: it is performed last, and there only on request.
    """

    number: int
    sentence: str
    source: str
    promise: str
    programs: tuple[str, ...] = ()
    unpromised: str = ""
    part: str = "rules"
    risk: str = ""

    @property
    def soaked(self) -> bool:
        """True for a rule that no program shows, only many rounds under contention."""
        return not self.programs

    def steps(self) -> list[tuple[Step, ...]]:
        """The programs, read; raises ValueError where one is no program."""
        return [parse(program) for program in self.programs]
