"""What the lab says of the options of its commands, said of the arguments that a test has in their place."""

from __future__ import annotations

import re

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def as_arguments(text: str) -> str:
    """The same with `time_limit=` for `--time-limit`, and so on."""
    return OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text)
