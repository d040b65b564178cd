"""Maps of the running kernel, and how many processors it counts."""

from __future__ import annotations

import struct

import pytest

from netpolicy.flows.ebpf import maps
from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.maps import ARRAY, LRU_HASH, PER_CPU_ARRAY, Map, count_processors
from tests.own_process import open_now


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3\n", 4), ("0-3,8-11", 12), ("0,2", 3)])
def test_processors_are_counted_up_to_the_last_that_could_be(text: str, count: int) -> None:
    assert count_processors(text) == count


@pytest.mark.parametrize("text", ["", "x", "0-", "-1", "0-99999999"])
def test_nonsense_is_no_number_of_processors(text: str) -> None:
    with pytest.raises(ValueError):
        count_processors(text)


def test_without_a_count_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel would write behind the end of our memory."""
    monkeypatch.setattr(maps, "POSSIBLE", "/nonexistent")
    with pytest.raises(BpfError, match="count the processors"):
        maps.processors()


@pytest.mark.kernel
def test_values_are_written_read_and_deleted(bpf: None) -> None:
    one = Map("np_trial", LRU_HASH, 4, 8, 64)
    try:
        assert one.lookup(b"aaaa") is None
        one.update(b"aaaa", b"12345678")
        assert one.lookup(b"aaaa") == b"12345678"
        assert one.delete(b"aaaa") and not one.delete(b"aaaa")
    finally:
        one.close()
        one.close()
    with pytest.raises(BpfError, match="read the map np_trial"):
        one.lookup(b"aaaa")


@pytest.mark.kernel
def test_all_entries_are_told_once_in_batches(bpf: None) -> None:
    one = Map("np_trial", LRU_HASH, 4, 8, 4096)
    wanted = {struct.pack("=I", number): struct.pack("=Q", number * 7) for number in range(1500)}
    for key, value in wanted.items():
        one.update(key, value)
    batches = [[(bytes(key), bytes(value)) for key, value in batch] for batch in one.batches()]
    assert len(batches) > 3
    told = [pair for batch in batches for pair in batch]
    assert dict(told) == wanted and len(told) == len(wanted)
    one.close()


@pytest.mark.kernel
def test_an_empty_map_has_no_entries(bpf: None) -> None:
    one = Map("np_trial", LRU_HASH, 4, 8, 64)
    assert [len(batch) for batch in one.batches()] == [0]
    one.close()


@pytest.mark.kernel
def test_a_bucket_that_is_longer_than_a_batch_makes_the_batch_longer(
    bpf: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "BATCH", 1)
    # Each processor takes 128 free places at once: who is moved to another one finds a small map full before it is.
    one = Map("np_trial", LRU_HASH, 4, 8, 4096)
    for number in range(400):
        one.update(struct.pack("=I", number), bytes(8))
    assert sum(len(batch) for batch in one.batches()) == 400
    one.close()


@pytest.mark.kernel
def test_values_per_processor_are_added_up(bpf: None) -> None:
    one = Map("np_trial", PER_CPU_ARRAY, 4, 12, 1)
    values = [struct.pack("=QI", number, 1) + bytes(4) for number in range(maps.processors())]
    one.update(bytes(4), b"".join(values))
    count = maps.processors()
    assert one.summed(struct.Struct("=QI")) == [sum(range(count)), count]
    one.close()


@pytest.mark.kernel
def test_a_map_that_cannot_be_is_an_error_with_its_name(bpf: None) -> None:
    with pytest.raises(BpfError, match="make the map np_trial"):
        Map("np_trial", ARRAY, 4, 0, 1)


@pytest.mark.kernel
def test_a_key_of_another_size_is_refused(bpf: None) -> None:
    """The kernel would read what stands behind it."""
    one = Map("np_trial", ARRAY, 4, 8, 1)
    with pytest.raises(ValueError, match="4 bytes, not 3"):
        one.lookup(b"abc")
    with pytest.raises(ValueError, match="8 bytes, not 7"):
        one.update(bytes(4), bytes(7))
    one.close()


@pytest.mark.kernel
def test_a_closed_map_is_gone(bpf: None) -> None:
    before = open_now()
    Map("np_trial", ARRAY, 4, 8, 1).close()
    assert open_now() <= before
