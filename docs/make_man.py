"""Write docs/lab.1, the manual page of the command, from its parser.

python -m docs.make_man
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import lab
from lab.cli.main import whole_parser

PAGE = Path(__file__).with_name("lab.1")


def page() -> str:
    """Return the page in the language of man(7); of this version, and not of a day or a terminal."""
    from argparse_manpage.manpage import Manpage

    with patch.dict(os.environ, COLUMNS="1000"):  # the reader of the page fills its lines
        made = Manpage(whole_parser(), format="single-commands-section")
        made.date, made.source, made.manual = "", f"lab {lab.__version__}", "User Commands"
        made.description = "find out whether a lock really protects a shared, memory-mapped file"
        return str(made).rstrip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
