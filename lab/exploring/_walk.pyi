from .walk import Walk

def states(
    walk: Walk,
    workers: int,
    content: bytes,
    news: int,
    longest: int,
    locked: bool,
    detects: bool,
    has_invariant: bool,
    in_between: bool,
    spins: bool,
    ring: int,
    alike: bytes,
    jobs: int,
    /,
) -> tuple[int, bytes, bytes, bool] | None: ...
