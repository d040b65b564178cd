"""What clients send and how they read what comes back."""

from __future__ import annotations

import pytest

from netpolicy.bus import request, wire
from netpolicy.bus.blobmsg import decode_table, encode_table
from netpolicy.bus.status import UbusError


def test_a_signature_tells_the_types_of_arguments():
    raw = request.signature({"m": {"text": str, "any": object}, "none": {}})
    info = request.object_info({wire.ATTR_OBJPATH: "o", wire.ATTR_OBJID: 5, wire.ATTR_SIGNATURE: raw})
    assert info is not None
    assert info.methods == {"m": {"text": "String", "any": "(unknown)"}, "none": {}}


def test_a_strange_signature_does_no_harm():
    raw = encode_table({"m": {"a": [1], "b": 99}, "no table": 1})
    info = request.object_info({wire.ATTR_OBJPATH: "o", wire.ATTR_OBJID: 5, wire.ATTR_SIGNATURE: raw})
    assert info is not None
    assert info.methods == {"m": {"a": "(unknown)", "b": "(unknown)"}}


def test_an_object_number_with_its_top_bit_set_is_registered_as_int32():
    attributes = request.register(0xFFFFFFFE, "x.*")
    assert decode_table(attributes[wire.ATTR_DATA]) == {"object": -2, "pattern": "x.*"}


def test_data_that_cannot_be_carried_is_status_2():
    with pytest.raises(UbusError) as raised:
        request.pack({"v": 2**70})
    assert raised.value.status == 2


def test_broken_data_is_status_12():
    with pytest.raises(UbusError) as raised:
        request.unpack(b"\x83\0\0\xff")
    assert raised.value.status == 12


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "anything", True),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a*", "a", True),
        ("a", "a", True),
        ("a", "ab", False),
        ("a*b", "axb", False),
    ],
)
def test_only_a_star_at_the_end_is_special(pattern, name, expected):
    assert request.matches(pattern, name) is expected
