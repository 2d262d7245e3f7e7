"""Layer 6: find out whether locking is safe on a mount.

Its modules:

    supervise       one check as the user's process sees it: it always ends, and touches no mount
    run             its parts one after the other, in a child, and the document of their findings
    guarantees      the guarantees that a check judges
    request         the guarantees and parts of one check; which part judges a guarantee
    mounts          the mounts and how they are distinguished; one fresh folder seen through each of them
    language        the notation for programs of calls
    rules           the specification, as data: each rule names its part and its guarantee
    runner          performs programs and judges a rule by them
    blame           the guarantee that a wrong answer counts for
    actors          the real stage: one process per actor, stepped one call at a time
    oracle          the same stage over the model of the kernel
    fuzz            random programs on both stages, until they differ
    stress          races, for each guarantee
    verdict         from the findings to safe, unsafe, unsupported or unknown, and advice
"""
