import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lab.chapter import compared
from lab.chapter.claimed import CLAIMS, PROPERTIES, REGIONS
from lab.regions import named
from tests.helpers import in_fresh_process


def looked(directory: str, replaced: str = "", by: str = "") -> dict[str, Any]:
    if replaced:
        named.SPECIMENS[replaced] = getattr(named, by)
    return asdict(compared.compare(Path(directory), lambda _: None))


def differences(run: dict[str, Any]) -> set[tuple[str, str]]:
    return {(cell["property"], cell["region"]) for cell in run["cells"] if not cell["ok"]}


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm"])  # noqa: S108 - a fresh directory is made there
def test_every_property_of_every_region_is_as_the_chapter_has_it(directory: str) -> None:
    run = in_fresh_process(looked, directory)
    assert len(run["cells"]) == len(PROPERTIES) * len(REGIONS) == 66
    assert differences(run) == set()
    backing = {cell["region"]: cell["observed"] for cell in run["cells"] if cell["property"] == "backing store"}
    assert backing["mapped"] == f"a file, {run['environment']['filesystem']}"
    assert backing["sysv"].startswith("kernel memory, /SYSV")
    assert backing["anonymous"] == "kernel memory, /dev/zero"


def test_nothing_stays_behind(tmp_path: Path) -> None:
    before = Path("/proc/sysvipc/shm").read_text().count("\n"), len(list(Path("/dev/shm").glob("lab-*")))  # noqa: S108
    in_fresh_process(looked, str(tmp_path))
    after = Path("/proc/sysvipc/shm").read_text().count("\n"), len(list(Path("/dev/shm").glob("lab-*")))  # noqa: S108
    assert (after, list(tmp_path.iterdir())) == (before, [])


def test_a_mapping_that_shares_nothing_is_seen_not_to(tmp_path: Path) -> None:
    run = in_fresh_process(looked, str(tmp_path), "mapped", "PrivateFile")
    wrong = {"seen by others", "in the file", "persistence", "synchronisation"}
    assert differences(run) == {(name, "mapped") for name in wrong}


def test_memory_without_a_name_is_not_taken_for_a_segment_with_a_key(tmp_path: Path) -> None:
    run = in_fresh_process(looked, str(tmp_path), "sysv", "Anonymous")
    wrong = {"key", "seen by others", "persistence", "key removed"}
    assert wrong <= {name for name, region in differences(run) if region == "sysv"}


def test_a_file_that_is_no_memory_is_not_taken_for_memory(tmp_path: Path) -> None:
    run = in_fresh_process(looked, str(tmp_path), "posix", "File")
    assert {"backing store", "in the file"} <= {name for name, region in differences(run) if region == "posix"}


class Refused(named.File):
    flags = 0  # neither shared nor private: EINVAL


named.Refused = Refused  # type: ignore[attr-defined]


def test_a_region_that_is_refused_says_with_which_errno(tmp_path: Path) -> None:
    run = in_fresh_process(looked, str(tmp_path), "mapped", "Refused")
    cells = {cell["property"]: cell["observed"] for cell in run["cells"] if cell["region"] == "mapped"}
    assert (cells["set-up"], cells["key"], cells["seen by others"]) == ("EINVAL", "EINVAL", "no")


def test_there_is_a_claim_for_each_property_of_each_region() -> None:
    assert set(CLAIMS) == {each.name for each in PROPERTIES}
    assert {len(claims) for claims in CLAIMS.values()} == {len(REGIONS)}
    assert set(REGIONS) == set(named.SPECIMENS)
    assert json.dumps(CLAIMS)
