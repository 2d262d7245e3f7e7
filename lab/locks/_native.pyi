from types import TracebackType

FLOCK: int

def bucket(time_ns: int, /) -> int: ...

class Call:
    def __new__(
        cls, descriptor: int, command: int, kind: int, start: int = 0, length: int = 0, unlock: Call = ..., /
    ) -> Call: ...
    def __call__(self) -> None: ...

class Hold:
    def __new__(
        cls, acquire: object, release: object, log: memoryview, span: int, histogram: memoryview | None = None
    ) -> Hold: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
