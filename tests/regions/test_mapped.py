from __future__ import annotations

import mmap
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.regions import REGIONS, Region, anonymous, create, mapped, probe_region, read_back
from tests.helpers import in_fresh_process

SIZE = 3 * mmap.PAGESIZE
UNMAPPABLE = Path("/dev/null")
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of zeros, its blocks reserved."""
    path = tmp_path / "file"
    create(path, bytes(SIZE), sparse=False)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem with room for 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "lab-test", place],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


def can_populate() -> bool:
    huge = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    if huge.exists() and "[never]" not in huge.read_text():
        return False
    try:
        mmap.mmap(-1, mmap.PAGESIZE).madvise(mapped.MADV_POPULATE_WRITE, 0, mmap.PAGESIZE)
    except OSError:
        return False
    return True


def descriptors_of(path: Path) -> list[str]:
    """The descriptors of this process that are open on the file."""
    links = Path("/proc/self/fd").iterdir()
    return [link.name for link in links if os.path.lexists(link) and link.readlink() == path]


def test_a_shared_store_reaches_the_file_and_every_other_mapping(path: Path) -> None:
    one, other = REGIONS["shared"].map(path, SIZE), REGIONS["shared"].map(path, SIZE)
    one.buffer[5000] = 7
    assert (read_back(path, SIZE)[5000], other.buffer[5000]) == (7, 7)
    one.close()
    other.close()


def test_a_private_store_reaches_nobody(path: Path) -> None:
    private, shared = REGIONS["private"].map(path, SIZE), REGIONS["shared"].map(path, SIZE)
    private.buffer[5000] = 7
    assert (private.buffer[5000], shared.buffer[5000], read_back(path, SIZE)[5000]) == (7, 0, 0)
    private.close()
    shared.close()


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_a_region_maps_what_is_in_the_file(region: Region, path: Path) -> None:
    path.write_bytes(b"\x05" * SIZE)
    mapping = region.map(path, SIZE)
    assert mapping.buffer[:] == b"\x05" * SIZE
    mapping.close()


def test_every_region_goes_by_its_own_name_and_says_what_it_is() -> None:
    assert {name: region.name for name, region in REGIONS.items()} == {"shared": "shared", "private": "private"}
    assert all(region.summary for region in REGIONS.values())


def test_close_gives_back_every_descriptor(path: Path) -> None:
    mapping = REGIONS["shared"].map(path, SIZE)
    assert descriptors_of(path)
    mapping.close()
    assert descriptors_of(path) == []


def test_close_refuses_while_somebody_looks_at_the_buffer(path: Path) -> None:
    mapping = REGIONS["shared"].map(path, SIZE)
    view = memoryview(mapping.buffer)
    with pytest.raises(BufferError):
        mapping.close()
    view.release()
    mapping.close()


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_a_refused_mapping_cannot_run_and_leaks_nothing(region: Region) -> None:
    before = descriptors_of(UNMAPPABLE)
    with pytest.raises(CannotRunError, match=f"/dev: this filesystem refuses a {region.name} mapping .*--dir"):
        region.map(UNMAPPABLE, SIZE)
    assert descriptors_of(UNMAPPABLE) == before


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_the_probe_of_a_region_that_works_leaves_no_file(region: Region, tmp_path: Path) -> None:
    probe_region(region, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_of_a_region_that_is_refused_tells_that_and_leaves_no_file(tmp_path: Path) -> None:
    neither = Region("neither", "neither shared nor private: EINVAL (mmap(2))", 0)
    with pytest.raises(CannotRunError, match=f"{tmp_path}: this filesystem refuses a neither mapping"):
        probe_region(neither, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_of_a_missing_directory_names_it(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: cannot make a file there"):
        probe_region(REGIONS["shared"], tmp_path / "missing")


@pytest.mark.parametrize("sparse", [False, True])
def test_create_writes_the_content(sparse: bool, tmp_path: Path) -> None:
    content = bytearray(SIZE + 10)
    content[0], content[5000], content[-1] = 1, 2, 3
    create(tmp_path / "file", content, sparse=sparse)
    assert (tmp_path / "file").read_bytes() == content


def test_create_reserves_the_blocks_of_zeros(path: Path) -> None:
    assert path.stat().st_blocks * 512 >= SIZE


def test_a_sparse_file_has_blocks_only_where_it_has_content(tmp_path: Path) -> None:
    content = bytearray(1024 * mmap.PAGESIZE)
    create(tmp_path / "empty", content, sparse=True)
    assert (tmp_path / "empty").stat().st_blocks == 0
    content[len(content) // 2] = 1
    create(tmp_path / "one", content, sparse=True)
    assert 0 < (tmp_path / "one").stat().st_blocks * 512 < len(content) // 2


def test_create_is_for_the_owner_only_and_leaves_no_descriptor(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert descriptors_of(path) == []


def test_create_does_not_touch_a_file_that_is_there(path: Path) -> None:
    with pytest.raises(CannotRunError, match="File exists"):
        create(path, b"x" * SIZE, sparse=False)
    assert path.read_bytes() == bytes(SIZE)


def test_create_in_a_missing_directory_advises_another(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: .*12,288 bytes .No such file.*try another --dir"):
        create(tmp_path / "missing" / "file", bytes(12_288), sparse=False)


def test_a_full_filesystem_is_found_out_before_the_mapping_and_advises_less(small: Path) -> None:
    with pytest.raises(CannotRunError, match=r"131,072 bytes \(No space left on device\); .*lower --rounds") as raised:
        create(small / "file", bytes(131_072), sparse=False)
    assert raised.value.exit_code == 3


def test_a_sparse_file_fits_where_its_blocks_do_not(small: Path) -> None:
    create(small / "file", bytes(131_072), sparse=True)
    assert (small / "file").stat().st_size == 131_072


def test_read_back_gives_zeros_where_the_file_became_shorter(path: Path) -> None:
    path.write_bytes(b"\xff" * 10)
    assert read_back(path, 20) == b"\xff" * 10 + bytes(10)


def test_read_back_gives_no_more_than_was_asked_for(path: Path) -> None:
    assert read_back(path, 20) == bytes(20)


def test_a_file_that_is_gone_cannot_be_read_back(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/gone: cannot be read back after the race .No such file"):
        read_back(tmp_path / "gone", 20)


@pytest.mark.parametrize("size", [1 << 62, 1 << 64])
def test_anonymous_memory_that_no_machine_has_is_refused(size: int) -> None:
    with pytest.raises(CannotRunError, match=f"{size:,} bytes of shared memory: refused; lower --rounds"):
        anonymous(size)


@pytest.mark.skipif(not can_populate(), reason="no MADV_POPULATE_WRITE (Linux 5.14), or shared memory in huge pages")
def test_populated_memory_is_there_when_it_is_written_to() -> None:
    faults = in_fresh_process(faults_of_writing, 100, 60)
    assert faults["populated"] < 10
    assert 40 <= faults["rest"] <= 60


def test_memory_can_be_had_where_it_cannot_be_populated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "MADV_POPULATE_WRITE", -1)
    assert anonymous(mmap.PAGESIZE, populated=mmap.PAGESIZE)[0] == 0


def test_anonymous_memory_is_zeroed_and_shared_with_forked_children() -> None:
    assert in_fresh_process(written_by_a_child) == [0, 9]


@pytest.mark.skipif(OVERCOMMIT.read_text().strip() == "2", reason="this kernel commits all memory (vm.overcommit)")
def test_anonymous_memory_may_be_larger_than_the_machines() -> None:
    pages = os.sysconf("SC_PHYS_PAGES") + int(Path("/proc/meminfo").read_text().split("SwapTotal:")[1].split()[0])
    memory = anonymous(2 * pages * mmap.PAGESIZE)
    memory[-1] = 1
    memory.close()


def faults_of_writing(pages: int, populated: int) -> dict[str, int]:
    """Page faults of the first write to each page, of those that were populated and of the rest."""
    memory = anonymous(pages * mmap.PAGESIZE, populated=populated * mmap.PAGESIZE)
    faults = []
    for part in (range(populated), range(populated, pages)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for page in part:
            memory[page * mmap.PAGESIZE] = 1
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return dict(zip(("populated", "rest"), faults, strict=True))


def written_by_a_child() -> list[int]:
    memory = anonymous(mmap.PAGESIZE)
    before = memory[100]
    pid = os.fork()
    if not pid:
        memory[100] = 9
        os._exit(0)
    os.waitpid(pid, 0)
    return [before, memory[100]]
