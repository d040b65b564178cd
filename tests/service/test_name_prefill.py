"""Names that rules spell out are asked for at a real name server; what it says is believed only as an answer."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from netpolicy.core.field import parse_field
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.learned_sets import base_name
from netpolicy.flows.seen import MAPPED
from netpolicy.service.name_prefill import MOST_NAMES, Prefill, plain_names, resolver

LONG = Lists((NamedList("long", tuple(f"n{number}.test" for number in range(MOST_NAMES + 1))),))


def fields(*wanted: tuple[str, tuple[str, ...]]) -> dict:
    made = [parse_field(name, values, LONG) for name, values in wanted]
    return {base_name(field): field for field in made}


class Server(asyncio.DatagramProtocol):
    """Answers A with two addresses and AAAA with none; `spoil` changes an answer before it goes."""

    def __init__(self, spoil: Callable[[bytes], bytes] = lambda answer: answer) -> None:
        self.spoil = spoil
        self.asked: list[bytes] = []
        self._more = asyncio.Event()

    async def was_asked(self, count: int) -> None:
        """Waits for so many questions."""
        while len(self.asked) < count:
            await self._more.wait()
            self._more.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        self.asked.append(data[12:])
        self._more.set()
        kind = struct.unpack(">H", data[-4:-2])[0]
        found = [socket.inet_aton(one) for one in ("192.0.2.20", "192.0.2.21")] if kind == 1 else []
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        answers = b"".join([b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + one for one in found])
        self.transport.sendto(self.spoil(head + data[12:] + answers), sender)


async def told_by(server: Server, wanted: dict, count: int) -> list[tuple[str, list[tuple[bytes, float]]]]:
    """What is told while the server is asked `count` times."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))
    told: list[tuple[str, list[tuple[bytes, float]]]] = []
    prefill = Prefill(lambda name, found: told.append((name, list(found))), lambda: "127.0.0.1", server.port, 0.0)
    prefill.follow(wanted)
    await asyncio.wait_for(server.was_asked(count), 30)
    await answered(prefill)
    await prefill.close()
    transport.close()
    return told


async def answered(prefill: Prefill) -> None:
    """Once every name was asked for, and what came back was looked at: it is due again much later."""

    async def wait() -> None:
        while any(when < time.monotonic() + 10 for when, _ in prefill._due):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 30)


async def test_each_name_is_asked_for_once_and_its_addresses_are_told() -> None:
    server = Server()
    told = await told_by(server, fields(("domain", ("a.test", "=b.test", "*.c.test")), ("sni", ("*.a.test",))), 4)
    addresses = [(MAPPED + socket.inet_aton(one), 60.0) for one in ("192.0.2.20", "192.0.2.21")]
    assert sorted(told) == [("a.test", addresses), ("b.test", addresses)]
    assert len(server.asked) == 4


async def test_after_a_sleep_that_was_longer_than_the_answers_live_all_are_asked_for_again() -> None:
    server = Server()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))
    prefill = Prefill(lambda name, found: None, lambda: "127.0.0.1", server.port, 0.0)
    prefill.follow(fields(("domain", ("a.test", "b.test"))))
    await asyncio.wait_for(server.was_asked(4), 30)
    await answered(prefill)
    prefill.woke(60.0)
    await asyncio.sleep(0.05)
    assert len(server.asked) == 4, "they are still believed"
    prefill.woke(8 * 3600.0)
    await asyncio.wait_for(server.was_asked(8), 30)
    await prefill.close()
    transport.close()


async def test_an_answer_to_another_question_is_not_believed() -> None:
    def other_name(answer: bytes) -> bytes:
        return answer.replace(b"\x01a\x04test", b"\x01z\x04test")

    assert await told_by(Server(other_name), fields(("domain", ("a.test",))), 2) == []
    other = Server(lambda answer: bytes((answer[0] ^ 1,)) + answer[1:])
    assert await told_by(other, fields(("domain", ("a.test",))), 2) == []


def test_only_names_as_they_stand_and_no_long_list_are_asked_for() -> None:
    names = plain_names(fields(("domain", ("a.test", "*.b.test", "keyword:c", "com")), ("sni", ("*video*",)),
                               ("domain", ("d.test", "e.d.test", "!e.d.test")), ("domain", ("@long",))))  # fmt: skip
    assert names == ("a.test", "d.test") or set(names) == {"d.test"}


def test_the_first_name_server_of_the_system_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# x\nsearch lan\nnameserver nonsense\nnameserver 127.0.0.1\n")
    assert resolver(str(file)) == ""
    file.write_text("# x\nsearch lan\nnameserver fe80::1%br-lan\nnameserver 127.0.0.1\n")
    assert resolver(str(file)) == "fe80::1%br-lan"
    assert resolver(str(tmp_path / "none")) == ""
