"""The system call: its number on every machine, refusals in words, and the verifier's reasons."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from netpolicy.flows.ebpf import bpf_call
from netpolicy.flows.ebpf.bpf_call import BpfError, kernel_word, number


@pytest.mark.parametrize(
    ("machine", "word", "found"),
    [
        ("x86_64", 8, 321), ("x86_64", 4, 357), ("i686", 4, 357),
        ("aarch64", 8, 280), ("aarch64", 4, 386), ("armv7l", 4, 386),
        ("mips", 4, 4355), ("mips64", 8, 5315), ("mips64", 4, 4355),
        ("riscv64", 8, 280), ("loongarch64", 8, 280), ("ppc", 4, 361), ("ppc64le", 8, 361), ("s390x", 8, 351),
        ("vax", 4, None),
    ],
)  # fmt: skip
def test_a_machine_has_its_number(machine: str, word: int, found: int | None) -> None:
    """A small program on a large kernel has the small machine's number. Source: the kernel's tables of system calls."""
    assert number(machine, word) == found


@pytest.mark.parametrize(
    ("machine", "word", "found"),
    [("x86_64", 8, 8), ("x86_64", 4, 8), ("i686", 4, 4), ("aarch64", 4, 8), ("armv8l", 4, 8), ("armv7l", 4, 4),
     ("mips", 4, 4), ("mips64", 4, 8), ("riscv32", 4, 4), ("ppc64le", 4, 8), ("s390x", 4, 8), ("vax", 8, 8)],
)  # fmt: skip
def test_a_small_program_on_a_large_kernel_knows_its_words(machine: str, word: int, found: int) -> None:
    assert kernel_word(machine, word) == found


def test_structures_have_the_sizes_of_the_kernel() -> None:
    assert bpf_call.ATTR_MAP.size == 44
    assert bpf_call.ATTR_PROGRAM.size == 72
    assert bpf_call.ATTR_BATCH.size == 56
    assert bpf_call.ATTR_ELEMENT.size == bpf_call.ATTR_LINK.size == 32
    assert struct.calcsize("=QQQQ") == bpf_call.COUNT_OFFSET


def test_the_end_of_a_verifiers_log_is_what_it_did_not_like() -> None:
    log = "\n".join(f"{line}: r0 = 0" for line in range(100)) + "\nR3 min value is outside\nprocessed 5 insns"
    said = bpf_call.last_lines(log.encode() + b"\0garbage")
    assert said.endswith("R3 min value is outside\nprocessed 5 insns")
    assert said.count("\n") == bpf_call.LOG_LINES - 1
    assert bpf_call.last_lines(b"") == ""


def test_a_refusal_says_what_was_tried_and_why() -> None:
    error = BpfError("make the map flows", errno.EPERM)
    assert str(error).startswith("make the map flows: not permitted")
    assert "no space" in str(BpfError("x", errno.ENOSPC)).lower()
    assert "support" in str(BpfError("x", 524))


@pytest.mark.kernel
def test_a_program_that_the_verifier_refuses_is_an_error_with_its_words(bpf: None) -> None:
    """r0 = *(u64 *)(r1 + 4096), a place that no packet has."""
    order = "little" if struct.pack("=H", 1)[0] else "big"
    registers = 0x10 if order == "little" else 0x01
    code = bytearray(struct.pack("=BBhi", 0x79, registers, 4096, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    with pytest.raises(BpfError) as caught:
        bpf_call.load_program("np_bad", code, b"GPL\0")
    assert caught.value.errno == errno.EACCES
    assert "invalid bpf_context access" in caught.value.log
    assert "the verifier" in str(caught.value)


def test_a_call_that_a_signal_interrupts_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter([-errno.EINTR, -errno.EINTR, 7])
    monkeypatch.setattr(bpf_call, "_entry", lambda: lambda *_: next(results))
    assert bpf_call.call("run the program", 10, bytearray(8)) == 7


@pytest.mark.kernel
def test_a_program_that_does_nothing_is_taken(bpf: None) -> None:
    code = bytearray(struct.pack("=BBhi", 0xB7, 0, 0, -1) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    os.close(bpf_call.load_program("np_nothing", code, b"GPL\0"))


@pytest.mark.kernel
def test_a_function_that_no_kernel_has_is_not_there(bpf: None) -> None:
    assert bpf_call.has_helper(5)  # the clock
    assert not bpf_call.has_helper(9999)


@pytest.mark.kernel
def test_a_command_that_no_kernel_knows_is_an_error(bpf: None) -> None:
    with pytest.raises(BpfError, match="do the impossible: this kernel does not know it"):
        bpf_call.call("do the impossible", 9999, bytearray(8))
