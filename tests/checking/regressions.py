"""Programs on which the model and Linux once gave different answers, or their comparison went wrong.

Each is told with what its calls come to on Linux; the model agrees, or the last answer is left open.
"""

from __future__ import annotations

AGREED = {
    "one who is let in by another who was let in may be heard of before him": """
        A: open f
        B: open f
        C: open f
        A: F_OFD_SETLK f write 6 0
        B: F_OFD_SETLK f write 2 2
        C: F_SETLKW f read 0 12 = waits
        B: F_OFD_SETLKW f read 1 6 = waits
        A: killed
        B: returns = granted
        C: returns = granted
    """,
    "a child takes no name that an actor has": """
        B: open f
        B: fork A
        A: F_SETLK f write 0 1
        B: F_SETLK f write 0 1 = EAGAIN
    """,
}

LEFT_OPEN = {
    "Linux lets A wait behind C, who waits for D's description: that ring is noticed": """
        B: open f
        A: open f
        C: open f
        D: open f
        B: F_SETLK f read 7 1
        A: F_SETLK f read 8 4
        D: F_OFD_SETLK f write 4 2
        C: F_SETLKW f write 4 2 = waits
        D: F_OFD_SETLKW f write 5 4 = waits
        A: F_SETLKW f read 4 2 = waits
        B: F_SETLKW f write 8 1 = EDEADLK
    """,
    "Linux lets C wait behind A's description, so that nobody sees that C waits for D": """
        A: open f
        C: open f
        D: open f
        C: F_SETLK f write 3 1
        D: F_SETLK f write 5 6
        A: F_OFD_SETLKW f write 6 1 = waits
        C: F_SETLKW f read 6 0 = waits
        D: F_SETLKW f write 3 12 = waits
    """,
    "A waited behind D: when D gives up, A tries again, and it is noticed that A and C wait for each other": """
        D: open f
        C: open f
        A: open f
        C: F_OFD_SETLK f read 7 3
        A: F_SETLKW f read 3 3
        D: F_SETLKW f write 6 12 = waits
        A: F_SETLKW f write 7 0 = waits
        C: F_OFD_SETLKW f write 2 3 = waits
        D: interrupted = EINTR
        A: waits = EDEADLK
    """,
    "of two who are let go on, the second may not see the first, and nobody a ring": """
        A: open f
        B: open f
        C: open f
        B: F_SETLKW f write 9 12
        C: F_SETLK f read 2 1
        A: F_SETLKW f read 8 2 = waits
        C: F_SETLKW f write 8 12 = waits
        B: F_SETLK f unlock 4 6
        A: returns = granted
        B: F_SETLKW f write 2 1 = waits
    """,
}
