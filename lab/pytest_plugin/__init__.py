"""Layer 9: the fixture `lab` for pytest: races and explorations as tests.

pytest loads `lab.pytest_plugin.plugin` by its entry point (`-p no:lab` switches it off). Nothing forks in pytest's
process, which may have threads: each race runs in a fresh interpreter that ends with the test.

    in pytest           plugin (hooks, the fixture), options, fixture, raced, explored, again, hidden
    between the two     travel (what is sent and how), process (the other interpreter), request, answer
    over there          helper (its life), arrival (what was sent, made again), racing, giving, exploring

To annotate the fixture: `from lab.pytest_plugin.fixture import Lab`.
"""
