"""Perform a crash with real processes, on a file that is made (`stage`) or on a real filesystem (`real`).

The first proves what recovery makes of the file, and nothing about this machine's disk. The second proves that this
filesystem leaves that file when the power fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.errors import UsageError
from lab.exploring.replay import check_mapped
from lab.exploring.simplify import world_of
from lab.exploring.token import scenario_of
from lab.exploring.worker import shape_of
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER
from lab.memory import new_file, workspace
from lab.memory.named_files import named_files
from lab.memory.workspace import check_parent
from lab.processes import Terminated, stop_on_sigterm
from lab.records import OnDisk, Replay, ReplayOptions
from lab.scenario import Found

from .real import check_real, perform_on
from .script import Script, read
from .stage import Diverged, Model, Stage

Keep = Callable[[OnDisk], None]


def reproduce(options: ReplayOptions, found: Found | None = None) -> Replay:
    """Perform the token's crash `times` times on a new file in the directory; see `lab.exploring.replay.reproduce`.

    With `options.real` it is performed so often on each of these filesystems, whose power really fails. Raises
    UsageError for a crash that cannot fail there, CannotRunError where the machine lacks what that needs.
    """
    script = read(options.token)
    model = _modelled(script, found or scenario_of(script))
    check_mapped(model.world.shape)
    if options.real and model.world.shape.directory:
        raise UsageError(
            f"--real: scenario {model.world.shape.found.name} uses files by their names, and only the mapped file is "
            "made on a real filesystem; replay it without --real"
        )
    kinds = check_real(script, options.real) if options.real else []
    check_parent(Path(options.directory))
    begun, interrupted = RunStart(), False
    done: dict[str, OnDisk] = {}

    def keep(figures: OnDisk) -> None:
        done[figures.filesystem] = figures

    started = time.monotonic()
    try:
        with stop_on_sigterm():
            if kinds:
                perform_on(kinds, model, options.times, options.time_limit_s, keep)
            else:
                _perform_in(Path(options.directory), model, options, keep)
    except (KeyboardInterrupt, Terminated):
        interrupted = True
    seconds = time.monotonic() - started
    where = environment(Path(options.directory), begun.load, RECORDER)
    first = model.damage[0] if model.damage else None
    times = sum(each.times for each in done.values())
    return Replay(
        **begun.header(where, interrupted=interrupted),
        options=ReplayOptions(
            options.token, options.times, anonymous_text(options.directory), options.time_limit_s, kinds
        ),
        scenario=script.scenario,
        lock=script.lock,
        workers=script.workers,
        rounds=script.rounds,
        line_bytes=script.line,
        times=times,
        reproduced=sum(each.reproduced for each in done.values()),
        divergence="; ".join(_divergences(list(done.values()))),
        schedules_per_s=round(times / seconds, 1) if seconds else 0.0,
        damage=model.damage,
        headline=": ".join([first.kind, *first.evidence[:1]]) if first else "no damage",
        steps=model.steps,
        on_disks=[done[kind] for kind in kinds if kind in done],
    )


def _divergences(done: Sequence[OnDisk]) -> list[str]:
    return [f"{each.filesystem}: {each.divergence}".removeprefix(": ") for each in done if each.divergence]


def _perform_in(directory: Path, model: Model, options: ReplayOptions, keep: Keep) -> None:
    """Perform it on a file in the directory, of which a power failure is made by hand."""
    shape = model.world.shape
    content = model.world.prepared[: shape.layout.size]
    with (
        workspace(directory) as folder,
        new_file(folder / "replayed", content, sparse=False),
        named_files(folder / "replayed", shape.first_files),
    ):
        done = OnDisk("", 0, 0, "", 0)
        for times in range(1, options.times + 1):
            try:
                stage = Stage(model, folder / "replayed", options.time_limit_s)
                fits = stage.fits(stage.perform())
            except Diverged as error:
                keep(replace(done, times=times, divergence=str(error)))
                return
            done = replace(done, times=times, reproduced=done.reproduced + fits)
            keep(done)


def _modelled(script: Script, found: Found) -> Model:
    found.check_world("replay")
    shape = shape_of(found, script.lock, script.workers, script.rounds, script.line, crashes=True)
    return Model(world_of(shape), script)
