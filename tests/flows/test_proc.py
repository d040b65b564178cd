"""Lines of /proc/net/nf_conntrack, recorded from Linux 6.18 and as older kernels print them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows import proc
from netpolicy.flows.model import ASSURED, OFFLOADED, SEEN_REPLY

TCP_LINE = (
    "ipv4     2 tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=203.0.113.2 sport=40000 dport=443 packets=5 bytes=300 "
    "src=203.0.113.2 dst=203.0.113.1 sport=443 dport=40000 packets=4 bytes=5000 "
    "[ASSURED] mark=1090519040 zone=0 use=2\n"
)
UDP_LINE = (
    "ipv6     10 udp      17 29 src=fd01:0000:0000:0000:0000:0000:0000:0002 "
    "dst=2001:0db8:0000:0000:0000:0000:0000:0002 sport=5353 dport=53 [UNREPLIED] "
    "src=2001:0db8:0000:0000:0000:0000:0000:0002 dst=2001:0db8:0000:0000:0000:0000:0000:0001 "
    "sport=53 dport=5353 mark=0 zone=3 use=2\n"
)
ICMP_LINE = (
    "ipv4     2 icmp     1 27 src=10.1.0.2 dst=203.0.113.2 type=8 code=0 id=77 "
    "src=203.0.113.2 dst=203.0.113.1 type=0 code=0 id=77 mark=0 use=1\n"
)
OFFLOADED_LINE = (
    "ipv4     2 tcp      6 src=10.1.0.2 dst=203.0.113.2 sport=1 dport=2 src=203.0.113.2 dst=10.1.0.2 sport=2 dport=1 "
    "[OFFLOAD] mark=16777216 zone=0 use=3\n"
)
GRE_LINE = (
    "ipv4     2 gre      47 178 timeout=30, stream_timeout=180 src=10.1.0.2 dst=203.0.113.2 srckey=0x0 dstkey=0x1 "
    "src=203.0.113.2 dst=10.1.0.2 srckey=0x1 dstkey=0x0 [ASSURED] mark=0 zone=0 use=2\n"
)
LINES = (TCP_LINE, UDP_LINE, ICMP_LINE, OFFLOADED_LINE, GRE_LINE)


def test_a_tcp_line():
    flow = proc.parse(TCP_LINE)
    assert (flow.id, flow.family, flow.protocol, flow.state, flow.timeout) == (0, 4, 6, "ESTABLISHED", 431999)
    assert (flow.source, flow.source_port, flow.destination, flow.destination_port) == (
        "10.1.0.2", 40000, "203.0.113.2", 443,
    )  # fmt: skip
    assert (flow.reply_destination, flow.reply_destination_port) == ("203.0.113.1", 40000)
    assert (flow.mark, flow.packets, flow.bytes, flow.status) == (0x41000000, 9, 5300, SEEN_REPLY | ASSURED)


def test_an_unanswered_ipv6_line_without_accounting():
    flow = proc.parse(UDP_LINE)
    assert (flow.source, flow.reply_destination, flow.source_port) == ("fd01::2", "2001:db8::1", 5353)
    assert (flow.status, flow.packets, flow.timeout, flow.zone, flow.state) == (0, 0, 29, 3, "")


def test_an_icmp_line_tells_its_original_direction():
    flow = proc.parse(ICMP_LINE)
    assert (flow.icmp_type, flow.icmp_code, flow.icmp_id, flow.source_port) == (8, 0, 77, 0)


def test_an_offloaded_line_has_neither_timeout_nor_state():
    flow = proc.parse(OFFLOADED_LINE)
    assert flow.is_offloaded and flow.status & OFFLOADED
    assert (flow.timeout, flow.state, flow.mark) == (0, "", 0x01000000)


def test_a_gre_line_with_odd_words():
    flow = proc.parse(GRE_LINE)
    assert (flow.protocol, flow.timeout, flow.state, flow.source_port) == (47, 178, "", 0)


def test_what_is_no_flow_is_left_out():
    bad = [
        "", "\n", "nonsense", "ipv4 2 tcp 6 1 ESTABLISHED src=10.1.0.2", TCP_LINE.replace("10.1.0.2", "10.1.0.999"),
        TCP_LINE.replace("ipv4     2", "bridge   7"), TCP_LINE.replace("tcp      6", "tcp      600"),
        TCP_LINE + "x" * 2000, TCP_LINE.replace("src=", "source="),
    ]  # fmt: skip
    assert proc.parse_lines(bad) == []
    assert len(proc.parse_lines([*bad, *LINES])) == len(LINES)


@given(st.text(max_size=200))
def test_garbage_never_raises(line):
    proc.parse(line)


@given(st.sampled_from(LINES), st.integers(0, 300), st.text(max_size=12))
def test_a_cut_or_bent_line_never_raises(line, position, insert):
    proc.parse(line[:position])
    flow = proc.parse(line[:position] + insert + line[position:])
    assert flow is None or (0 <= flow.source_port <= 0xFFFF and 0 <= flow.mark <= 0xFFFFFFFF)


@given(st.permutations(TCP_LINE.split()))
def test_words_in_any_order_never_raise(words):
    proc.parse(" ".join(words))
