"""Floor 5: is locking safe on a mount.

Its rooms:

    supervise       one check as the user's process sees it: it always ends, and touches no mount
    run             its parts one after the other, in a child; and the document of what they found
    guarantees        what a mount is asked for, and which part judges it
    directories     the mounts, told apart; one fresh folder seen through each of them
    language, rule, perform, specification    programs of calls: how they are written, performed and judged
    rules           the specification, as data
    actors          the real stage: a process an actor, stepped one call at a time
    modelled        the same stage over the model of the kernel
    drawn           random programs on both stages, until they differ
    stress            the race, for each guarantee
    verdict         from what was found to safe, unsafe, unsupported or unknown, and what to do
"""
