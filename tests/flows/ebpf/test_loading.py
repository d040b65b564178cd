"""Loading: what is refused before the kernel sees it, and that nothing stays behind."""

from __future__ import annotations

import errno
import os
import signal
import struct
import sys
import threading
from pathlib import Path

import pytest

from netpolicy.flows.ebpf import bpf_call, loading
from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.loading import FILES, FOLDER, Capacity, Loaded, Unloadable, read

OBJECT = Path(FOLDER) / FILES[sys.byteorder]


def descriptors() -> set[str]:
    """What this process has open, as the kernel names it."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return {one for one in found if "bpf" in one}


def test_a_missing_object_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unloadable, match=r"gone\.o: No such file or directory; reinstall"):
        read(tmp_path / "gone.o")


def test_a_broken_object_is_told_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "half.o").write_bytes(OBJECT.read_bytes()[:5000])
    with pytest.raises(Unloadable, match=r"half\.o: .*; reinstall"):
        read(tmp_path / "half.o")


def test_an_object_with_other_layouts_is_not_used(tmp_path: Path) -> None:
    """As after half an upgrade: the program would write what the reader takes for something else."""
    data = bytearray(OBJECT.read_bytes())
    at = data.index(struct.pack("=II", 40, 168))  # key and value of the flows
    struct.pack_into("=II", data, at, 40, 160)
    (tmp_path / "other.o").write_bytes(data)
    with pytest.raises(Unloadable, match="not of this version"):
        read(tmp_path / "other.o")


def test_the_objects_are_small() -> None:
    for name in FILES.values():
        assert (Path(FOLDER) / name).stat().st_size <= 64_000


@pytest.mark.kernel
@pytest.mark.parametrize("ethernet", [True, False])
@pytest.mark.parametrize("down", [True, False])
def test_the_kernel_takes_every_program_and_keeps_none(bpf: None, ethernet: bool, down: bool) -> None:
    before = descriptors()
    loaded = Loaded(Capacity(64, 4096))
    first = loaded.program(ethernet, down)
    assert loaded.program(ethernet, down) == first
    assert len(descriptors() - before) == 6  # five maps, one program
    loaded.close()
    loaded.close()
    assert descriptors() == before


@pytest.mark.kernel
def test_a_signal_that_ends_the_verifiers_work_begins_it_anew(bpf: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a suspend of the machine sends one, or who stops the daemon for a moment."""
    said: list[int] = []
    original, this = bpf_call.attempt, threading.get_ident()

    def disturbed(command: int, attr: bytearray) -> int:
        if b"np_up" not in attr:
            return original(command, attr)
        said.append(interrupted(attr) if len(said) < 4 else original(command, attr))
        return said[-1]

    def interrupted(attr: bytearray) -> int:
        """Again where the verifier was faster than the thread that disturbs it."""
        is_over = threading.Event()

        def disturb() -> None:
            while not is_over.wait(0.001):
                signal.pthread_kill(this, signal.SIGUSR1)

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            while (result := original(bpf_call.PROG_LOAD, bytearray(attr))) >= 0:
                os.close(result)
        finally:
            is_over.set()
            thread.join()
        return result

    loaded = Loaded(Capacity(64, 4096))
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    monkeypatch.setattr(bpf_call, "attempt", disturbed)
    try:
        assert loaded.program(True, False) == said[-1]
    finally:
        signal.signal(signal.SIGUSR1, before)
        loaded.close()
    assert said[:-1] == [-errno.EAGAIN] * 4


@pytest.mark.kernel
def test_without_the_cheap_clock_the_program_is_taken_too(bpf: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 5.10: the call that it does not know is in the code, and never reached."""
    monkeypatch.setattr(bpf_call, "has_helper", lambda function: False)
    loaded = Loaded(Capacity(64, 4096))
    for ethernet in (True, False):
        for down in (True, False):
            assert loaded.program(ethernet, down) > 0
    loaded.close()


class Strict:
    """The call that loads a program, with BPF_F_STRICT_ALIGNMENT."""

    def __init__(self, form: struct.Struct) -> None:
        self._form = form

    def pack(self, *given: int | bytes) -> bytes:
        return self._form.pack(*given[:8], 1, *given[9:])


@pytest.mark.kernel
def test_processors_that_read_aligned_words_only_take_the_program_too(
    bpf: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old ARM and MIPS: headers are read in place, so the verifier must find each word of them where it may be."""
    monkeypatch.setattr(bpf_call, "ATTR_PROGRAM", Strict(bpf_call.ATTR_PROGRAM))
    loaded = Loaded(Capacity(64, 4096))
    for ethernet in (True, False):
        for down in (True, False):
            assert loaded.program(ethernet, down) > 0
    loaded.close()


@pytest.mark.kernel
def test_sizes_are_those_that_were_asked_for(bpf: None) -> None:
    loaded = Loaded(Capacity(128, 8192))
    assert loaded.maps["flows"].entries == 128
    assert loaded.maps["events"].entries == 8192
    loaded.close()


@pytest.mark.kernel
def test_a_failure_half_way_leaves_nothing(bpf: None) -> None:
    before = descriptors()
    with pytest.raises(BpfError, match="make the map events"):
        Loaded(Capacity(64, 5000))  # no power of two
    assert descriptors() == before


@pytest.mark.kernel
def test_a_refused_program_is_an_error_and_the_maps_can_be_closed(bpf: None, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded(Capacity(64, 4096))
    program = loaded._object.programs[loading.UP]
    loaded._object.programs[loading.UP] = program._replace(code=program.code[:-8] + bytes(8))
    with pytest.raises(BpfError, match="load program np_up"):
        loaded.program(True, False)
    loaded.close()
    assert bpf_call.LOG_SIZE >= 1 << 16
