"""Who must be able to come back: those of now, those of lately, one machine per network."""

from __future__ import annotations

from netpolicy.dataplane.state import Neighbour
from netpolicy.flows.administrators import LATELY, LIKELY, NOW, Memory, Peer, administrators, device_of, likely, peers
from netpolicy.flows.sockets import HALF_OPEN
from tests.flows.administering import DESK, LAN, ROUTER, sight, tcp, tracked


def test_one_road_is_told_once_however_many_connections_it_has():
    (peer,) = peers(sight(tracked(tcp()), tracked(tcp(remote_port=40001, inode=2))))
    assert peer == Peer(DESK, 40000, ROUTER, 22, "ssh", "lan", NOW)


def test_the_router_itself_and_half_open_connections_administer_nobody():
    assert peers(sight(tracked(tcp("127.0.0.1")), tracked(tcp(state=HALF_OPEN)))) == ()


def test_every_network_inside_has_a_likely_administrator_for_every_port_served_there():
    neighbour = Neighbour(4, "lan", "192.168.1.44", "02:00:00:00:00:44")
    found = {(one.source, one.destination, one.port, one.why) for one in likely(sight(), [neighbour])}
    assert found == {
        ("192.168.1.44", ROUTER, 22, LIKELY),
        ("192.168.1.44", ROUTER, 80, LIKELY),
        ("fd00:1::2", "fd00:1::1", 22, LIKELY),  # the web server of the sight has IPv4 alone
    }


def test_who_is_there_comes_before_who_was_and_who_might_be():
    desk = tracked(tcp())
    memory = Memory()
    memory.note(peers(sight(desk)), 0.0)
    memory.note([Peer("198.51.100.9", 5, "203.0.113.2", 22, "ssh")], 10.0)
    found = administrators(sight(desk), [Neighbour(4, "lan", DESK, "02:00:00:00:00:0a")], memory.known(20.0))
    assert [(one.source, one.port, one.why) for one in found][:2] == [
        (DESK, 22, NOW), ("198.51.100.9", 22, LATELY),
    ]  # fmt: skip
    assert (DESK, 80, LIKELY) in [(one.source, one.port, one.why) for one in found]


def test_the_memory_ends_after_its_time_and_is_bounded():
    memory = Memory(seconds=60, limit=3)
    for number in range(5):
        memory.note([Peer(f"192.168.1.{number}", 1, ROUTER, 22, "ssh")], float(number))
    assert [one.source for one in memory.known(5.0)] == ["192.168.1.2", "192.168.1.3", "192.168.1.4"]
    memory.note([Peer("192.168.1.2", 1, ROUTER, 22, "ssh")], 50.0)
    assert [(one.source, one.source_port) for one in memory.known(70.0)] == [("192.168.1.2", 0)]


def test_the_device_is_that_of_the_network_and_unknown_for_what_is_no_address():
    assert device_of(DESK, LAN) == "lan"
    assert device_of("nobody", LAN) == ""
    assert device_of("127.0.0.1", LAN) in ("lo", "")
