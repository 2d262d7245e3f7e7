from array import array
from collections.abc import Callable

def search(
    events: array[int],
    classes: array[int],
    reads: bytes,
    step: Callable[[int, int], int],
    initial: int,
    most: int,
    stop: Callable[[], bool],
    /,
) -> tuple[int, int, int, int, set[int], list[int] | None]: ...
