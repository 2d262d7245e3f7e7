"""Layer 10: the fixture `lab` for pytest: races and explorations as tests, each in a fresh interpreter.

pytest loads `lab.pytest_plugin.plugin` by its entry point (`-p no:lab` switches it off). The fixture (`fixture`) is a
session of `lab.api` with a test's settings. To annotate it: `from lab.pytest_plugin.fixture import Lab`.
"""
