from types import TracebackType

from lab.locks import Action

def bucket(time_ns: int) -> int: ...

class Hold:
    def __init__(
        self, acquire: Action, release: Action, log: memoryview, span: int, histogram: memoryview | None = None
    ) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
