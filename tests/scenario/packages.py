"""A package that offers scenarios, as pip would have installed it: modules, and entry points beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

SHOP = '''
"""Shops."""
from ctypes import Structure, c_uint64
from lab import Damage, Scenario


class Shop(Scenario):
    """Sell one."""

    rounds = 5_000
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("sold", c_uint64)]

    def work(self, w):
        with w.write_lock(self.Memory.sold):
            w.memory.sold += 1

    def check(self, memory, outcome):
        return Damage("lost sale", outcome.rounds - memory.sold, outcome.rounds)


class Other(Scenario):
    """Not of the same family."""


class Fixed(Shop):
    """Fixed by nothing."""
'''


def package(
    folder: Path, points: Mapping[str, str], modules: Mapping[str, str] | None = None, name: str = "shops"
) -> dict[str, str]:
    """Install it into this folder, `shops.py` where nothing else is said; the environment in which it is found."""
    folder.mkdir(exist_ok=True)
    for module, text in ({"shops": SHOP} if modules is None else modules).items():
        (folder / f"{module}.py").write_text(dedent(text))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    declared = "".join(f"{point} = {place}\n" for point, place in points.items())
    (info / "entry_points.txt").write_text(f"[lab.scenarios]\n{declared}")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}
