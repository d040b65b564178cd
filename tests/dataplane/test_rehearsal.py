"""What becomes of new connections under a candidate, tried on a copy of the router, for IPv4 and IPv6."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.rehearsal import LIMIT_SECONDS, Candidate, Probe, Refused, Unrehearsable, patience, rehearse
from netpolicy.dataplane.rehearsal_peers import MOST_PROBES
from netpolicy.dataplane.routing import Routing
from netpolicy.dataplane.state import NetlinkError, Route
from tests.dataplane.rehearsed import NOTHING, SSH4, SSH6, WEB4, both, candidate, text, texts
from tests.netns import Namespace, needs_root, run
from tests.router import WAN_A, everything, rule

pytestmark = [pytest.mark.kernel, needs_root]


def children_of(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("probe", [SSH4, SSH6])
async def test_a_candidate_that_shuts_ssh_is_found_out_and_the_state_before_is_shown_beside_it(here, probe):
    shut = text('iifname "lan" tcp dport 22 drop')
    found = await both(NOTHING, shut, probe)
    assert [results[0].text for results in found.results] == ["answered", "silent"]


@pytest.mark.parametrize("probe", [SSH4, SSH6])
async def test_a_refusal_is_told_from_silence(here, probe):
    assert await texts(text("tcp dport 22 reject with tcp reset"), probe) == ["refused"]
    assert await texts(text("tcp dport 22 reject with icmpx admin-prohibited"), probe) == ["refused"]


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
@pytest.mark.parametrize(("source", "own"), [("192.168.1.5", "192.168.1.1"), ("fd00:1::5", "fd00:1::1")])
async def test_the_router_answers_what_is_asked_of_itself(here, protocol, source, own):
    probe = Probe("lan", source, own, protocol, 5000)
    word = {"icmp": "meta l4proto { icmp, icmpv6 }"}.get(protocol, f"{protocol} dport 5000")
    found = await both(NOTHING, text(f"{word} drop"), probe)
    assert [one[0].text for one in found.results] == ["answered", "silent"]


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
async def test_a_rule_sends_a_connection_by_another_line_and_its_answer_comes_back(here, protocol):
    probe = Probe("lan", "192.168.1.5", "203.0.113.7", protocol, 443)
    by_b = candidate(Entry(rule("all_by_b", proto=protocol), 2, False))
    found = await both(candidate(), by_b, probe)
    assert [one[0].text for one in found.results] == ["forwarded via wana", "forwarded via wanb"]


async def test_a_rule_that_blocks_refuses_what_it_names_only(here):
    blocked = candidate(
        Entry(rule("no_web", ("block", "reject"), dest_port="443"), Marks(0x77000000).reject, blocks=True)
    )
    other = Probe("lan", "192.168.1.5", "203.0.113.7", "tcp", 80)
    assert await texts(blocked, WEB4, other) == ["refused", "forwarded via wana"]


async def test_connections_of_the_router_itself_are_opened_by_its_own_sockets(here):
    to_b = candidate(Entry(rule("own", dest_port="443"), 2, False))
    for protocol in ("tcp", "udp"):
        probe = Probe("lo", "", "203.0.113.7", protocol, 443)
        found = await both(NOTHING, to_b, probe)
        assert [one[0].text for one in found.results] == ["forwarded via wana", "forwarded via wanb"]
    assert await texts(text("tcp dport 443 reject", "output"), Probe("lo", "", "203.0.113.7", "tcp", 443)) == [
        "refused"
    ]


async def test_the_firewall_of_others_is_copied_and_drops_there_too(here):
    run("nft", "-f", "-", text="table inet fw { chain in { type filter hook input priority 0; tcp dport 22 drop; }; }")
    assert await texts(NOTHING, SSH4, SSH6) == ["silent", "silent"]


async def test_an_answer_that_leaves_by_another_line_is_told(here):
    """An administrator on line B; main's default leads by A, and without a line of ours for B the answer goes there."""
    probe = Probe("wanb", "203.0.113.77", "198.51.100.2", "tcp", 22)
    with_b = candidate(ingress=(("wana", 1), ("wanb", 2)))
    without_b = candidate(lines=(WAN_A,), ingress=(("wana", 1),))
    found = await both(with_b, without_b, probe)
    assert [one[0].text for one in found.results] == ["answered", "answered by wana"]


async def test_an_answer_to_another_neighbour_is_told(here):
    """The administrator is behind 192.168.1.77; a candidate that routes him to .99 answers nobody."""
    probe = Probe("lan", "10.9.0.4", "192.168.1.1", "tcp", 22)
    astray = Candidate(None, Routing(frozenset({Route(4, 254, "10.9.0.0/24", gateway="192.168.1.99", device="lan")})))
    found = await both(NOTHING, astray, probe)
    assert [one[0].text for one in found.results] == ["answered", "answered by lan to 192.168.1.99"]


async def test_strict_reverse_path_filtering_is_copied(here):
    probe = Probe("wanb", "203.0.113.77", "198.51.100.2", "tcp", 22)
    assert await texts(NOTHING, probe) == ["answered by wana"]
    here.sysctl("net/ipv4/conf/wanb/rp_filter", 1)
    assert await texts(NOTHING, probe) == ["silent"]


async def test_a_link_local_administrator_is_answered(here):
    run("ip", "addr", "add", "fe80::1/64", "dev", "lan", "nodad")
    probe = Probe("lan", "fe80::5", "fe80::1", "tcp", 22)
    assert await texts(NOTHING, probe) == ["answered"]


async def test_a_candidate_that_does_not_load_is_refused_with_the_words_of_nft(here):
    with pytest.raises(Refused, match="syntax error"):
        await rehearse([Candidate(None, Routing(), "table inet netpolicy { nonsense }\n")], [SSH4])


async def test_a_probe_from_a_device_that_is_not_there_says_so(here):
    assert await texts(NOTHING, Probe("nix0", "192.0.2.9", "192.168.1.1", "tcp", 22)) == ["no device nix0"]


async def test_nothing_of_the_router_changes_and_no_process_is_left(here):
    before, children = everything() + run("ip", "-d", "link"), children_of(os.getpid())
    await both(NOTHING, candidate(), SSH4, WEB4)
    assert everything() + run("ip", "-d", "link") == before
    assert set(children_of(os.getpid())) <= set(children)


async def test_without_time_it_is_not_rehearsed(here):
    with pytest.raises(Unrehearsable, match="longer than"):
        await rehearse([NOTHING], [SSH4], limit=0.001)


async def test_without_a_namespace_the_reason_is_given(here, tmp_path):
    with pytest.raises(Unrehearsable, match="cannot be listed"):
        await rehearse([NOTHING], [SSH4], nft=str(tmp_path / "no_nft"))


def test_long_lists_are_given_more_time(here):
    assert patience([NOTHING]) == LIMIT_SECONDS < patience([candidate(Entry(rule("x", dest_port="443"), 2))] * 2) < 11


async def test_a_kernel_without_cables_is_told_what_it_lacks(here, monkeypatch):
    def refuse(*_):
        raise NetlinkError("add link lan", errno.EOPNOTSUPP, "this kernel does not support it")

    monkeypatch.setattr("netpolicy.dataplane.rehearsal.build", refuse)
    with pytest.raises(Unrehearsable, match="install kmod-veth"):
        await rehearse([NOTHING], [SSH4])


async def test_too_many_probes_are_refused(here):
    with pytest.raises(Unrehearsable, match="too many"):
        await rehearse([NOTHING], [SSH4] * (MOST_PROBES + 1))


async def test_a_router_with_nothing_but_a_loopback_can_be_rehearsed():
    with Namespace() as bare, bare.entered():
        assert await texts(NOTHING, SSH4) == ["no device lan"]
