"""The site, made by Sphinx: `nox -s docs`, or `python -m sphinx -W --keep-going -c docs/site . build/site`.

The source folder is the checkout, so that every link works on the site as it does between the files. The pages load
nothing from other hosts, and their search works from disk.
"""

from __future__ import annotations

from sphinx.application import Sphinx

PARTS = {
    "Start": ["docs/index", "docs/race"],
    "Teach": ["docs/teach/index", "docs/teach/hand-out", "docs/teach/answers"],
    "Check a mount": ["docs/check", "docs/check-inside", "docs/hosts", "results/filesystems"],
    "Test your lock": ["docs/locks", "docs/pytest", "docs/python", "docs/lock-survey"],
    "Test your program": ["docs/programs", "docs/watch", "docs/histories"],
    "Your own scenario": ["docs/own-scenario"],
    "Explore": ["docs/explore", "docs/operations", "docs/crash"],
    "Prices": ["docs/bench", "docs/scale", "docs/plot"],
    "In CI": ["docs/ci"],
    "Concepts": ["docs/clean", "docs/mapped-files", "docs/page", "docs/backings", "docs/memory-model", "docs/security"],
    "Reference": ["docs/commands", "docs/exit-codes", "docs/documents", "docs/glossary", "docs/api", "results/README"],
    "Work on the lab": ["docs/architecture", "CONTRIBUTING", "docs/contributing/*", "SECURITY", "CHANGELOG"],
}
"""The navigation: the pages of each part, in their order."""

project = "The lab"
author = "the contributors of the lab"
html_title = "The lab"
extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "docs/**/*.md", "results/*.md", "*.md"]
exclude_patterns = ["README.md"]  # the first page takes its place
nitpicky = True
suppress_warnings = ["myst.header"]

myst_heading_anchors = 3
myst_linkify_fuzzy_links = False

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_theme_options = {"source_edit_link": "", "top_of_page_buttons": []}
html_extra_path = ["top"]
html_show_search_summary = False  # it fetches the pages, which a browser refuses from disk
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False


def add_navigation(_app: Sphinx, name: str, text: list[str]) -> None:
    """Append the navigation to the first page, for Sphinx takes it from there; a reader of the file need not see it."""
    if name != root_doc:
        return
    for title, pages in PARTS.items():
        listed = "\n".join("self" if page == root_doc else f"/{page}" for page in pages)
        text[0] += f"\n\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {title}\n\n{listed}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
