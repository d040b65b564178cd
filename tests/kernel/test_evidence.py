"""Real SSH and web servers, real connections: which of them shows that the router can be reached anew."""

from __future__ import annotations

import socket

import pytest

from netpolicy.dataplane.netlink import open_netlink
from netpolicy.flows import lookup, sockets
from netpolicy.flows.administration import SSH, WEB, look
from netpolicy.flows.administrators import LIKELY, NOW, administrators, peers
from netpolicy.flows.evidence import Evidence, Refusal, SshClaim, WebClaim, judge
from netpolicy.flows.session import parse_ssh_connection, socket_of_ancestor
from tests.kernel.gate import CLIENT, FAMILY, OTHER_CLIENT, ROUTER, SSH_PROGRAMS, gate, until
from tests.netns import needs_root, run

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def place(tmp_path):
    with gate(tmp_path) as built:
        yield built


def claim(session) -> SshClaim:
    return SshClaim(parse_ssh_connection(session.words))


def is_taken(near: socket.socket) -> bool:
    """Whether the server has accepted this connection; there are those that only asked whether it serves."""
    found = look().connections.get((*near.getsockname()[:2], *near.getpeername()[:2]))
    return found is not None and found.is_established


@pytest.mark.parametrize("program", SSH_PROGRAMS)
@pytest.mark.parametrize("family", [4, 6])
def test_an_old_session_is_refused_and_a_new_one_is_believed(place, family, program):
    place.serve_ssh(program)
    old = place.login(ROUTER[family])
    before = look()
    refused = judge(before, claim(old), look())
    assert isinstance(refused, Refusal) and "was open before the change" in refused.text
    new = place.login(ROUTER[family])
    shown = judge(before, claim(new), look())
    assert isinstance(shown, Evidence), shown
    assert (shown.kind, shown.connection.source, shown.connection.port) == ("ssh", CLIENT[family], 22)
    assert shown.connection.flow is not None and shown.connection.flow.id
    # what the new one shows does not make the old one any younger
    assert isinstance(judge(before, claim(old), look()), Refusal)


def test_a_session_whose_conntrack_entry_was_deleted_and_picked_up_again_is_still_old(place):
    """The kernel takes up a connection in its middle: the entry is young then, the connection is not."""
    place.serve_ssh()
    old = place.login(ROUTER[4])
    before = look()
    words = claim(old)

    def is_another_entry() -> bool:  # ids are made of places in memory: the same place is the same id
        run("conntrack", "-F")
        place.login(ROUTER[6]).close()
        assert old.say("echo again") == "again"
        return look().connections[words.ends].flow.id != before.connections[words.ends].flow.id

    until(is_another_entry, "the kernel makes another entry")
    now = look()
    refused = judge(before, words, now)
    assert isinstance(refused, Refusal) and "was open before the change" in refused.text


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ROUTER[4], ROUTER[6]])
def test_a_session_from_the_router_itself_is_refused(place, address):
    place.serve_ssh()
    before = look()
    forged = place.login(address, where=place.router)
    refused = judge(before, claim(forged), look())
    assert isinstance(refused, Refusal) and "from the router itself" in refused.text


def test_a_session_through_the_old_one_comes_from_the_router_too(place):
    """ssh in the old shell, as somebody would who wants to be quick."""
    place.serve_ssh()
    old = place.login(ROUTER[4])
    before = look()
    folder = place._folder
    words = old.say(f"dbclient -y -y -T -i {folder}/id root@{ROUTER[4]} 'echo $SSH_CONNECTION; sleep 60'")
    refused = judge(before, SshClaim(parse_ssh_connection(words)), look())
    assert isinstance(refused, Refusal) and "from the router itself" in refused.text


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_that_the_router_opened_from_such_a_port_is_refused(place, family):
    """It looks like one from outside in the table of sockets; conntrack knows who began."""
    before = look(extra=[9022])
    with place.client.entered():
        waiting = socket.create_server((CLIENT[family], 0), family=FAMILY[family])
    with waiting, socket.socket(FAMILY[family]) as forged:
        forged.bind((ROUTER[family], 9022))
        forged.settimeout(20)
        forged.connect(waiting.getsockname()[:2])
        ends = (*waiting.getsockname()[:2], ROUTER[family], 9022)
        now = look(extra=[9022])
        assert now.connections[ends].is_established
        refused = judge(before, SshClaim(ends), now)
        assert isinstance(refused, Refusal) and "from the router itself" in refused.text
        assert lookup.by_text([ends])[ends].source == ROUTER[family]


def test_a_session_through_a_port_forward_is_told_as_it_was_dialled(place):
    place.serve_ssh()
    before = look()
    new = place.login(ROUTER[4], port=2222)
    shown = judge(before, claim(new), look())
    assert isinstance(shown, Evidence)
    assert (shown.connection.port, shown.connection.socket.local_port) == (2222, 22)
    assert f"{ROUTER[4]}:2222" in shown.text


def test_a_session_that_conntrack_does_not_follow_is_judged_by_its_socket(place):
    run("nft", "add table inet raw; add chain inet raw pre { type filter hook prerouting priority raw; };"
        "add rule inet raw pre tcp dport 22 notrack; add chain inet raw out { type filter hook output priority raw; };"
        "add rule inet raw out tcp sport 22 notrack")  # fmt: skip
    place.serve_ssh()
    old = place.login(ROUTER[4])
    before = look()
    assert isinstance(judge(before, claim(old), look()), Refusal)
    new = place.login(ROUTER[4])
    shown = judge(before, claim(new), look())
    assert isinstance(shown, Evidence) and "conntrack does not follow it" in shown.text


def test_a_connection_that_is_gone_is_refused(place):
    place.serve_ssh()
    before = look()
    new = place.login(ROUTER[4])
    words = claim(new)
    new.close()
    until(lambda: words.ends not in look().connections, "the server notices the end")
    refused = judge(before, words, look())
    assert isinstance(refused, Refusal) and "tmux" in refused.text


def test_the_shell_finds_its_connection_also_without_its_words(place):
    """As after sudo, which leaves $SSH_CONNECTION out."""
    place.serve_ssh()
    place.login(ROUTER[4])
    session = place.login(ROUTER[6])
    by_inode = {one.inode: one for one in sockets.read([22], [sockets.ESTABLISHED])}
    # Its parent by our own /proc: the servers have a namespace of processes to themselves.
    child = int(session.say("sh -c 'cut -d\\  -f4 /proc/self/stat; sleep 60'"))
    found = socket_of_ancestor(child, by_inode)
    assert found is not None and found.remote == CLIENT[6]
    assert socket_of_ancestor(1, by_inode) is None


@pytest.mark.parametrize("family", [4, 6])
def test_an_old_web_connection_is_refused_and_a_new_one_is_believed(place, family):
    place.serve_web()
    old = place.browse(family)
    until(lambda: is_taken(old), "the server has taken it")
    before = look()
    assert [port.service for port in before.ports] == [WEB]
    refused = judge(before, WebClaim(), look())
    assert isinstance(refused, Refusal) and "keeps its old ones open" in refused.text
    place.browse(family)
    until(lambda: isinstance(judge(before, WebClaim(), look()), Evidence), "the new one is believed")
    shown = judge(before, WebClaim(), look())
    assert (shown.kind, shown.connection.source) == ("web", CLIENT[family])


def test_a_web_connection_from_elsewhere_counts_only_where_the_claim_allows_it(place):
    place.serve_web()
    old = place.browse()
    until(lambda: is_taken(old), "the server has taken it")
    before = look()
    new = place.browse(source=OTHER_CLIENT)
    until(lambda: is_taken(new), "the server has taken it too")
    refused = judge(before, WebClaim(), look())
    assert isinstance(refused, Refusal) and OTHER_CLIENT in refused.text and CLIENT[4] in refused.text
    assert judge(before, WebClaim(near=True), look()).kind == "web-near"
    assert judge(before, WebClaim(frozenset([OTHER_CLIENT])), look()).kind == "web"


def test_a_web_connection_from_the_router_itself_never_counts(place):
    place.serve_web()
    before = look()
    with socket.create_connection((ROUTER[4], 80), timeout=20) as forged:
        forged.sendall(b"GET /")
        until(lambda: is_taken(forged), "the server has taken it")
        everything = WebClaim(frozenset([ROUTER[4], "127.0.0.1"]), near=True)
        assert isinstance(judge(before, everything, look()), Refusal)


def test_who_administers_is_told_with_device_and_one_machine_of_a_lan_that_is_silent(place):
    place.serve_ssh()
    place.serve_web()
    place.login(ROUTER[4], port=2222)
    place.login("127.0.0.1", where=place.router)
    sight = look(extra=[8443])
    assert {(port.number, port.service) for port in sight.ports} == {(22, SSH), (80, WEB), (8443, "other")}
    (peer,) = peers(sight)
    assert (peer.source, peer.destination, peer.port, peer.device) == (CLIENT[4], ROUTER[4], 2222, "lan")
    netlink = open_netlink()
    try:
        everybody = administrators(sight, netlink.neighbours())
    finally:
        netlink.close()
    assert everybody[0].why == NOW
    roads = {(one.destination, one.port) for one in everybody if one.why == LIKELY and one.device == "lan"}
    assert roads == {(ROUTER[4], 22), (ROUTER[4], 80), (ROUTER[6], 22), (ROUTER[6], 80)}
    assert not {one.source for one in everybody} & sight.own


def test_a_device_that_leads_out_has_no_likely_administrators(place):
    place.serve_ssh()
    assert {subnet.device for subnet in look().inside} == {"lan"}
    assert look(outside=["lan"]).inside == ()
    run("ip", "route", "add", "default", "via", CLIENT[4])
    assert look().inside == ()


def test_the_text_table_tells_the_same_as_ctnetlink_but_no_ids(place):
    place.serve_ssh()
    ends = [claim(place.login(ROUTER[4])).ends, claim(place.login(ROUTER[6], port=2222)).ends]
    told, listed = lookup.by_netlink(ends), lookup.by_text(ends)
    assert set(told) == set(listed) == set(ends)
    for one in ends:
        assert told[one].id and not listed[one].id
        assert told[one].key[1:] == listed[one].key[1:]
        assert told[one].state == listed[one].state == "ESTABLISHED"
    nobody = ("192.168.1.99", 40000, ROUTER[4], 22)
    assert lookup.by_netlink([nobody]) == lookup.by_text([nobody]) == {}
