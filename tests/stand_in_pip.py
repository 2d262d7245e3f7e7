"""`pip install FOLDER` for the pages of docs/: puts its packages and entry points into $SITE, and asks no registry."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path


def install(project: Path, site: Path) -> None:
    """What an installer does with a pyproject.toml that names its packages."""
    told = tomllib.loads((project / "pyproject.toml").read_text())
    name, version = told["project"]["name"], told["project"]["version"]
    for package in told["tool"]["setuptools"]["packages"]:
        shutil.copytree(project / package, site / package)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = told["project"]["entry-points"]
    declared = [
        f"[{group}]\n" + "".join(f"{point} = {value}\n" for point, value in points.items())
        for group, points in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(declared))


if __name__ == "__main__":
    command, folder = sys.argv[1:]
    assert command == "install", command
    install(Path(folder), Path(os.environ["SITE"]))
