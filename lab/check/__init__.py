"""Layer 6: find out whether locking is safe on a mount.

Its modules:

    supervise       one check as the user's process sees it: it always ends, and touches no mount
    run             its parts one after the other, in a child, and the document of what they found
    guarantees      what a mount is asked for
    request         the guarantees and parts of one check; which part judges a guarantee
    mounts          the mounts, told apart; one fresh folder seen through each of them
    language        how programs of calls are written
    rules           the specification, as data: each rule names its part and its guarantee
    runner          performs programs and judges a rule by them
    blame           the guarantee that a wrong answer counts for
    actors          the real stage: a process an actor, stepped one call at a time
    oracle          the same stage over the model of the kernel
    fuzz            random programs on both stages, until they differ
    stress          races, for each guarantee
    verdict         from what was found to safe, unsafe, unsupported or unknown, and what to do
"""
