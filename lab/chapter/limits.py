"""Limits that end what is tried here before anything is learned of it."""

from __future__ import annotations

from errno import EMFILE, ENFILE

from lab.errors import CannotRunError


def out_of_descriptors(error: OSError) -> CannotRunError | None:
    """The error to raise in place of this one, where the process or the system has no descriptor left; else None."""
    if error.errno not in (EMFILE, ENFILE):
        return None
    return CannotRunError(f"{error.strerror}: no descriptor is left; raise the limit (ulimit -n)")
