"""The words of $SSH_CONNECTION, as servers write them and as somebody could forge them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.value import ValueProblem
from netpolicy.flows.session import parse_ssh_connection, socket_of_ancestor


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("192.168.1.5 40000 192.168.1.1 22", ("192.168.1.5", 40000, "192.168.1.1", 22)),
        ("fd00::5 40000 fd00:0::1 22", ("fd00::5", 40000, "fd00::1", 22)),
        ("::ffff:192.168.1.5 40000 ::ffff:192.168.1.1 2222", ("192.168.1.5", 40000, "192.168.1.1", 2222)),
        ("::ffff:c0a8:105 40000 192.168.1.1 22", ("192.168.1.5", 40000, "192.168.1.1", 22)),
        ("fe80::5%br-lan 40000 fe80::1%br-lan 22", ("fe80::5", 40000, "fe80::1", 22)),
    ],
)
def test_what_servers_write_is_read(text, ends):
    assert parse_ssh_connection(text) == ends


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "192.168.1.5 40000 192.168.1.1", "192.168.1.5 40000 192.168.1.1 22 23",
        "192.168.1.5  40000 192.168.1.1 22", "192.168.1.5 40000 192.168.1.1 22\n", "UNKNOWN 65535 UNKNOWN 65535",
        "192.168.1.5 0 192.168.1.1 22", "192.168.1.5 65536 192.168.1.1 22", "192.168.1.5 040 192.168.1.1 22",
        "192.168.1.5 -1 192.168.1.1 22", "192.168.1.5 +1 192.168.1.1 22", "192.168.1.5 4_0 192.168.1.1 22",
        "192.168.1.5 ４ 192.168.1.1 22", "192.168.01.5 40000 192.168.1.1 22", "192.168.1.5 40000 fd00::1 22",
        "host 40000 192.168.1.1 22", "192.168.1.5%lan 40000 192.168.1.1 22", "fd00::5%lan 40000 fd00::1 22",
        "fe80::5% 1 fe80::1 22", "fe80::5%a/b 1 fe80::1 22", "fe80::5%aaaaaaaaaaaaaaaa 1 fe80::1 22",
        "fe80::5%a%b 1 fe80::1 22", "1" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(ValueProblem) as refused:
        parse_ssh_connection(text)
    assert len(refused.value.text) < 400


WORD = st.sampled_from(["192.168.1.5", "fe80::1%lan", "::ffff:1.2.3.4", "22", "65536", "%", "::", "1:2", "é"])


@given(st.one_of(st.text(max_size=200), st.lists(st.one_of(WORD, st.text(max_size=10)), max_size=6).map(" ".join)))
def test_garbage_is_refused_and_nothing_worse(text):
    try:
        client, port, server, server_port = parse_ssh_connection(text)
    except ValueProblem:
        return
    assert 0 < port < 65536 and 0 < server_port < 65536
    assert parse_ssh_connection(f"{client} {port} {server} {server_port}") == (client, port, server, server_port)


def test_a_process_without_such_a_socket_has_no_session():
    assert socket_of_ancestor(os.getpid(), {}) is None
    assert socket_of_ancestor(2**22 + 1, {}) is None
