"""The store: whole generations or none, whatever ends the writing, and never the loss of one that counts."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import threading
import tracemalloc
from pathlib import Path

import pytest

from netpolicy.service import generation as folders
from netpolicy.service.candidate import ABSENT, Digest, digest_of
from netpolicy.service.generation import Damaged, Generation
from netpolicy.service.generations import Store
from tests.power import deaths, every_world, memory_folder

MAIN = "/etc/config/netpolicy"
FILES = {MAIN: b"config netpolicy 'main'\n", "/etc/netpolicy/more.np": b"rule a:\n"}
LONG = b"config rule 'r%d'\n\toption route 'direct'\n" * 4000


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


def text(number: int) -> dict[str, bytes]:
    return {MAIN: f"# {number}\n".encode()}


def has_lock(folder: Path, number: int) -> bool:
    return (folder / f"generations/{number:06}/lock").is_dir()


def store_with(folder: Path, count: int) -> Store:
    store = Store(str(folder))
    for number in range(1, count + 1):
        store.commit(store.prepare(text(number), {"why": f"change {number}"}))
    return store


def test_an_empty_store_has_nothing_confirmed(tmp_path):
    store = Store(str(tmp_path / "none"))
    assert (store.current(), store.previous(), store.numbers(), store.confirmed()) == (0, 0, (), None)
    assert store.findings() == [] and store.next_number() == 1 and store.prune() == ()


def test_what_was_prepared_comes_back_and_counts_only_after_the_commit(tmp_path):
    store = Store(str(tmp_path))
    files = {**FILES, "/etc/netpolicy/long.txt": Digest("0" * 64, 9), "/etc/netpolicy/gone": ABSENT}
    number = store.prepare(files, {"who": "root", "why": "password=hunter2", "time": 5.5})
    assert (number, store.current(), store.numbers()) == (1, 0, (1,))
    store.commit(number)
    found = store.confirmed()
    assert found is not None and store.current() == 1
    assert dict(found.files) == files and list(found.files) == list(files)
    assert (found.main, found.config, found.parent, found.is_healthy) == (MAIN, FILES[MAIN], 0, False)
    assert found.not_kept == ("/etc/netpolicy/long.txt", "/etc/netpolicy/gone")
    assert found.meta == {"who": "root", "why": "password=[removed]", "time": 5.5}
    store.mark_healthy(1)
    assert store.read(1).is_healthy


def test_the_files_are_where_a_shell_finds_them_and_private(tmp_path):
    store_with(tmp_path, 1)
    folder = tmp_path / "generations"
    assert (folder / "current").read_text() == "000001\n"
    assert (folder / "000001/config").read_bytes() == b"# 1\n"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert modes == {
        "generations": 0o700, "000001": 0o700, "config": 0o600, "meta.json": 0o600, "current": 0o600, "last": 0o600,
    }  # fmt: skip


def test_long_further_files_are_kept_short_in_the_form_of_gzip(tmp_path):
    store = Store(str(tmp_path))
    noise = random.Random(1).randbytes(100_000)
    files = {MAIN: LONG, "/etc/long": LONG, "/etc/noise": noise}
    number = store.prepare(files, {})
    folder = tmp_path / "generations/000001"
    assert (folder / "config").read_bytes() == LONG, "a shell has to put it back"
    assert gzip.decompress((folder / "file-001.gz").read_bytes()) == LONG
    assert (folder / "file-001.gz").stat().st_size < len(LONG) // 20
    assert (folder / "file-002").read_bytes() == noise
    assert dict(store.read(number).files) == files


def test_without_zlib_everything_is_plain(tmp_path, monkeypatch):
    files = {MAIN: b"", "/etc/long": LONG}
    Store(str(tmp_path)).prepare(files, {})
    monkeypatch.setattr(folders, "zlib", None)
    store = Store(str(tmp_path))
    assert dict(store.read(store.prepare(files, {})).files) == files
    assert "no zlib" in store.damaged()[1]


def test_of_those_before_one_that_ran_well_is_the_better_one(tmp_path):
    store = store_with(tmp_path, 2)
    store.mark_healthy(1)
    store.mark_healthy(2)
    store.prepare(text(3), {})  # of an apply that died: nobody ever confirmed it
    store.commit(store.prepare(text(4), {}))
    (tmp_path / "generations/000004/meta.json").write_text("{}")
    assert store.previous() == 2
    found = store.confirmed()
    assert found is not None and found.number == 2


def test_what_a_boot_loads_is_kept_with_those_that_a_boot_may_be_with(tmp_path):
    store = store_with(tmp_path, 4)
    for number in store.numbers():
        store.keep_lock(number, {"table.nft": "add table inet netpolicy\n"})
    assert store.prune(pending=(1,)) == ()
    assert [has_lock(tmp_path, number) for number in store.numbers()] == [True, False, True, True]
    with pytest.raises(Damaged):
        store.keep_lock(9, {"table.nft": ""})


def test_where_the_guard_falls_back_to_has_what_a_boot_loads(tmp_path):
    store = store_with(tmp_path, 3)
    store.mark_healthy(1)  # 2 and 3 never ran for long: the guard goes from 3 to 1
    for number in store.numbers():
        store.keep_lock(number, {"table.nft": "add table inet netpolicy\n"})
    assert store.previous() == 2 and store.prune() == ()
    store.commit(store.prepare(text(4), {}))
    store.prune()
    assert [has_lock(tmp_path, number) for number in (1, 2, 3)] == [True, False, True]


def test_numbers_are_never_given_twice(tmp_path):
    store = store_with(tmp_path, 2)
    assert store.next_number() == 3 == store.prepare(text(3), {})
    store.discard(3)
    store.discard(3)
    assert store.numbers() == (1, 2) and store.prepare(text(4), {}) == 4
    with pytest.raises(ValueError, match="current"):
        store.discard(2)


def test_the_previous_one_is_what_was_confirmed_before(tmp_path):
    store = store_with(tmp_path, 2)
    store.prepare(text(3), {})  # given up without a word
    store.commit(store.prepare(text(4), {}))
    assert (store.current(), store.previous(), store.read(4).parent) == (4, 2, 2)
    store.commit(4)
    assert store.previous() == 2
    store.commit(2)
    assert (store.current(), store.previous()) == (2, 1)


@pytest.mark.parametrize("files", [{}, {MAIN: ABSENT}, {MAIN: b"", **{f"/{n}": b"" for n in range(300)}}])
def test_what_is_no_configuration_is_not_taken(tmp_path, files):
    store = store_with(tmp_path, 1)
    with pytest.raises((ValueError, StopIteration)):
        store.prepare(files, {})
    assert store.numbers() == (1,) and not list((tmp_path / "generations").glob(".*"))


def test_what_is_not_there_cannot_be_committed(tmp_path):
    store = store_with(tmp_path, 1)
    for act in (store.commit, store.mark_healthy, store.read):
        with pytest.raises(Damaged, match="7"):
            act(7)
    assert store.current() == 1


# -- pruning ---------------------------------------------------------------------------------


def test_the_oldest_go_first_and_what_counts_stays(tmp_path):
    store = store_with(tmp_path, 8)
    assert store.prune(keep=5) == (1, 2, 3)
    assert store.prune(keep=1) == (4, 5, 6)
    assert store.numbers() == (7, 8) and store.prune(keep=0, limit=0) == ()


def test_pending_ones_stay_by_word_and_by_the_record(tmp_path):
    store = store_with(tmp_path, 6)
    store.prepare(text(7), {})
    store.commit(store.prepare(text(8), {}))
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending/record").write_text("ID=r0\nOLD=3\nNEW=7\nCONFIG=/x\nOLD_SHA256=5\n")
    assert store.prune(keep=0, pending=(2,)) == (1, 4, 5)
    assert store.numbers() == (2, 3, 6, 7, 8)


def test_bytes_are_bounded_too(tmp_path):
    store = Store(str(tmp_path))
    for _ in range(6):
        store.commit(store.prepare({MAIN: random.Random(2).randbytes(50_000)}, {}))
    assert store.prune(limit=200_000) == (1, 2, 3)


def test_what_a_boot_loads_costs_no_generation_its_place(tmp_path):
    store = store_with(tmp_path, 8)
    for number in (7, 8):  # another version of the same long list
        store.keep_lock(number, {"table.nft": "#\n"}, {f"l4_{number:08}.0.1": bytes([number]) * (1 << 20)})
    assert store.prune() == () and store.numbers() == (1, 2, 3, 4, 5, 6, 7, 8)


def test_what_is_just_made_is_not_taken_for_the_rest_of_a_dead_process(tmp_path, monkeypatch):
    """A reload keeps its files while another worker prunes after the end of a change."""
    store = store_with(tmp_path, 3)
    pruning = threading.Thread(target=store.prune, kwargs={"keep": 0})
    written = folders.write

    def write(folder, generation):
        written(folder, generation)
        pruning.start()
        pruning.join(0.2)  # it waits, or has ended by then

    monkeypatch.setattr(folders, "write", write)
    assert store.prepare(text(4), {}) == 4
    pruning.join()
    assert store.numbers() == (2, 3, 4) and store.damaged() == {}


def test_what_somebody_is_about_to_commit_stays_with_what_a_boot_loads(tmp_path):
    store = store_with(tmp_path, 3)
    number = store.prepare(text(4), {})
    store.keep_lock(number, {"table.nft": "add table inet netpolicy\n"})
    assert store.prune(keep=0) == (1,)
    store.commit(number)
    assert store.current() == 4 and has_lock(tmp_path, 4)


# -- damage ----------------------------------------------------------------------------------


def read_or_none(store: Store, number: int) -> Generation | None:
    try:
        return store.read(number)
    except Damaged:
        return None


def test_every_changed_byte_of_a_generation_is_noticed(tmp_path):
    store = Store(str(tmp_path))
    store.commit(store.prepare({**FILES, "/x": Digest("0" * 64, 3)}, {"why": "a"}))
    store.commit(store.prepare({MAIN: b"second"}, {}))
    before = store.read(1)
    for name in ("config", "file-001", "meta.json"):
        path = tmp_path / "generations/000001" / name
        data = path.read_bytes()
        for place in range(len(data)):
            for other in (bytes([data[place] ^ 1]), b"", b"\x00"):
                path.write_bytes(data[:place] + other + data[place + 1 :])
                found = read_or_none(store, 1)
                assert found is None or (name == "meta.json" and found == before)  # a blank of the JSON
        path.write_bytes(data)
    assert store.read(1) == before


def test_one_that_goes_while_all_are_read_is_not_damaged(tmp_path, monkeypatch):
    """The doctor reads in a process of its own while the daemon prunes."""
    store = store_with(tmp_path, 3)
    read = store.read

    def pruned_then(number):
        Store(str(tmp_path)).prune(keep=2)
        return read(number)

    monkeypatch.setattr(store, "read", pruned_then)
    assert store.findings() == [] and store.numbers() == (2, 3)


def test_a_damaged_one_is_named_and_skipped(tmp_path):
    store = store_with(tmp_path, 3)
    (tmp_path / "generations/000003/config").write_bytes(b"# x\n")
    assert store.damaged() == {3: "config was changed: its digest is that of another content"}
    found = store.confirmed()
    assert found is not None and (found.number, found.config) == (2, b"# 2\n")
    assert store.current() == 3 and len(store.findings()) == 1 and "000003" in store.findings()[0]
    with pytest.raises(Damaged):
        store.commit(3)
    store.commit(store.prepare(text(4), {}))
    assert store.confirmed().number == 4 and store.prune(keep=0) == (1, 2)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"7\n", b"000009\n", b"0000001\n", b"\xff", b"9" * 50, "٠٠٠٠٠١".encode()]
)
def test_a_damaged_current_is_told(tmp_path, content):
    store = store_with(tmp_path, 2)
    (tmp_path / "generations/current").write_bytes(content)
    assert store.current() in (0, 9)
    assert len(store.findings()) == 1 and "current" in store.findings()[0]
    assert store.prepare(text(3), {}) in (3, 10)


def test_links_and_foreign_names_are_no_generations(tmp_path):
    store = store_with(tmp_path, 1)
    folder = tmp_path / "generations"
    (folder / "000005").symlink_to(folder / "000001")
    (folder / "7").mkdir()
    (folder / "000006").write_text("a file")
    (folder / "000000").mkdir()
    assert store.numbers() == (1, 5)
    with pytest.raises(Damaged):
        store.read(5)
    (folder / "000001/config").unlink()
    (folder / "000001/config").symlink_to("/etc/passwd")
    with pytest.raises(Damaged):
        store.read(1)


def test_a_file_that_promises_little_and_expands_for_ever_is_not_expanded(tmp_path):
    store = Store(str(tmp_path))
    store.prepare({MAIN: b"", "/etc/long": LONG}, {})
    (tmp_path / "generations/000001/file-001.gz").write_bytes(gzip.compress(bytes(50 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(Damaged):
            store.read(1)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_whatever_stands_in_meta_json_it_is_a_damaged_one(tmp_path):
    """The digest set right, so that everything behind it is reached."""
    store = Store(str(tmp_path))
    store.prepare(FILES, {"why": "x"})
    path = tmp_path / "generations/000001/meta.json"
    whole = json.loads(path.read_text())
    del whole["sha256"]
    chance = random.Random(3)
    values = [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "x",
        "../../../etc/passwd",
        "/etc/passwd",
        [],
        [[]],
        {},
        "a\0b",
        "plain",
    ]
    for _ in range(3000):
        said = json.loads(json.dumps(whole))
        for _ in range(chance.randint(1, 3)):
            target = chance.choice([said, *[row for row in said.get("files") or [] if isinstance(row, dict)]])
            if isinstance(target, dict) and target:
                target[chance.choice(list(target))] = chance.choice(values)
            if not isinstance(said.get("files"), list):
                break
        path.write_bytes(folders._sealed(said))
        found = read_or_none(store, 1)
        kept = [] if found is None else [one for one in found.files.values() if isinstance(one, bytes)]
        assert set(kept) <= set(FILES.values())


# -- death, power, space ---------------------------------------------------------------------


def two(folder: Path) -> None:
    store_with(folder, 2)


def apply(folder: Path) -> None:
    store = Store(str(folder))
    store.commit(store.prepare({MAIN: b"# new\n", "/more": b"m"}, {"why": "new"}))
    store.mark_healthy(store.current())


@pytest.mark.parametrize("way", [deaths, every_world])
def test_a_death_or_a_power_cut_leaves_the_old_state_or_the_new_one(tmp_path, way):
    seen = set()
    for place in way(two, apply, tmp_path):
        store = Store(str(place))
        assert store.damaged() == {} and store.findings() == [], store.findings()
        found = store.confirmed()
        assert found is not None
        seen.add((found.number, found.config, store.numbers()))
        number = store.prepare(text(9), {})  # and it goes on
        assert number == store.numbers()[-1] and not list((place / "generations").glob(".*"))
    assert seen == {(2, b"# 2\n", (1, 2)), (2, b"# 2\n", (1, 2, 3)), (3, b"# new\n", (1, 2, 3))}


@pytest.mark.parametrize("way", [deaths, every_world])
def test_the_very_first_one_is_there_whole_or_not_at_all(tmp_path, way):
    seen = set()
    for place in way(lambda folder: None, apply, tmp_path):
        store = Store(str(place))
        assert store.damaged() == {} and store.findings() == []
        seen.add((store.current(), store.numbers()))
    assert seen == {(0, ()), (0, (1,)), (1, (1,))}


def test_what_is_prepared_lasts_before_anybody_commits_it(tmp_path):
    def prepare(folder):
        assert Store(str(folder)).prepare({MAIN: b"# new\n"}, {}) == 3

    seen = [Store(str(place)).numbers() for place in every_world(two, prepare, tmp_path)]
    assert set(seen) == {(1, 2), (1, 2, 3)}


@pytest.mark.parametrize("way", [deaths, every_world])
def test_removing_leaves_whole_ones_only(tmp_path, way):
    def six(folder):
        store_with(folder, 6)

    def remove(folder):
        Store(str(folder)).prune(keep=3)
        Store(str(folder)).discard(4)

    seen = set()
    for place in way(six, remove, tmp_path):
        store = Store(str(place))
        assert store.damaged() == {} and store.current() == 6
        seen.add(store.numbers())
        store.clean()
        assert not list((place / "generations").glob(".*"))
    assert seen == {tuple(range(first, 7)) for first in (1, 2, 3, 4)} | {(5, 6)}


@pytest.mark.kernel
def test_a_full_disk_is_an_error_and_leaves_what_was(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no mount here")
    try:
        store_with(disk, 2)
        free = os.statvfs(disk).f_bavail
        refused = 0
        for pages in range(free + 1):  # ever more room is taken
            (disk / "ballast").write_bytes(b"x" * (pages * 4096))
            store = Store(str(disk))
            before = store.numbers()
            error = None
            try:
                store.discard(store.prepare({MAIN: b"x" * 20_000, "/more": b"y" * 5000}, {}))
            except OSError as problem:
                error = problem
            if error is not None:
                refused += 1
                assert error.filename, "an error without a place"
            assert store.numbers() == before and store.current() == 2
            assert not list((disk / "generations").glob(".*")) and store.damaged() == {}
        assert refused >= 8
        (disk / "ballast").unlink()
        apply(disk)
        assert Store(str(disk)).confirmed().config == b"# new\n"
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_digests_say_what_is_not_kept():
    assert digest_of(b"abc") == digest_of(digest_of(b"abc")) and digest_of(b"abc").size == 3
