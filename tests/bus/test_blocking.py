"""The blocking client: errors of every kind, and what it must not import."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from netpolicy.bus import blocking, wire
from netpolicy.bus.blocking import BlockingClient
from netpolicy.bus.status import UbusError

from .world import environment

HELLO = wire.encode(wire.HELLO, 0, 0x1234)


def test_the_terminal_tool_does_not_pay_for_asyncio():
    code = (
        "import sys; before = set(sys.modules); import netpolicy.bus.blocking;"
        "new = set(sys.modules) - before;"
        "print(sorted(new & {'asyncio', 'ssl', 'ctypes', 'logging', 'dataclasses', 'json', 'inspect'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == "[]\n"


def test_no_socket_is_status_10_and_says_where():
    with pytest.raises(UbusError, match=r"/nowhere/ubus\.sock: No such file") as raised:
        blocking.call("a", "b", path="/nowhere/ubus.sock")
    assert raised.value.status == 10


@pytest.fixture
def fake(tmp_path):
    """A broker that says the given bytes to its only client and, if told so, hangs up."""
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    kept: list[socket.socket] = []

    def speak(words: bytes, then: str = "wait") -> str:
        def serve() -> None:
            client, _ = listener.accept()
            kept.append(client)
            client.sendall(words)
            if then == "hang up":
                client.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield speak
    listener.close()
    for client in kept:
        client.close()


@pytest.mark.parametrize(
    "words",
    [
        b"\xff" * 40,
        wire.encode(wire.STATUS, 0, 0),
        HELLO + b"\xff" * 40,
        HELLO + wire.frame(wire.STATUS, 1, 0, b"\xff\xff\xff\xff"),
    ],
    ids=["noise", "no hello", "noise later", "broken status"],
)
def test_noise_is_status_10(fake, words):
    with pytest.raises(UbusError) as raised:
        blocking.lookup(path=fake(words))
    assert raised.value.status == 10


def test_a_broker_that_hangs_up_is_status_10(fake):
    with pytest.raises(UbusError) as raised:
        blocking.lookup(path=fake(HELLO, then="hang up"))
    assert raised.value.status == 10


def test_a_broker_that_does_not_answer_is_status_7(fake):
    with BlockingClient(fake(HELLO)) as client, pytest.raises(UbusError) as raised:
        client.call("a", "b", timeout=0.05)
    assert raised.value.status == 7


def test_a_request_that_went_out_in_part_is_the_last_of_its_connection(fake):
    """Whoever sent another one would have it read as the rest of the first."""
    with BlockingClient(fake(HELLO)) as client:
        with pytest.raises(UbusError) as raised:
            client._send(bytes(10_000_000), time.monotonic() + 0.05)
        assert raised.value.status == 7
        with pytest.raises(UbusError) as raised:
            client.lookup()
        assert raised.value.status == 10


def test_listening_ends_with_its_time(demo):
    assert list(blocking.listen(["nothing.*"], timeout=0.05, path=demo.path)) == []


def test_events_that_come_between_other_answers_are_kept(demo):
    with BlockingClient(demo.path) as ours:
        events = ours.listen(["kept.*"], timeout=30)
        for number in range(3):
            ours.call("demo", "shout", {"event": "kept.one", "data": {"n": number}})
        assert [next(events) for _ in range(3)] == [("kept.one", {"n": n}) for n in range(3)]


def test_objects_and_their_signatures_are_told(demo):
    [info] = blocking.lookup("demo", demo.path)
    assert info.methods["typed"] == {
        "text": "String",
        "number": "Integer",
        "flag": "Boolean",
        "ratio": "Double",
        "table": "Table",
        "list": "Array",
    }
