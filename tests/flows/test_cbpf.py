"""Classic BPF: exact bytes, labels that resolve, and no program that the kernel would refuse."""

from __future__ import annotations

import pytest

from netpolicy.flows.cbpf import PACKET_TYPE, Instruction, Line, assemble, pack
from tests.flows.bpf_machine import Packet, run

PROGRAM = [
    Line("ldh", 6),
    Line("jset", 0x1FFF, "no"),
    Line("ldx msh", 0),
    Line("ldb x", 13),
    Line("jeq", 0x02, "", "no"),
    Line("ret", 64),
    "no",
    Line("ret", 0),
]


def test_the_instructions_are_those_of_the_kernel_s_documentation():
    """The numbers of <linux/bpf_common.h>: class, size, mode; jumps count what they leave out."""
    assert assemble(PROGRAM) == [
        Instruction(0x28, 0, 0, 6), Instruction(0x45, 4, 0, 0x1FFF), Instruction(0xB1, 0, 0, 0),
        Instruction(0x50, 0, 0, 13), Instruction(0x15, 0, 1, 2), Instruction(0x06, 0, 0, 64),
        Instruction(0x06, 0, 0, 0),
    ]  # fmt: skip


def test_an_instruction_has_eight_bytes_in_the_order_of_the_machine():
    (first, *_) = assemble(PROGRAM)
    assert pack([first]) in (bytes.fromhex("2800 00 00 06000000"), bytes.fromhex("0028 00 00 00000006"))
    assert len(pack(assemble(PROGRAM))) == 8 * 7


def test_the_surroundings_of_a_packet_stand_at_negative_offsets():
    assert assemble([Line("ld", PACKET_TYPE), Line("ret a")])[0].number == (-0x1000 + 4) % (1 << 32)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ([Line("jeq", 1, "nowhere"), Line("ret", 0)], "no label nowhere"),
        (["here", "here", Line("ret", 0)], "here stands twice"),
        (["here", Line("ld", 0), Line("ja", yes="here"), Line("ret", 0)], "no loops"),
        ([Line("jeq", 1, "far"), *[Line("tax")] * 256, "far", Line("ret", 0)], "more than 255 instructions away"),
        ([Line("ld", 0)], "runs off its end"),
        ([], "runs off its end"),
    ],
)
def test_what_is_no_program_is_refused(source, why):
    with pytest.raises(ValueError, match=why):
        assemble(source)


def test_a_jump_without_a_condition_may_go_far():
    program = assemble([Line("ja", yes="far"), *[Line("tax")] * 300, "far", Line("ret", 7)])
    assert run(program, Packet(bytes(9))) == 7


def test_a_load_behind_the_end_takes_nothing():
    program = assemble([Line("ldb", 20), Line("ret", 64)])
    assert (run(program, Packet(bytes(20))), run(program, Packet(bytes(21)))) == (0, 21)
