"""Stand in for ssh(1): each host is this machine, as hosts.json beside this file says: {name: {what: value}}.

`ends` is the exit code that ssh ends with at once; `silent` never answers; `version` is what its Python says of itself;
`noise` is what its login prints first, and `full` a folder on which an own file system without room is mounted there;
`mounts` has the folder that appears as another one there: [folder, as]; `ahead_s` is by how much its clock is ahead;
`enter` is the command that enters the namespaces of the host (tests/hosts/rig.py).
"""

import json
import os
import sys
import time
from pathlib import Path

*options, host, command = sys.argv[1:]
if "BatchMode=yes" not in options:
    sys.exit("a question could be asked")
its = json.loads(Path(__file__).with_name("hosts.json").read_text())[host.rpartition("@")[2]]
if "ends" in its:
    sys.exit(its["ends"])
if "silent" in its:
    time.sleep(3600)
if "version" in its:
    command = command.replace("import sys;", f"import sys;sys.version_info=({its['version']});", 1)
if "noise" in its:
    sys.stdout.write(its["noise"])
    sys.stdout.flush()
words = ["sh", "-c", command]
if "full" in its:
    fill = 'mount -t tmpfs -o size=8k none "$0"; head -c 8192 /dev/zero >"$0/fill"; exec "$@"'
    words = ["unshare", *its["as"], "sh", "-c", fill, its["full"], *words]
if "mounts" in its:
    words = ["unshare", *its["as"], "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', *its["mounts"], *words]
if "enter" in its:
    words = [*its["enter"], *words]
if "ahead_s" in its:
    words = ["unshare", *its["as"], "--time", "--fork", "--kill-child", "--monotonic", str(its["ahead_s"]), *words]
os.execvp(words[0], words)  # noqa: S606
