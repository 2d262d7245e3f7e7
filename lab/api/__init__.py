"""Layer 9: the functions of `lab`, such as `lab.race`, and what the command line shares with them.

The caller may have threads, and be a notebook: nothing forks in its process. Each call runs in a fresh interpreter.

    in the caller       session (the functions), results (what they return), client (starts the interpreter)
    between the two     protocol (what is sent and how), values (what may be said)
    in the interpreter  server (its life), verbs (what each command does), pacing (how long and how a case races)
"""
