"""A probe's result says what happened, in the same words whatever the reason."""

from __future__ import annotations

import errno
import socket

import pytest

from netpolicy.lab import probes


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ECONNRESET, "reset"),
        (errno.EACCES, "prohibited"),
    ],
)
def test_errors_have_short_words(number: int, word: str) -> None:
    assert probes.word_for(OSError(number, "text")) == word


@pytest.mark.parametrize("ask", [probes.tcp, probes.udp])
def test_a_closed_port_is_refused_and_the_own_port_is_told(ask) -> None:
    with socket.socket() as taken, socket.socket(type=socket.SOCK_DGRAM) as also_taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        also_taken.bind(("127.0.0.1", 0))
        also_taken.connect(also_taken.getsockname())  # hears nobody else, and nobody else can have it
        port = (taken if ask is probes.tcp else also_taken).getsockname()[1]
        found = ask("127.0.0.1", port, 20.0)
    assert (found["ok"], found["error"], found["seen"]) == (False, "refused", None)
    assert found["local_port"] > 0


def test_silence_is_a_timeout() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        assert probes.udp("127.0.0.1", deaf.getsockname()[1], 0.05)["error"] == "timeout"


def test_an_answer_that_is_not_ours_is_an_error_not_an_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probe = socket.create_connection(("127.0.0.1", port))
        probe.close()
        server.accept()[0].close()
        server.settimeout(20)
        import threading

        talker = threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-rubbish\n"))
        talker.start()
        assert "unreadable answer" in probes.tcp("127.0.0.1", port, 20.0)["error"]
        talker.join()
