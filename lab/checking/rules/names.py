"""Rules 76, 84 to 92, 99, 100, 105: lock files, rename, and what others see of a name that was made or removed."""

from __future__ import annotations

from lab.checking.runner import Rule

from .helpers import BOTH_OPEN

KEPT_BY_NO_SERVER = "a server may drop a file that has no name, though another host has it open: NFS answers ESTALE"

RULES = (
    Rule(
        76,
        "A name that was removed and made again through one mount is the new file through the other.",
        "unlink(2); open(2); nfs(5), Directory entry caching",
        "entries",
        (
            f"""{BOTH_OPEN}
            A: write f 0 old
            A: sync f
            A: close f
            A: unlink f
            A: open f as g
            A: write g 0 new
            A: sync g
            A: close g
            B: close f
            B: open f as h
            B: read h 0 3 = new
            """,
        ),
    ),
    Rule(
        84,
        "O_EXCL fails with EEXIST as soon as another process has made the name, and until it is removed.",
        "open(2), O_EXCL; POSIX open()",
        "o_excl",
        (
            "A: open f excl; B: open f excl = EEXIST; A: open f as g excl = EEXIST",
            "B: open f existing = ENOENT; A: open f excl; B: open f excl = EEXIST",
            "A: open f excl; A: close f; A: unlink f; B: open f excl; A: open f excl = EEXIST",
        ),
    ),
    Rule(
        85,
        "mkdir fails with EEXIST as soon as another process has made the name, and until it is removed.",
        "mkdir(2), EEXIST; POSIX mkdir()",
        "mkdir",
        (
            "A: mkdir d; B: mkdir d = EEXIST; A: rmdir d; B: mkdir d; A: mkdir d = EEXIST",
            "A: open f; B: mkdir f = EEXIST",
            "A: mkdir d; B: open d excl = EEXIST",
        ),
    ),
    Rule(
        86,
        "link fails with EEXIST as soon as another process has made the name; the new name leads to the same file.",
        "link(2), EEXIST; open(2), O_EXCL; POSIX link()",
        "link",
        (
            "A: open f; A: link f l; B: open g; B: link g l = EEXIST; A: unlink l; B: link g l; A: link f l = EEXIST",
            "A: open f; A: write f 0 text; A: sync f; A: close f; A: link f l; B: open l existing; "
            "B: read l 0 4 = text",
        ),
    ),
    Rule(
        87,
        "The number of links of a file counts its names.",
        "stat(2), st_nlink; open(2), O_EXCL",
        "link",
        ("A: open f; A: links f = 1; A: link f l; A: links f = 2; A: unlink l; A: links f = 1",),
        unguaranteed="a filesystem may not count names, as that of sshfs",
    ),
    Rule(
        88,
        "After rename over a file a new open finds the new one, and the old name is gone.",
        "rename(2); POSIX rename()",
        "rename",
        (
            """
            A: open f
            A: write f 0 old
            A: sync f
            A: open g
            A: write g 0 new
            A: sync g
            A: close g
            A: rename g f
            A: read f 0 3 = old
            A: open f as h existing
            A: read h 0 3 = new
            B: open f existing
            B: read f 0 3 = new
            B: open g existing = ENOENT
            """,
            """
            B: open f
            B: close f
            A: open g
            A: write g 0 new
            A: sync g
            A: close g
            A: rename g f
            B: open f existing
            B: read f 0 3 = new
            A: open g existing = ENOENT
            """,
        ),
    ),
    Rule(
        89,
        "A process that had the file open before another process renamed over it still reads the old bytes.",
        "rename(2)",
        "rename",
        ("B: open f; B: write f 0 old; B: sync f; A: open g; A: close g; A: rename g f; B: read f 0 3 = old",),
        unguaranteed=KEPT_BY_NO_SERVER,
    ),
    Rule(
        90,
        "A file that is unlinked while it is open can still be read and written, and no name leads to it.",
        "unlink(2); POSIX unlink()",
        "entries",
        (
            """
            A: open f
            A: write f 0 text
            A: sync f
            A: unlink f
            A: read f 0 4 = text
            A: write f 0 more
            A: sync f
            A: read f 0 4 = more
            A: open f existing = ENOENT
            B: open f existing = ENOENT
            """,
        ),
    ),
    Rule(
        91,
        "A process that has a file open still reads it after another process has unlinked it.",
        "unlink(2)",
        "entries",
        ("A: open f; A: write f 0 text; A: sync f; B: open f; B: unlink f; A: read f 0 4 = text",),
        unguaranteed=KEPT_BY_NO_SERVER,
    ),
    Rule(
        92,
        "A directory that is listed after a name was made, renamed or removed shows it so.",
        "readdir(3); POSIX readdir()",
        "entries",
        (
            "A: open f; B: names = f; B: open g; A: names = f g; A: close f; A: unlink f; B: names = g",
            "B: mkdir d; A: names = d; A: open g; A: rename g h; B: names = d h; B: rmdir d; A: names = h",
        ),
    ),
)

LATER_RULES = (
    Rule(
        105,
        "A name that a process did not find is found once another process has made it, by whatever call.",
        "open(2), ENOENT; nfs(5), lookupcache",
        "entries",
        tuple(
            f"B: open {name} existing = ENOENT; A: open f; A: write f 0 text; A: sync f; A: close f; {makes} "
            f"B: open {name} existing; B: read {name} 0 4 = text"
            for name, makes in (("f", ""), ("g", "A: rename f g;"), ("g", "A: link f g;"))
        ),
    ),
)

STRESS_RULES = (
    Rule(
        99,
        "A name that files are renamed over is never missing, and leads to one of them, whole.",
        "rename(2), atomically replaced; POSIX rename()",
        "rename",
        part="stress",
    ),
    Rule(
        100,
        "Under a lock each process lists and opens the file that the holder before made, and not the one it removed.",
        "open(2); unlink(2); readdir(3); nfs(5), Directory entry caching",
        "entries",
        part="stress",
    ),
)
