"""Do on a host what is asked for there: the only process of the lab on it that touches the filesystem under test.

A request is a line of JSON: the name of a piece of work as `do`, and its arguments. The answer is a line of JSON too:
`error` where it failed, else what the work returned. Pieces of work are done one after the other; the process has one
thread. It ends with its standard input, and with the agent that started it.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from lab.errors import LabError
from lab.host.environment import mounts_of
from lab.processes.child import PR_SET_PDEATHSIG, prctl

LOOK_AGAIN_S = 0.02


AT_END: list[Callable[[], object]] = []
"""What is done once there are no more requests: what is unfinished then is removed."""


def main(tickets: int = -1) -> None:
    """Answer requests until there are no more; at `tickets` the agent takes what its workers draw tickets on.

    SIGINT interrupts a piece of work, and nothing else.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    parent = os.getppid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit()
    if tickets >= 0:
        from . import tickets as drawn

        drawn.control = tickets
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # whatever else is printed is no answer
        for line in sys.stdin:
            out.write(json.dumps(answered(json.loads(line))) + "\n")
            out.flush()
        for each in AT_END:
            each()


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for and return the answer."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        answer: dict[str, Any] = resolve_name(WORK[request.pop("do")])(**request)
        return answer
    except KeyboardInterrupt:
        return {"error": "interrupted"}
    except OSError as error:
        return {"error": error.strerror or str(error)}
    except LabError as error:
        return {"error": str(error)}
    except Exception as error:  # a fault of the lab: whoever asked names the host
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


NO_DIRECTORY = ("does not exist there", "is not a directory there")
"""What a host says of a directory that it does not have."""


def about(directory: str) -> dict[str, Any]:
    """Return the kernel, the processors, the Python, and the mount that the directory is on."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if not Path(directory).is_dir():
        raise NotADirectoryError(None, f"{directory} {NO_DIRECTORY[Path(directory).exists()]}")
    mount = mounts_of([Path(directory)])[0]
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "boot": boot,
        "filesystem": mount.filesystem,
        "mount_options": mount.mount_options,
    }


def show(path: str, content: str) -> dict[str, Any]:
    """Make a new file with this content, for the other hosts to find; none is left where that is refused."""
    try:
        with open(path, "x") as file:  # noqa: PTH123 - Path has no such mode
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise
    except OSError:
        Path(path).unlink(missing_ok=True)
        raise
    return {}


def find(path: str, content: str, seconds: float) -> dict[str, Any]:
    """Return whether the file is there with this content, as soon as it is; after so many seconds it is not."""
    deadline = time.monotonic() + seconds
    while not (found := _has(path, content)) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_S)
    return {"found": found}


def _has(path: str, content: str) -> bool:
    with suppress(OSError):
        return Path(path).read_text() == content
    return False


def remove(path: str) -> dict[str, Any]:
    """Remove the file, if it is there."""
    Path(path).unlink(missing_ok=True)
    return {}


WORK = {
    "about": "lab.hosts.keeper:about",
    "show": "lab.hosts.keeper:show",
    "find": "lab.hosts.keeper:find",
    "remove": "lab.hosts.keeper:remove",
    "race": "lab.hosts.trial:do_step",
    "check.make": "lab.hosts.actors:make",
    "check.seek": "lab.hosts.actors:seek",
    "check.hide": "lab.hosts.actors:hide_file",
    "check.start": "lab.hosts.actors:start",
    "check.direct": "lab.hosts.actors:direct",
    "check.close": "lab.hosts.actors:close",
    "check.end": "lab.hosts.actors:end_all",
    "check.locks": "lab.hosts.actors:locks",
    "check.lock_file": "lab.hosts.actors:lock_file",
    "check.refusal": "lab.hosts.actors:refusal",
    "check.answers": "lab.hosts.actors:answers",
    "check.remove": "lab.hosts.actors:remove",
    "check.hold": "lab.hosts.lock_holders:hold",
    "check.contend": "lab.hosts.lock_holders:contend",
    "check.last_calls": "lab.hosts.lock_holders:last_calls",
    "check.stop": "lab.hosts.lock_holders:stop",
    "check.let_go": "lab.hosts.lock_holders:end",
    "check.reaches": "lab.hosts.lock_holders:reaches",
    "check.read": "lab.hosts.lock_holders:read_files",
}
"""What can be asked for; `do` is the name. Its module is imported when it is first asked for."""
