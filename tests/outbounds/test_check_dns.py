"""Questions to a server at the far side, its answers, and what somebody else could answer."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.outbounds.check_dns import AAAA, HEADER, A, decode, dns, encode, resolve
from netpolicy.outbounds.check_line import FAILED, NO_NAME, PASSED, UNKNOWN, WRONG, Unsendable, timed
from tests.kernel.streams import SERVER
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, LINE_B, answered, line

kernel = pytest.mark.kernel
ADDRESSES = {A: "192.0.2.77", AAAA: "2001:db8::77"}


def reply(question: bytes, *addresses: str, code: int = 0, kind: int = 0, **changed: int) -> bytes:
    """The answer of a server to a question: with an alias in front, as real ones have."""
    identifier = changed.get("identifier", HEADER.unpack_from(question)[0])
    flags = changed.get("flags", 0x8180 | code)
    alias = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 4) + b"\x01a\xc0\x0c" if addresses else b""
    records = alias
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        of = kind or (AAAA if ":" in address else A)
        records += b"\xc0\x0c" + struct.pack("!HHIH", of, 1, 60, len(packed)) + packed
    count = len(addresses) + (1 if addresses else 0)
    return HEADER.pack(identifier, flags, 1, count, 0, 0) + question[HEADER.size :] + records


def server(question: bytes) -> bytes | None:
    """Knows good.example in IPv4, both.example in both families; nothing of silent.example."""
    kind = struct.unpack_from("!H", question, len(question) - 4)[0]
    if b"silent" in question:
        return None
    if b"both" in question or (b"good" in question and kind == A):
        return reply(question, ADDRESSES[kind])
    return reply(question, code=0 if b"good" in question else 3)


@kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("of", [LINE_A, LINE_B], ids=["a", "b"])
async def test_a_name_is_resolved_by_either_line(steady, family, of):
    asking = line(of, servers=(SERVER[family],))
    async with steady.answering(53, server, family):
        answer = await answered(dns(asking, "good.example"))
        assert (answer.state, answer.text) == (PASSED, "good.example is 192.0.2.77")
        assert await resolve(asking, "both.example") == ("192.0.2.77", "2001:db8::77")
        answer = await answered(dns(asking, "bad.example"))
        assert (answer.state, answer.reason) == (FAILED, WRONG) and "no such name" in answer.text
        answer = await timed(dns(asking, "silent.example"), 0.2)
        assert (answer.state, answer.reason) == (FAILED, "timeout")


@kernel
@needs_root
async def test_a_server_that_is_there_is_enough(steady):
    async with steady.answering(53, server):
        asking = line(LINE_A, servers=("192.0.2.9", SERVER[4], "192.0.2.1"))
        assert (await answered(dns(asking, "good.example"))).state == PASSED


@kernel
@needs_root
async def test_a_closed_port_is_refused_and_without_servers_nothing_is_known(steady):
    answer = await answered(dns(line(LINE_A, servers=(SERVER[4],)), "good.example"))
    assert (answer.state, answer.reason) == (FAILED, "refused")
    answer = await answered(dns(LINE_A, "good.example"))
    assert (answer.state, answer.reason) == (UNKNOWN, NO_NAME)


@kernel
@needs_root
async def test_a_lost_question_is_asked_again(steady):
    asked = []

    def forgetful(question: bytes) -> bytes | None:
        asked.append(question)
        return server(question) if asked.count(question) > 1 else None

    async with steady.answering(53, forgetful):
        assert (await answered(dns(line(LINE_A, servers=(SERVER[4],)), "both.example"))).state == PASSED


@kernel
@needs_root
async def test_a_name_that_does_not_resolve_is_no_target(steady):
    async with steady.answering(53, server):
        with pytest.raises(Unsendable) as refused:
            await resolve(line(LINE_A, servers=(SERVER[4],)), "bad.example")
    assert refused.value.answer.reason == NO_NAME


def test_only_the_answer_to_this_very_question_is_believed():
    question = encode("good.example", A, 7)
    assert decode(reply(question, "192.0.2.77"), question) == (0, ("192.0.2.77",))
    assert decode(reply(question, identifier=8), question) is None
    assert decode(reply(question, flags=0x0100), question) is None  # a question, not an answer
    assert decode(reply(encode("evil.example", A, 7), "192.0.2.66"), question) is None
    assert decode(reply(encode("good.example", AAAA, 7), "2001:db8::1"), question) is None
    shouted = reply(encode("GOOD.example", A, 7), "192.0.2.77")
    assert decode(shouted, question) == (0, ("192.0.2.77",))


def test_records_of_another_kind_or_size_are_no_addresses():
    question = encode("good.example", A, 7)
    assert decode(reply(question, "2001:db8::1", kind=A), question) == (0, ())
    assert decode(reply(question, "192.0.2.77", kind=16), question) == (0, ())
    whole = reply(question, "192.0.2.77", "192.0.2.78")
    assert decode(whole[:-1], question) == (0, ("192.0.2.77",))


@given(st.binary(max_size=300), st.booleans())
def test_garbage_never_raises(data, after_a_head):
    question = encode("good.example", A, 7)
    whole = HEADER.pack(7, 0x8180, 1, 0xFFFF, 0, 0) + question[HEADER.size :] + data if after_a_head else data
    found = decode(whole, question)
    assert found is None or len(found[1]) <= 64
