"""Messages that look alike are read as a walk reads them, and others are never taken for one of them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows.ctlayout import LAYOUT_LIMIT, PER_LENGTH, Layouts

FIELDS = {(1, 1): ("H", 0), (1, 2): ("4s", b""), (2,): ("I", -1), (3, 1, 1): ("s", b"")}
HEAD = b"\x02\0\0\0"


def message(*attributes: bytes) -> bytes:
    return HEAD + b"".join(attributes)


def usual(number: int = 7, address: bytes = b"abcd", mark: int = 9, state: bytes = b"\3") -> bytes:
    return message(
        wire.nested(1, wire.attribute(1, struct.pack("!H", number)), wire.attribute(2, address)),
        wire.attribute(9, b"not asked for"),
        wire.attribute(2, struct.pack("!I", mark)),
        wire.nested(3, wire.nested(1, wire.attribute(1, state))),
    )


def learned(*messages: bytes) -> Layouts:
    layouts = Layouts(FIELDS, len(HEAD))
    for one in messages:
        layouts.read(one)
    return layouts


def is_known(layouts: Layouts, one: bytes) -> bool:
    return any(layout.read(one) is not None for layout in layouts._known.get(len(one), ()))


def test_the_second_message_of_a_kind_is_not_walked():
    layouts = learned(usual())
    other = usual(65535, b"wxyz", 0xFFFFFFFF, b"\0")
    assert is_known(layouts, other)
    assert layouts.read(other) == (65535, b"wxyz", 0xFFFFFFFF, b"\0") == Layouts(FIELDS, len(HEAD)).read(other)


def test_what_is_absent_or_of_another_size_has_its_default():
    one = message(wire.attribute(2, b"\1\2\3"), wire.nested(1, wire.attribute(2, b"abcd")))
    layouts = learned(one)
    assert is_known(layouts, one)
    assert layouts.read(one) == (0, b"abcd", -1, b"")


@pytest.mark.parametrize("at", range(len(usual())))
def test_a_header_that_differs_in_one_bit_is_another_layout(at):
    """Every byte is changed once: it was a value, or the message is walked; both ways say the same."""
    layouts = learned(usual())
    bent = bytearray(usual())
    bent[at] ^= 0x01
    assert layouts.read(bytes(bent)) == Layouts(FIELDS, len(HEAD)).read(bytes(bent))


@pytest.mark.parametrize(
    "one",
    [
        message(wire.attribute(2, bytes(4)), wire.attribute(2, b"\0\0\0\1")),  # twice
        message(wire.attribute(2, bytes(4)), b"\xff\xff\x09\0"),  # a broken tail
        message(wire.attribute(1, wire.attribute(1, b"\0\7") + b"\xff\xff\x02\0"), wire.attribute(2, bytes(4))),
        message(wire.attribute(9, bytes(4))),  # nothing that was asked for
        HEAD, b"",
    ],
)  # fmt: skip
def test_what_is_not_regular_is_walked_each_time(one):
    assert not is_known(learned(one), one)


def test_of_equal_attributes_the_last_counts():
    assert learned().read(message(wire.attribute(2, bytes(4)), wire.attribute(2, b"\0\0\0\1")))[2] == 1


def test_no_number_of_layouts_makes_the_memory_grow():
    lengths = [message(wire.attribute(2, bytes(4)), wire.attribute(9, bytes(4 * size))) for size in range(300)]
    kinds = [message(wire.attribute(2, bytes(4)), wire.attribute(kind, b"")) for kind in range(10, 60)]
    for order in (lengths + kinds, kinds + lengths):
        layouts = learned(*order)
        assert sum(map(len, layouts._known.values())) == LAYOUT_LIMIT
        assert max(map(len, layouts._known.values())) <= PER_LENGTH
        assert layouts.read(order[-1])[2] == 0


trees = st.recursive(
    st.binary(max_size=6),
    lambda inner: st.lists(st.tuples(st.integers(0, 4), inner), max_size=4).map(
        lambda pairs: b"".join(wire.attribute(kind, value) for kind, value in pairs)
    ),
    max_leaves=12,
)


@given(st.lists(trees, max_size=8), st.data())
def test_learned_or_not_the_same_is_read(bodies, data):
    """Messages that were learned, and each of them bent: no order of messages changes what one of them says."""
    layouts = learned(*(HEAD + body for body in bodies))
    for body in bodies:
        bent = bytearray(HEAD + body)
        if body:
            bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.integers(0, 255))
        for one in (HEAD + body, bytes(bent)):
            assert layouts.read(one) == Layouts(FIELDS, len(HEAD)).read(one)
