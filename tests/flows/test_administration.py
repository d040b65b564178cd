"""Which ports administer the router, by who listens there."""

from __future__ import annotations

import pytest

from netpolicy.flows.administration import OTHER, SSH, WEB, administration_ports, is_loopback, look
from netpolicy.flows.listening import Listener
from netpolicy.flows.sockets import HALF_OPEN
from tests.flows.administering import DESK, tcp, tracked, untracked

ALL = "0.0.0.0"


def services(*listeners, extra=()):
    return {port.number: port.service for port in administration_ports(listeners, extra)}


def test_servers_of_administration_count_on_whatever_port():
    assert services(Listener(ALL, 2200, "dropbear"), Listener("::", 8443, "uhttpd"), Listener(ALL, 22, "sshd")) == {
        22: SSH, 2200: SSH, 8443: WEB,
    }  # fmt: skip


def test_on_a_usual_port_a_program_that_starts_others_or_is_hidden_is_believed():
    assert services(Listener(ALL, 22, "systemd"), Listener(ALL, 80, ""), Listener(ALL, 8080, "")) == {22: SSH, 80: WEB}


@pytest.mark.parametrize("program", ["docker-proxy", "xray", "python3"])
def test_another_program_on_a_usual_port_is_no_administration(program):
    assert services(Listener(ALL, 443, program)) == {}


def test_a_port_on_loopback_alone_administers_nobody():
    assert services(Listener("127.0.0.1", 80, "uhttpd"), Listener("::1", 22, "sshd")) == {}


def test_extra_ports_count_whoever_listens_and_keep_what_is_known_of_them():
    assert services(Listener(ALL, 9090, "cockpit"), extra=[9090, 7000]) == {7000: OTHER, 9090: OTHER}
    assert services(Listener(ALL, 22, "sshd"), extra=[22]) == {22: SSH}


def test_all_addresses_of_a_port_are_kept():
    (port,) = administration_ports([Listener(ALL, 22, "sshd"), Listener("::", 22, "sshd")])
    assert port.addresses == (ALL, "::")


def test_a_connection_is_told_as_it_was_dialled():
    forwarded = tracked(tcp(), dialled=("203.0.113.2", 2222))
    assert (forwarded.source, forwarded.destination, forwarded.port) == (DESK, "203.0.113.2", 2222)
    plain = untracked(tcp())
    assert (plain.source, plain.source_port, plain.port) == (DESK, 40000, 22)


def test_only_what_both_sides_and_a_program_have_taken_is_established():
    assert tracked(tcp()).is_established and untracked(tcp()).is_established
    assert not untracked(tcp(inode=0)).is_established
    assert not untracked(tcp(state=HALF_OPEN)).is_established
    assert not tracked(tcp(), state="SYN_RECV").is_established


def test_loopbacks():
    assert is_loopback("127.9.9.9") and is_loopback("::1")
    assert not is_loopback("192.168.1.1") and not is_loopback("nothing")


def test_looking_at_this_machine_works_without_anything_to_see():
    seen = look(extra=[1])
    assert [port.number for port in seen.ports if port.number == 1] == [1]
    assert seen.complete and seen.is_own("127.0.0.1")
