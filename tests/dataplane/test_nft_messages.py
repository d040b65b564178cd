"""Batches and answers in bytes: the order, the splitting, and strict reading."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import nft_messages as messages
from netpolicy.dataplane.nft_element import BE32, Element, Malformed, encode
from netpolicy.dataplane.nft_messages import (
    AddElements,
    DeleteElements,
    DeleteSet,
    FlushSet,
    batch,
)


def commands(*changes: messages.Change) -> list[messages.Command]:
    return [command for change in changes for command in change.commands("t")]


def named(table: str, name: str) -> bytes:
    return b"\1\0\0\0" + wire.attribute(1, table.encode() + b"\0") + wire.attribute(2, name.encode() + b"\0")


def test_a_batch_begins_ends_and_wants_one_acknowledgement():
    sent = batch(commands(FlushSet("a"), DeleteSet("b"), DeleteSet("c")), 100, None)
    found = list(wire.messages(sent))
    assert [(one.kind, one.flags, one.sequence) for one in found] == [
        (16, 1, 100), (0xA0E, 1, 101), (0xA0B, 1, 102), (0xA0B, 5, 103), (17, 1, 104),
    ]  # fmt: skip
    assert found[0].payload == found[-1].payload == b"\0\0" + struct.pack(">H", 10)
    assert found[1].payload == named("t", "a") and found[2].payload == named("t", "b")
    assert found[3].payload == named("t", "c")


def test_a_generation_stands_in_the_beginning():
    begin = next(wire.messages(batch(commands(FlushSet("a")), 1, 0x01020304)))
    assert wire.attributes(begin.payload, 4) == {1: bytes.fromhex("01020304")}


def test_elements_are_added_whole_and_deleted_by_key():
    element = Element(b"keys", b"keyz", b"data", timeout_ms=5)
    add, delete = commands(AddElements("s", [element]), DeleteElements("s", [element]))
    assert (add.kind, add.flags, delete.kind, delete.flags) == (0xA0C, 0x400, 0xA0E, 0)
    assert add.payload == named("t", "s") + wire.nested(3, encode(element))
    assert delete.payload == named("t", "s") + wire.nested(3, encode(Element(b"keys", b"keyz")))
    assert commands(AddElements("s", [])) == []


def test_many_elements_are_split_where_an_attribute_would_be_too_long():
    many = [Element(struct.pack(">I", number) * 16, verdict="goto a_chain_of_one_rule") for number in range(5000)]
    made = commands(AddElements("s", iter(many)))
    assert len(made) > 5
    assert all(len(command.payload) < 0x10000 for command in made)
    answers = [wire.Message(messages.NEW_ELEMENTS, 0, 0, command.payload) for command in made]
    assert list(messages.elements(answers)) == many


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 128, "é" * 64])
def test_a_word_that_is_no_name_is_refused(name):
    for change in (FlushSet(name), DeleteSet(name), AddElements(name, [Element(b"k")])):
        with pytest.raises(ValueError, match="is no name of a kernel object"):
            commands(change)


def test_every_change_says_what_it_does():
    said = [change.what for change in (
        AddElements("s", []), DeleteElements("s", []), FlushSet("s"), DeleteSet("s"),
    )]  # fmt: skip
    assert said == [
        "add elements to s", "delete elements from s", "flush s", "delete set s",
    ]  # fmt: skip


READERS = [
    (messages.NEW_GENERATION, messages.generation),
    (messages.NEW_ELEMENTS, lambda answers: list(messages.elements(answers))),
    (messages.NEW_SET, lambda answers: dict(messages.sets(answers, "t"))),
    (messages.NEW_CHAIN, lambda answers: list(messages.chains(answers, "t"))),
]


@pytest.mark.parametrize(("kind", "read"), READERS)
def test_answers_of_another_kind_or_cut_short_are_refused(kind, read):
    with pytest.raises(Malformed, match="was expected"):
        read([wire.Message(0xA00, 0, 0, b"\1\0\0\0")])
    with pytest.raises(Malformed, match="with 3 bytes"):
        read([wire.Message(kind, 0, 0, b"\1\0\0")])


def test_no_generation_is_refused():
    with pytest.raises(Malformed, match="no generation"):
        messages.generation([])
    assert messages.generation([wire.Message(0xA0F, 0, 0, b"\0\0\0\0" + wire.attribute(1, BE32.pack(9)))]) == 9


BODIES = [
    commands(AddElements("s", [Element(b"k", verdict="goto c"), Element(b"l", b"m", b"1234", counter=(1, 2))]))[0],
    commands(FlushSet("s"))[0],
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(READERS),
    st.binary(max_size=60)
    | st.builds(lambda body, size: body.payload[:size], st.sampled_from(BODIES), st.integers(0, 200))
    | st.builds(
        lambda body, place, byte: body.payload[:place] + bytes((byte,)) + body.payload[place + 1 :],
        st.sampled_from(BODIES), st.integers(0, 200), st.integers(0, 255),
    ),
)  # fmt: skip
def test_garbage_is_read_or_refused_in_words(reader, payload):
    kind, read = reader
    with contextlib.suppress(Malformed):
        read([wire.Message(kind, 0, 0, payload)])
