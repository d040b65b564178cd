"""At a boot the guard has long lists put into their sets: all of them, or it is said which are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from netpolicy.core.address import V4
from netpolicy.daemon.fill import fill
from netpolicy.dataplane import boot_lists, packed
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.sets import KernelSet, RangeElements
from netpolicy.dataplane.shape import LargeSet
from tests.netns import Namespace, needs_root, run

LISTED = LargeSet(V4, tuple((number * 512, number * 512 + 127) for number in range(20_000)))


def netpolicyd(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netpolicy.daemon.main", "--fill-sets", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_takes_one_folder():
    for words in ((), ("/a", "/b")):
        assert (done := netpolicyd(*words)).returncode == 2 and "takes one folder" in done.stderr


def test_without_the_folder_it_says_so():
    done = netpolicyd("/nonexistent")
    assert done.returncode == 1 and "No such file" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def folder(tmp_path) -> Iterator[object]:
    """The files of a list, in a namespace whose table declares its set."""
    for name, data in boot_lists.files(LISTED):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "table.nft").write_text("not ours\n")
    with Namespace() as where, where.entered():
        declare = f"add set inet netpolicy {LISTED.name} {{ type ipv4_addr; flags interval; }}"
        run("nft", "-f", "-", text=f"add table inet netpolicy\n{declare}\n")
        yield tmp_path


def held() -> int:
    with NftLink("netpolicy") as link:
        return sum(1 for one in link.elements(LISTED.name) if not one.closes)


@pytest.mark.kernel
@needs_root
def test_a_set_holds_all_ranges_as_the_daemon_would_write_them(folder):
    assert fill(str(folder)) == []
    assert held() == 20_000
    wanted = KernelSet(LISTED.name, ("ipv4_addr",), RangeElements(LISTED.ranges), interval=True)
    with NftLink("netpolicy") as link:
        assert link.folded(LISTED.name, packed.digest) == packed.digest(packed.pack(wanted))


@pytest.mark.kernel
@needs_root
def test_a_file_that_is_missing_or_damaged_is_told_and_the_others_are_loaded(folder):
    first, second, third = [folder / f"{LISTED.name}.{number}.3" for number in range(3)]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    missing, damaged = fill(str(folder))
    assert missing == f"{LISTED.name}: 1 of 3 files are missing"
    assert damaged == f"{second}: it is damaged; its addresses are not in their set"
    assert held() == 20_000 - 2 * boot_lists.PER_FILE and third.exists()


@pytest.mark.kernel
@needs_root
def test_a_set_that_the_table_does_not_have_is_nobodys_and_what_is_no_file_is_told(folder):
    run("nft", f"delete set inet netpolicy {LISTED.name}")
    assert fill(str(folder)) == []
    (folder / "l4_0123456789.0.1").mkdir()
    run("nft", "add set inet netpolicy l4_0123456789 { type ipv4_addr; flags interval; }")
    (said,) = fill(str(folder))
    assert "l4_0123456789.0.1" in said
