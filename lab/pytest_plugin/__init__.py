"""Layer 9: the fixture `lab` for pytest: races and explorations as tests.

pytest loads `lab.pytest_plugin.plugin` by its entry point (`-p no:lab` switches it off). Nothing forks in pytest's
process, which may have threads: each race runs in a fresh interpreter that ends with the test.

    in pytest           plugin (hooks, the fixture), fixture (requests), results
    between the two     protocol (what is sent and how)
    in the interpreter  server (its life, its races), pacing (how long and how a case races)

To annotate the fixture: `from lab.pytest_plugin.fixture import Lab`.
"""
