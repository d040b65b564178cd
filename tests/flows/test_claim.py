"""What requests say of their connection, and what they could say."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.value import ValueProblem
from netpolicy.flows.claim import read_claim
from netpolicy.flows.evidence import SshClaim, WebClaim

WORDS = "192.168.1.5 40000 192.168.1.1 22"


def test_the_words_of_ssh_make_an_exact_claim():
    assert read_claim({"ssh_connection": WORDS, "nonce": 7}) == SshClaim(("192.168.1.5", 40000, "192.168.1.1", 22))


def test_the_page_makes_a_weaker_one():
    assert read_claim({"web_client": ""}) == WebClaim()
    said = read_claim({"web_client": "::ffff:192.168.1.5"}, ["192.168.1.6"], asked_by_web=True)
    assert said == WebClaim(frozenset(["192.168.1.5", "192.168.1.6"]), near=True)


@pytest.mark.parametrize(
    "said",
    [
        {}, {"ssh_connection": WORDS, "web_client": ""}, {"ssh_connection": 7}, {"ssh_connection": ""},
        {"web_client": True}, {"web_client": "router.lan"}, {"web_client": "1" * 46}, {"web_client": "192.168.1.0/24"},
    ],
)  # fmt: skip
def test_anything_else_is_refused(said):
    with pytest.raises(ValueProblem) as refused:
        read_claim(said)
    assert refused.value.text


def test_nobody_is_told_what_a_console_can_do():
    with pytest.raises(ValueProblem) as refused:
        read_claim({})
    assert "new SSH login" in refused.value.hint


ANYTHING = st.one_of(st.none(), st.text(max_size=60), st.integers(), st.lists(st.text()), st.just(WORDS))


@given(st.dictionaries(st.sampled_from(["ssh_connection", "web_client", "x"]), ANYTHING))
def test_garbage_is_refused_and_nothing_worse(said):
    with contextlib.suppress(ValueProblem):
        assert isinstance(read_claim(said), SshClaim | WebClaim)
