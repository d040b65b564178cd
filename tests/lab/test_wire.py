"""Questions and answers of the lab's name server, and what it makes of rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.lab import wire
from netpolicy.lab.topology import SERVERS


@pytest.mark.parametrize("server", SERVERS, ids=lambda s: s.name)
def test_every_server_has_both_addresses(server) -> None:
    for kind, address in ((wire.A, server.address4), (wire.AAAA, server.address6)):
        answer = wire.reply(wire.question(server.name, kind, 77))
        assert answer is not None
        assert wire.addresses(answer, 77) == [address]


def test_an_unknown_name_is_a_name_error_without_addresses() -> None:
    answer = wire.reply(wire.question("nowhere.example.net", wire.A, 5))
    assert answer is not None
    assert answer[3] & 15 == wire.NAME_ERROR
    assert wire.addresses(answer, 5) == []


def test_an_answer_to_another_question_is_not_believed() -> None:
    answer = wire.reply(wire.question("www.example.net", wire.A, 5))
    assert answer is not None
    assert wire.addresses(answer, 6) == []


@given(st.binary(max_size=80))
def test_rubbish_never_raises(message: bytes) -> None:
    wire.reply(message)


@given(st.binary(max_size=80))
def test_the_question_of_a_reply_is_the_question_asked(tail: bytes) -> None:
    question = wire.question("www.example.net", wire.A, 9)
    answer = wire.reply(question + tail)
    assert answer is not None
    assert answer[12 : len(question)] == question[12:]
