"""What a crowd of workers is held against: N times os.fork and reap, nothing else. Prints seconds."""

from __future__ import annotations

import os
import sys
import time

start = time.monotonic()
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
print(time.monotonic() - start)
