from collections.abc import Callable, Iterator
from types import TracebackType

FLOCK: int
LAYOUT: dict[str, int]
SLOTS: dict[str, int]

def bucket(time_ns: int, /) -> int: ...
def add_in_turn(
    holds: tuple[Hold, ...], additions: tuple[memoryview, ...], stop: memoryview, at: int, rounds: int = 0, /
) -> None: ...

class Call:
    def __new__(
        cls, descriptor: int, command: int, kind: int, start: int = 0, length: int = 0, unlock: Call = ..., /
    ) -> Call: ...
    def __call__(self) -> None: ...

class Insisting:
    def __new__(cls, call: Call, log: memoryview, turn: int, /) -> Insisting: ...
    def __call__(self) -> None: ...

class Hold:
    def __new__(
        cls, acquire: object, release: object, log: memoryview, span: int, histogram: memoryview | None = None
    ) -> Hold: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Rounds(Iterator[int]):
    def __new__(cls, log: memoryview, rounds: int, /) -> Rounds: ...
    def __next__(self) -> int: ...

class Stamps:
    def __new__(
        cls,
        log: memoryview,
        raised: Callable[[BaseException], str | None],
        keep: Callable[[int, object], None],
        /,
    ) -> Stamps: ...
    def record(self, round_number: int, number: int, make: Callable[[], object], /) -> None: ...
