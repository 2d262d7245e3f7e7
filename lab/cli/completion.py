"""Print the completion of the command line for a shell: commands, options, and the values that are fixed.

Where each shell looks for it:

  bash   lab completion bash > ~/.local/share/bash-completion/completions/lab
  zsh    lab completion zsh > ~/.zfunc/_lab        (with ~/.zfunc in fpath)
  fish   lab completion fish > ~/.config/fish/completions/lab.fish
"""

from __future__ import annotations

import argparse

from lab.output import print_text

SHELLS = ("bash", "zsh", "fish")
"""shtab makes those for other shells too, which no test of the lab reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of the shell: those that users of Linux log in with."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads it")


def run(arguments: argparse.Namespace) -> int:
    """Print it; the library that makes it is imported by nothing else."""
    import shtab

    from .main import whole_parser

    print_text(shtab.complete(whole_parser(), arguments.shell))
    return 0
