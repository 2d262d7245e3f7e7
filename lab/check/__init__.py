"""Layer 6: the check whether locking is safe on a mount.

Its modules:

    supervise   one check as the user's process sees it: it always ends, and touches no mount
    run         its parts one after the other, in a child; and the document of what they found
    guarantees  what a mount is asked for, and which part judges it
    mounts      the mounts, told apart; one fresh folder seen through each of them
    language    programs of calls: how they are written and read
    runner      a rule performed and judged
    rules       the specification, as data
    actors      the real stage: a process an actor, stepped one call at a time
    oracle      the same stage over the model of the kernel
    fuzz        random programs on both stages, until they differ
    stress      the race, for each guarantee
    verdict     from what was found to safe, unsafe, unsupported or unknown, and what to do
"""
