"""What counts as a new connection, and every way in which an old or a forged one could pass for it."""

from __future__ import annotations

import pytest

from netpolicy.flows.evidence import Evidence, Refusal, SshClaim, WebClaim, judge
from netpolicy.flows.sockets import ESTABLISHED, HALF_CLOSED, HALF_OPEN
from tests.flows.administering import DESK, ROUTER, sight, tcp, tracked, untracked

OLD = tracked(tcp(), number=7)
CLAIM = SshClaim(OLD.socket.ends)


def refusal(answer) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.text


def test_a_new_connection_is_believed_and_told():
    answer = judge(sight(), CLAIM, sight(OLD))
    assert isinstance(answer, Evidence)
    assert answer.kind == "ssh" and f"{DESK}:40000 to {ROUTER}:22" in answer.text


def test_an_old_one_is_refused():
    assert "was open before the change" in refusal(judge(sight(OLD), CLAIM, sight(OLD)))


def test_an_old_one_with_a_new_entry_of_conntrack_is_refused():
    again = tracked(tcp(), number=8)
    assert "was open before the change" in refusal(judge(sight(OLD), CLAIM, sight(again)))
    assert "was open before the change" in refusal(judge(sight(OLD), CLAIM, sight(untracked(tcp()))))
    assert "was open before the change" in refusal(judge(sight(untracked(tcp())), CLAIM, sight(OLD)))


def test_the_same_ends_with_another_socket_and_another_entry_are_new():
    reopened = tracked(tcp(inode=101), number=8)
    assert isinstance(judge(sight(OLD), CLAIM, sight(reopened)), Evidence)
    assert isinstance(judge(sight(untracked(tcp())), CLAIM, sight(untracked(tcp(inode=101)))), Evidence)


def test_the_same_ends_with_another_socket_but_the_same_entry_are_old():
    assert "before the change" in refusal(judge(sight(OLD), CLAIM, sight(tracked(tcp(inode=101), number=7))))


def test_a_connection_that_was_being_made_is_old():
    """Its first packet passed the old rules, and the others pass because conntrack knows it."""
    for then in (tcp(inode=0, state=HALF_OPEN), tcp(inode=0)):
        for before in (tracked(then, number=7, state="SYN_RECV"), untracked(then)):
            assert "before the change" in refusal(judge(sight(before), CLAIM, sight(tracked(tcp(), number=9))))


@pytest.mark.parametrize(
    "now",
    [
        tracked(tcp(inode=0)),  # no program has taken it
        tracked(tcp(state=HALF_OPEN)),
        tracked(tcp(state=HALF_CLOSED)),
        tracked(tcp(), state="SYN_RECV"),
        tracked(tcp(), state="CLOSE_WAIT"),
        tracked(tcp(), status=0),  # nobody answered
    ],
)
def test_what_is_not_established_is_refused(now):
    assert "not established" in refusal(judge(sight(), CLAIM, sight(now)))


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.9.9.9", "::1", ROUTER, "fd00:1::1", "203.0.113.2"])
def test_what_comes_from_the_router_is_refused(remote):
    for one in (tracked(tcp(remote)), untracked(tcp(remote))):
        assert "router itself" in refusal(judge(sight(), SshClaim(one.socket.ends), sight(one)))
    disguised = tracked(tcp(DESK), source=(remote, 50000))  # translated on its way
    assert "router itself" in refusal(judge(sight(), CLAIM, sight(disguised)))


def test_a_client_that_is_translated_to_the_routers_address_is_judged_by_its_own():
    """A port forward with a translated source, as for clients that dial the outer address."""
    hairpin = tracked(tcp(ROUTER), dialled=("203.0.113.2", 2222), source=(DESK, 40001))
    answer = judge(sight(), SshClaim(hairpin.socket.ends), sight(hairpin))
    assert isinstance(answer, Evidence) and f"{DESK}:40001 to 203.0.113.2:2222" in answer.text


def test_a_connection_that_nobody_knows_is_refused_with_what_to_do():
    text = refusal(judge(sight(), CLAIM, sight()))
    assert "log in anew" in text and "tmux" in text


def test_a_web_connection_is_no_ssh_claim_and_the_other_way_round():
    web = tracked(tcp(port=80))
    assert "web server" in refusal(judge(sight(), SshClaim(web.socket.ends), sight(web)))
    assert "no HTTP connection" in refusal(judge(sight(), WebClaim(frozenset([DESK])), sight(OLD)))


def test_a_sight_that_is_not_complete_refuses_everything():
    for before, now in ((sight(complete=False), sight(OLD)), (sight(), sight(OLD, complete=False))):
        assert "too many" in refusal(judge(before, CLAIM, now))
        assert "too many" in refusal(judge(before, WebClaim(frozenset([DESK]), near=True), now))


def web(remote: str, remote_port: int, inode: int):
    return tracked(tcp(remote, remote_port, port=80, inode=inode), number=inode)


def test_a_web_connection_must_be_young_and_from_a_known_address():
    kept = web(DESK, 40000, 1)
    assert "younger" in refusal(judge(sight(kept), WebClaim(), sight(kept)))
    young = web(DESK, 40001, 2)
    answer = judge(sight(kept), WebClaim(), sight(kept, young))
    assert isinstance(answer, Evidence) and answer.connection is young and answer.kind == "web"


def test_a_web_connection_of_a_stranger_is_refused_by_name():
    stranger = web("198.51.100.9", 40001, 2)
    assert "198.51.100.9" in refusal(judge(sight(), WebClaim(near=True), sight(stranger)))


def test_near_means_a_network_behind_the_router():
    neighbour, uplink = web("192.168.1.77", 40001, 2), web("203.0.113.9", 40001, 3)
    assert judge(sight(), WebClaim(near=True), sight(neighbour, uplink)).kind == "web-near"
    assert isinstance(judge(sight(), WebClaim(), sight(neighbour)), Refusal)
    assert isinstance(judge(sight(), WebClaim(near=True), sight(uplink)), Refusal)


def test_who_only_began_a_connection_before_is_not_known():
    half = tracked(tcp("192.168.1.66", 1, port=80, state=HALF_OPEN, inode=0))
    assert isinstance(judge(sight(half), WebClaim(), sight(web("192.168.1.66", 2, 5))), Refusal)
    assert ESTABLISHED != HALF_OPEN
