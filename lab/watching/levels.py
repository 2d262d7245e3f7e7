"""Find out how closely mappings can be watched on this machine: at level calls, pages or accesses.

Level accesses decodes machine instructions, so far those of x86-64. Level pages asks the kernel which pages were
written since it was last asked: userfaultfd(2) with asynchronous write protection, and PAGEMAP_SCAN (Linux 6.7).
"""

from __future__ import annotations

import ctypes
import os
import platform
from fcntl import ioctl
from struct import pack

from lab.errors import CannotRunError
from lab.records.watch import WatchLevel

LEVELS: tuple[WatchLevel, ...] = ("calls", "pages", "accesses")
"""In the order of the numbers of `_watch.h`."""

USERFAULTFD = {"x86_64": 323, "aarch64": 282}
USER_MODE_ONLY = 1
UFFD_API, UFFDIO_API, WP_ASYNC, WP_UNPOPULATED = 0xAA, 0xC018AA3F, 1 << 15, 1 << 13
PAGEMAP_SCAN = 0xC0606610


def check_level(level: WatchLevel) -> None:
    """Do nothing where the level works here. Raises CannotRunError, with the reason, where it does not."""
    machine = platform.machine()
    if level != "calls" and machine != "x86_64":
        raise CannotRunError(f"--level {level} works on x86-64 so far, and this is {machine}; use --level calls")
    if level == "pages" and not _can_see_pages(machine):
        raise CannotRunError(
            "--level pages needs Linux 6.7 or later with userfaultfd (CONFIG_USERFAULTFD); use level accesses or calls"
        )


def _can_see_pages(machine: str) -> bool:
    """Ask the kernel for both interfaces. Source: include/uapi/linux/userfaultfd.h and fs.h, struct pm_scan_arg."""
    file = ctypes.CDLL(None, use_errno=True).syscall(USERFAULTFD[machine], os.O_CLOEXEC | USER_MODE_ONLY)
    if file < 0:
        return False
    try:
        ioctl(file, UFFDIO_API, pack("QQQ", UFFD_API, WP_ASYNC | WP_UNPOPULATED, 0))
        with open("/proc/self/pagemap", "rb", buffering=0) as pages:  # noqa: PTH123 - a descriptor is needed
            ioctl(pages, PAGEMAP_SCAN, bytearray(pack("12Q", 96, *[0] * 11)))
    except OSError:
        return False
    finally:
        os.close(file)
    return True
