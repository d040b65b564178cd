"""The embedded broker with the original tool, and against ubusd where they must agree."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import stat
import subprocess
import sys
import time

import pytest

from netpolicy.bus import request, wire
from netpolicy.bus.blocking import BlockingClient
from netpolicy.bus.broker import Broker, BrokerError
from netpolicy.bus.exchange import UNREAD_LIMIT
from netpolicy.bus.status import UbusError

from .world import (
    PROGRAMS,
    UBUS,
    BrokerProgram,
    Program,
    ToolCaller,
    environment,
    masked,
    need,
    python,
    wait_until,
)

# -- the tool says the same over both brokers ---------------------------------------------

QUESTIONS = [
    (["list"], True),
    (["list"], False),
    (["-v", "list"], False),
    (["-v", "list", "demo"], False),
    (["list", "dem*"], True),
    (["list", "nobody"], True),
    (["list", "nobody"], False),
    (["list", "nobody*"], True),
    (["call", "demo", "echo", '{"value":{"a":[1,true,null,2.5]}}'], True),
    (["call", "demo", "echo", '{"value":1}'], False),
    (["call", "demo", "nothing"], True),
    (["call", "demo", "missing"], True),
    (["call", "demo", "missing"], False),
    (["call", "demo", "typed", '{"nope":1}'], True),
    (["call", "demo", "typed", "not json"], True),
    (["call", "nobody", "x"], True),
    (["call", "demo", "crash"], True),
    (["call", "demo", "big", '{"size":1048576}'], True),
    (["send", "some.event", '{"a":1}'], True),
    (["send", "ubus.fake", "{}"], True),
    (["wait_for", "demo"], True),
    (["-t", "1", "wait_for", "never"], True),
]


@pytest.fixture(scope="module")
def two_buses(tmp_path_factory):
    """The same service on the embedded broker and on ubusd."""
    need("ubus")
    need("ubusd")
    started = []
    buses = {}
    for kind in ("embedded", "ubusd"):
        broker = BrokerProgram(kind, str(tmp_path_factory.mktemp(kind) / "ubus.sock"))
        broker.start()
        service = python("serve_demo.py", broker.path)
        started += [service, broker]
        service.wait_for("ready")
        buses[kind] = broker.path
    yield buses
    for thing in started:
        thing.kill() if isinstance(thing, BrokerProgram) else thing.stop()


@pytest.mark.parametrize(("words", "simple"), QUESTIONS, ids=lambda v: " ".join(v) if isinstance(v, list) else str(v))
def test_the_ubus_tool_gets_the_same_output_and_exit_code_as_from_ubusd(two_buses, words, simple):
    answers = []
    for path in two_buses.values():
        done = ToolCaller(path).run(*words, simple=simple)
        answers.append((done.returncode, masked(done.stdout), masked(done.stderr)))
    assert answers[0] == answers[1]


def test_the_verbose_list_shows_the_signature(two_buses):
    text = ToolCaller(two_buses["embedded"]).run("-v", "list", "demo", simple=False).stdout
    assert masked(text).startswith("'demo' @NUMBER\n")
    assert (
        '\t"typed":{"text":"String","number":"Integer","flag":"Boolean","ratio":"(unknown)",'
        '"table":"Table","list":"Array"}'
    ) in text


def test_listen_shows_objects_that_come_and_go(bus):
    need("ubus")
    listener = Program(str(UBUS), "-s", bus.path, "listen", "ubus.object.*", "probe")
    try:
        with BlockingClient(bus.path) as client:

            def heard() -> bool:
                client.send_event("probe")
                return not listener.lines.empty()

            wait_until(heard)
        service = python("serve_demo.py", bus.path)
        assert '"path":"demo"' in listener.wait_for('{ "ubus.object.add"')
        service.stop()
        assert '"path":"demo"' in listener.wait_for('{ "ubus.object.remove"')
    finally:
        listener.stop()


def test_wait_for_returns_when_the_object_appears(bus):
    need("ubus")
    waiting = subprocess.Popen([str(UBUS), "-s", bus.path, "-t", "10", "wait_for", "demo"], env=environment())
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=0.2)
    service = python("serve_demo.py", bus.path)
    try:
        assert waiting.wait(timeout=10) == 0
    finally:
        service.stop()


def test_subscribe_of_the_tool_shows_our_notifications(demo):
    need("ubus")
    tool = Program(str(UBUS), "-s", demo.path, "subscribe", "demo")
    try:
        with BlockingClient(demo.path) as client:

            def heard() -> bool:
                client.call("demo", "notify", {"type": "changed", "data": {"n": 1}})
                return not tool.lines.empty()

            wait_until(heard)
        assert tool.wait_for("{") == '{ "changed": {"n":1} }'
    finally:
        tool.stop()


# -- the place ----------------------------------------------------------------------------


async def test_the_socket_is_private_and_goes_with_the_broker(tmp_path):
    path = tmp_path / "new folder" / "ubus.sock"
    broker = Broker(str(path))
    await broker.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["ubus.sock"]
    await broker.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced(tmp_path):
    path = str(tmp_path / "ubus.sock")
    broker = BrokerProgram("embedded", path)
    broker.start()
    broker.kill()
    assert os.path.exists(path)
    broker.start()
    BlockingClient(path).close()
    broker.kill()


def test_a_live_broker_is_not_replaced(bus):
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "serve_broker.py"), bus.path],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"{bus.path}: another broker answers there; use that one\n"
    BlockingClient(bus.path).close()


async def test_a_file_that_is_no_socket_is_not_replaced(tmp_path):
    path = tmp_path / "ubus.sock"
    path.write_text("precious")
    with pytest.raises(BrokerError, match="is not a socket"):
        await Broker(str(path)).start()
    assert path.read_text() == "precious"


# -- who may ------------------------------------------------------------------------------


AS_NOBODY = """
import os, sys
from netpolicy.bus import blocking, wire
from netpolicy.bus.status import UbusError
os.setgid(65534); os.setuid(65534)
client = blocking.BlockingClient(sys.argv[1])
for ask in (lambda: client.lookup(), lambda: client.call("demo", "nothing"),
            lambda: client.send_event("x"), lambda: list(client.listen())):
    try:
        ask()
        print("allowed")
    except UbusError as problem:
        print(problem.status)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_than_root_are_denied_everything(tmp_path):
    folder = tmp_path
    bus = BrokerProgram("embedded", str(folder / "ubus.sock"))
    bus.start()
    try:
        # Let it in at the file, to see the broker itself refuse.
        os.chmod(bus.path, 0o666)
        for parent in [folder, *folder.parents][:4]:
            parent.chmod(parent.stat().st_mode | 0o711)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, bus.path], capture_output=True, text=True, env=environment(), check=False
        )
        assert done.stdout.split() == ["6", "6", "6", "6"], done.stderr
    finally:
        bus.kill()


# -- rude clients -------------------------------------------------------------------------


def raw(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)  # waits for room in the backlog, which a socket with a time limit does not
    client.settimeout(10)
    return client


@pytest.fixture
def embedded(tmp_path):
    bus = BrokerProgram("embedded", str(tmp_path / "ubus.sock"))
    bus.start()
    yield bus
    bus.kill()


def memory_kib(bus: BrokerProgram) -> int:
    with open(f"/proc/{bus.program.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def drain(client: BlockingClient) -> None:
    while True:
        client._next(time.monotonic() + 30)


def test_a_listener_that_does_not_read_is_cut_off_and_costs_no_memory(embedded):
    with BlockingClient(embedded.path) as deaf, BlockingClient(embedded.path) as loud:
        deaf.listen(["*"])
        before = memory_kib(embedded)
        for _ in range(60):
            loud.send_event("noise", {"text": "x" * 200_000})
        assert memory_kib(embedded) - before < 3 * UNREAD_LIMIT // 1024
        with pytest.raises(UbusError) as raised:
            drain(deaf)
        assert raised.value.status == 10
        assert loud.lookup() == []


def test_a_call_to_an_owner_that_does_not_read_ends_at_once_with_status_7(embedded):
    with BlockingClient(embedded.path) as deaf, BlockingClient(embedded.path) as ours:
        deaf._request(wire.ADD_OBJECT, 0, {wire.ATTR_OBJPATH: "deaf", wire.ATTR_SIGNATURE: b""}, time.monotonic() + 30)
        with pytest.raises(UbusError) as raised:
            ours.call("deaf", "x", {"text": "x"}, timeout=0.1)
        assert "no answer in time" in raised.value.text
        target = ours._find("deaf", time.monotonic() + 30)
        call = request.invoke(target, "x", request.pack({"text": "x" * 400_000}))
        for _ in range(20):  # nobody waits for these: our clock has no part in it
            ours._send(wire.encode(wire.INVOKE, 0, target, {**call, wire.ATTR_NO_REPLY: True}), time.monotonic() + 30)
        with pytest.raises(UbusError) as raised:  # full by now: a limit so long that a busy machine does not meet it
            ours.call("deaf", "x", {"text": "x" * 400_000}, timeout=30)
        assert raised.value.text == "Request timed out"  # the broker's word, not our clock


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\4\0\0\0\0\0\0\0\xff\xff\xff",
        wire.frame(wire.LOOKUP, 1, 0, b"\0\0\0\xff"),
    ],
    ids=["noise", "web", "too large", "broken list"],
)
def test_noise_ends_only_the_connection_it_came_on(embedded, noise):
    rude = raw(embedded.path)
    rude.sendall(noise)
    rest = b""
    while chunk := rude.recv(65536):
        rest += chunk
    with BlockingClient(embedded.path) as client:
        assert client.lookup() == []


def test_a_flood_of_unfinished_messages_is_bounded(embedded):
    before = memory_kib(embedded)
    clients = [raw(embedded.path) for _ in range(20)]
    for client in clients:
        client.sendall(wire.HEADER.pack(0, wire.LOOKUP, 1, 0, 1 << 20))
        client.sendall(bytes(500_000))
    with BlockingClient(embedded.path) as client:
        client.lookup()
    assert memory_kib(embedded) - before < 40_000
    for client in clients:
        client.close()


def test_a_client_that_closed_its_half_loses_its_objects(bus):
    rude = raw(bus.path)
    rude.sendall(wire.encode(wire.ADD_OBJECT, 1, 0, {wire.ATTR_OBJPATH: "half", wire.ATTR_SIGNATURE: b""}))
    with BlockingClient(bus.path) as client:
        wait_until(lambda: client.lookup("half"))
        rude.shutdown(socket.SHUT_WR)
        wait_until(lambda: not client.lookup("half"))
    rude.close()


@pytest.fixture
def lingering(tmp_path):
    """One whose clients may read for an hour what was sent before they left."""
    bus = BrokerProgram("embedded", str(tmp_path / "ubus.sock"), "3600")
    bus.start()
    yield bus
    bus.kill()


def test_a_client_that_closed_its_half_and_reads_nothing_loses_its_objects_at_once(lingering):
    with BlockingClient(lingering.path) as rude, BlockingClient(lingering.path) as loud:
        rude._request(wire.ADD_OBJECT, 0, {wire.ATTR_OBJPATH: "half", wire.ATTR_SIGNATURE: b""}, time.monotonic() + 30)
        rude.listen(["*"])
        for _ in range(5):
            loud.send_event("noise", {"text": "x" * 300_000})
        assert loud.lookup("half")
        rude._socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: not loud.lookup("half"))  # before its time to linger is over


def test_more_clients_than_the_limit_are_turned_away_and_the_rest_is_served(embedded):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2000), hard))
    with BlockingClient(embedded.path) as first:
        clients = [raw(embedded.path) for _ in range(520)]
        turned_away = 0
        for client in clients:
            try:
                turned_away += not client.recv(12)
            except ConnectionResetError:
                turned_away += 1
        assert turned_away == 520 + 1 - 512
        assert first.lookup() == []
        for client in clients:
            client.close()


async def test_closing_the_broker_disconnects_everybody(tmp_path):
    broker = Broker(str(tmp_path / "ubus.sock"))
    await broker.start()
    client = await asyncio.to_thread(BlockingClient, broker.path)
    await broker.close()
    with pytest.raises(UbusError):
        await asyncio.to_thread(client.lookup)
    client.close()
