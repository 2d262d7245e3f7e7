"""One invocation of `replay`: from the token to the record of what real processes did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.environment import Begun, anonymous_text, environment
from lab.errors import ScenarioError, UsageError
from lab.locks import RECORDER
from lab.processes import Terminated, stop_on_sigterm
from lab.regions import workspace
from lab.results import SCHEMA, Damage, Replay, ReplayOptions, Step

from .case import damage_records
from .plan import plan_of
from .reasons import story
from .repair import Repair
from .replay import Result, check_region, replay
from .shrink import world_of
from .token import Token, differs, read, scenario_of
from .trace import trace
from .worker import shape_of
from .world import End, World, damage_of


def reproduce(options: ReplayOptions) -> Replay:
    """Perform the token's schedule `times` times on a new file in the directory.

    What was done when somebody interrupts is kept. Raises UsageError for a token that does not fit, CannotRunError
    where the directory, the lock or the processes are refused.
    """
    token = read(options.token)
    world = _world(token)
    schedule = token.schedule
    steps, end = trace(world, schedule)
    if difference := differs(token, steps):
        raise UsageError(f"the token does not fit scenario {token.scenario}: {difference}")
    plan = plan_of(world, schedule)
    check_region(plan)
    result, interrupted = Result(), False
    begun = Begun()
    with workspace(Path(options.directory)) as folder:
        try:
            with stop_on_sigterm():
                replay(plan, folder, options.times, options.time_limit_s, result)
        except (KeyboardInterrupt, Terminated):
            interrupted = True
        where = environment(folder, begun.load, RECORDER)
    left = end if plan.stuck or any(plan.raised) else _left(world, result, end)
    damage = damage_records(left)
    return Replay(
        schema=SCHEMA,
        command="replay",
        started=begun.moment,
        wall_s=begun.wall_s,
        interrupted=interrupted,
        environment=where,
        options=ReplayOptions(options.token, options.times, anonymous_text(options.directory), options.time_limit_s),
        scenario=token.scenario,
        lock=token.lock,
        workers=token.workers,
        rounds=token.rounds,
        line_bytes=token.line,
        times=result.times,
        reproduced=result.reproduced,
        divergence=result.divergence,
        schedules_per_s=round(result.times / result.running_s, 1) if result.running_s else 0.0,
        damage=damage,
        headline=_headline(world, schedule, steps, damage) if damage else "no damage",
        steps=steps,
    )


def _headline(world: World, schedule: bytes, steps: Sequence[Step], damage: Sequence[Damage]) -> str:
    """What the exploration said of the schedule."""
    return story(steps, damage, world.shape.lock, mends=Repair(world, schedule).mends).headline


def _world(token: Token) -> World:
    """The simulated world of the token, in which its schedule can run."""
    found = scenario_of(token)
    found.check_world("replay")
    world = world_of(shape_of(found, token.lock, token.workers, token.rounds, token.line))
    for place, worker in enumerate(token.schedule):
        if worker >= token.workers or worker not in world.choices():
            raise UsageError(
                f"the token does not fit scenario {found.name}: worker {worker} cannot do step {place + 1}"
            )
        world.do(worker)
    world.back_to(0)
    return world


def _left(world: World, result: Result, end: End) -> End:
    """The damage that the last performance really left in the file."""
    if not result.content:
        return end
    try:
        return End(tuple(damage_of(world.shape, result.content, result.reports)))
    except ScenarioError:  # the check raises on these bytes, as it did on the model's
        return end
