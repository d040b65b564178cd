"""A daemon in the lab sees real connections through it: named in every tier, with nothing left when it ends.

One lab and mostly one daemon for all tests, because a start takes a second. Each makes sure of what it needs.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netpolicy.lab import keeper
from netpolicy.lab.bench import Lab, LabError
from tests.flows.ebpf.conftest import refusal
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option default 'wan_a'
	option confirm '0'
{extra}
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option masq '1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option masq '1'
config rule 'other_client'
	option priority '200'
	list src_addr '192.168.1.77'
	option route 'wan_b'
config rule 'secure'
	list dest_port '443'
	option route 'wan_b'
"""

TLS, WEB = ("192.0.2.10", 443, "www.example.net"), ("192.0.2.11", 80, "news.example.net")

# What is attached to a device is asked of the kernel, in its namespace: bpf(2), BPF_PROG_QUERY.
COUNT = """
import socket, struct, sys
from netpolicy.flows.ebpf import bpf_call
count = 0
for side in (bpf_call.TCX_INGRESS, bpf_call.TCX_EGRESS):
    attr = bytearray(struct.pack("=IIIIQI4xQQQQ", socket.if_nametoindex("br-lan"), side, 0, 0, 0, 0, 0, 0, 0, 0))
    bpf_call.call("ask", 16, attr)
    count += struct.unpack_from("=I", attr, 24)[0]
print(count)
"""


WITHOUT_TCX = """
import errno
from netpolicy.flows.ebpf import attach, bpf_call
def refuse(*_):
    raise bpf_call.BpfError("attach", errno.EINVAL)
attach.WAY["tcx"] = refuse
"""
PUT_BACK_SECONDS = 60.0
BUSY_SECONDS = 30.0  # of a machine that does much else


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if why := refusal():
        pytest.skip(why)
    with Lab() as found:
        found.start_daemon(CONFIG.format(extra=""))
        found.wait_for(lambda: set(tiers(found).values()) == {"ebpf"}, 30.0, "devices that are watched")
        yield found


def inspector(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = lab.call("status")["inspector"]
    return found


def tiers(lab: Lab) -> dict[str, str]:
    return {one["name"]: one["tier"] for one in inspector(lab)["devices"]}


def configured(lab: Lab, extra: str, tier: str) -> None:
    """The daemon with these lines in its main section, by a reload."""
    lab.write_config(CONFIG.format(extra="".join(f"\t{line}\n" for line in extra.split(";") if line)))
    assert lab.call("reload") == {"ok": True, "error": None}
    lab.wait_for(lambda: set(tiers(lab).values()) == ({tier} if tier else set()) and [1], 30.0, f"tier {tier}")


def line_of(lab: Lab, client: str, port: int, **wanted: Any) -> dict[str, Any]:
    """The connection from that port, once its line says this."""

    def found() -> dict[str, Any] | None:
        for one in lab.call("connections", {"limit": 200})["connections"]:
            is_it = one["src"].startswith(client) and one["src_port"] == port
            if is_it and all(one.get(name) == value for name, value in wanted.items()):
                return dict(one)
        return None

    return lab.wait_for(found, BUSY_SECONDS, f"a line with {wanted}")


def asked(lab: Lab, target: tuple[str, int, str]) -> int:
    """A connection of `desk`; its port."""
    address, port, name = target
    answer = lab.tcp("desk", address, port, name=name)
    assert answer["ok"], answer
    return int(answer["local_port"])


def programs(lab: Lab) -> int:
    return int(lab.run("router", [sys.executable, "-c", COUNT], check=True).stdout)


def filters(lab: Lab) -> int:
    """Ours, of both directions."""
    listings = [lab.run("router", ["tc", "filter", "show", "dev", "br-lan", side]) for side in ("ingress", "egress")]
    return sum("netpolicy_" in one.stdout for one in listings)


def device(lab: Lab) -> dict[str, Any]:
    (found,) = [one for one in inspector(lab)["devices"] if one["name"] == "br-lan"] or [{"way": "", "taken_off": 0}]
    return found


@pytest.mark.parametrize(
    ("tier", "name", "address"),
    [("ebpf", "video.example.net", "192.0.2.20"), ("packet", "calls.example.net", "192.0.2.30")],
)
def test_connections_are_named_in_every_tier_that_sees_payload(lab: Lab, tier: str, name: str, address: str) -> None:
    configured(lab, "" if tier == "ebpf" else f"option inspector '{tier}'", tier)
    assert inspector(lab)["tier"] == tier
    assert lab.dns("desk", name)["addresses"] == [address]
    wanted = {"tls": asked(lab, TLS), "http": asked(lab, WEB), "dns": asked(lab, (address, 7, ""))}
    for source, told_name in (("tls", TLS[2]), ("http", WEB[2]), ("dns", name)):
        sure = "likely" if source == "dns" else "certain"
        line_of(lab, "192.168.1.11", wanted[source], name=told_name, name_source=source, name_confidence=sure)
        found = line_of(lab, "192.168.1.11", wanted[source], resets=0)
        assert 0 < found["rtt_ms"] < BUSY_SECONDS * 1000
        assert found["rule"] == ("secure" if source == "tls" else None) and found["agrees"]
    told = {one["name"]: one["quality"] for one in lab.call("status")["outbounds"]}
    assert 0 < told["wan_b"]["rtt_ms"] < BUSY_SECONDS * 1000 and told["wan_b"]["connections"] > 0.9


TALKING = (sys.executable, "-m", "tests.kernel.talking")


# aioquic takes a second to import, in each of five programs.
@pytest.mark.slow
@pytest.mark.parametrize("tier", ["ebpf", "packet"])
def test_real_conversations_by_tls_and_quic_of_each_version_are_named(lab: Lab, tier: str, tmp_path: Path) -> None:
    pytest.importorskip("aioquic", reason="aioquic is not installed")
    configured(lab, "" if tier == "ebpf" else f"option inspector '{tier}'", tier)
    address, name = "192.0.2.20", "video.example.net"
    words = [*TALKING, "quic-server", address, name, str(tmp_path)]
    # Else the lab's own server answers all that is sent by UDP.
    lab.run(
        "internet",
        ["nft", *f"insert rule inet internet pre ip daddr {address} udp dport 443 accept".split()],
        check=True,
    )
    with lab.popen("internet", words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            for what, version in (("tls", "TLSv1_2"), ("tls", "TLSv1_3"), ("quic", "1"), ("quic", "2")):
                done = lab.run("desk", [*TALKING, what, address, name, version], check=True)
                line_of(lab, "192.168.1.11", int(done.stdout), name=name, name_source=what, name_confidence="certain")
        finally:
            server.kill()


def test_the_terminal_tool_names_it_too(lab: Lab) -> None:
    line_of(lab, "192.168.1.11", asked(lab, TLS), name=TLS[2])
    command = [sys.executable, "-m", "netpolicy.cli.main", "connections", "--json", "--socket", str(keeper.BUS_SOCKET)]
    done = lab.run("router", command, check=True)
    assert TLS[2] in {one["name"] for one in json.loads(done.stdout)["connections"]}


def test_explain_knows_the_name_and_judges_as_before(lab: Lab) -> None:
    port = asked(lab, TLS)
    line_of(lab, "192.168.1.11", port, name_confidence="certain")
    found = lab.call("explain", {"flow": f"192.168.1.11:{port} 192.0.2.10:443 tcp"})
    assert found["facts"]["domain"] == TLS[2] and found["facts"]["sni"] == TLS[2]
    assert found["agrees"] and found["kernel"]["rule"] == "secure"


def test_clients_and_names_are_shown_as_the_settings_say(lab: Lab) -> None:
    configured(lab, "list anonymize 'clients';list anonymize 'names'", "ebpf")
    port = asked(lab, TLS)
    found = line_of(lab, "192.168.1.0/24", port, name="example.net")
    assert found["dest"] == "192.0.2.10"
    assert lab.call("connections", {"filter": "192.168.1.11"})["total"] == 0
    told = json.dumps(lab.call("explain", {"flow": found["id"] and str(found["id"])}))
    assert "192.168.1.0/24" in told and "192.168.1.11" not in told and "www.example.net" not in told
    for client in ("192.168.1.11", "192.168.1.99", "192.168.1.0/24"):  # nor is it found by asking for each address
        assert lab.call("explain", {"flow": f"{client}:{port} 192.0.2.10:443 tcp"})["matches"] == 1


def test_without_payload_there_are_connections_and_no_names(lab: Lab) -> None:
    configured(lab, "option inspector 'conntrack'", "conntrack")
    found = line_of(lab, "192.168.1.11", asked(lab, ("192.0.2.25", 80, "mail.example.org")))
    assert (found["name"], found["unknown"]["name"]) == (None, "not_seen")
    assert found["outbound"] == "wan_a"
    assert programs(lab) == 0
    configured(lab, "option inspector 'off'", "")
    assert inspector(lab)["setting"] == "off"


def test_a_device_that_appears_is_watched_by_the_events_of_the_kernel_alone(lab: Lab) -> None:
    configured(lab, "", "ebpf")
    for command in ("link add br-new type bridge", "address add 192.168.9.1/24 dev br-new", "link set br-new up"):
        lab.run("router", ["ip", *command.split()], check=True)
    lab.wait_for(lambda: tiers(lab).get("br-new") == "ebpf" and [1], 30.0, "br-new is watched")
    lab.run("router", ["ip", "link", "del", "br-new"], check=True)
    lab.wait_for(lambda: "br-new" not in tiers(lab) and [1], 30.0, "br-new is forgotten")


def test_a_shaper_beside_us_has_its_qdisc_and_we_have_our_names(lab: Lab) -> None:
    lab.run("router", ["tc", "qdisc", "add", "dev", "br-lan", "handle", "ffff:", "ingress"], check=True)
    assert line_of(lab, "192.168.1.11", asked(lab, TLS), name=TLS[2])
    assert tiers(lab)["br-lan"] == "ebpf"
    lab.run("router", ["tc", "qdisc", "del", "dev", "br-lan", "ingress"], check=True)


# A link that is detached is told by no event: it is looked for every ten seconds.
@pytest.mark.slow
def test_programs_that_somebody_detaches_are_put_back_and_that_is_told(lab: Lab) -> None:
    assert programs(lab) == 2
    lab.run("router", [sys.executable, "-m", "tests.flows.ebpf.detaching", "br-lan"], check=True)
    # They may be back before anybody has counted them.
    lab.wait_for(lambda: device(lab)["taken_off"] and [1], PUT_BACK_SECONDS, "it is noticed")
    lab.wait_for(lambda: programs(lab) == 2 and [1], PUT_BACK_SECONDS, "they are put back")
    assert device(lab) == {"name": "br-lan", "tier": "ebpf", "way": "tcx", "reason": "", "taken_off": 1}
    assert "took the inspector's programs off br-lan (tcx); they are put back" in lab.daemon_log()
    (found,) = [one for one in lab.call("doctor")["findings"] if one["code"] == "ND977"]
    assert (found["level"], found["details"]) == ("info", "br-lan, once")
    assert line_of(lab, "192.168.1.11", asked(lab, TLS), name=TLS[2])


def test_killed_and_started_again_there_is_one_of_us_and_after_a_stop_none(lab: Lab) -> None:
    assert programs(lab) == 2
    assert lab.daemon is not None
    lab.daemon.send_signal(signal.SIGKILL)
    lab.daemon.wait(10)
    lab.daemon = None
    assert programs(lab) == 0  # tcx ends with its process
    lab.start_daemon(CONFIG.format(extra=""))
    lab.wait_for(lambda: tiers(lab).get("br-lan") == "ebpf" and [1], 30.0, "br-lan is watched")
    assert programs(lab) == 2
    assert line_of(lab, "192.168.1.11", asked(lab, TLS), name=TLS[2])
    assert lab.stop_daemon() == 0
    assert programs(lab) == 0
    assert "a fault in netpolicy" not in lab.daemon_log() and "Traceback" not in lab.daemon_log()


# A clsact is put back after a pause, for whoever needs its place.
@pytest.mark.slow
def test_filters_that_somebody_deletes_are_put_back_and_that_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 6.6: the kernel refuses links."""
    command = keeper.daemon_command()
    command[command.index("-c") + 1] = WITHOUT_TCX + command[command.index("-c") + 1]
    monkeypatch.setattr(keeper, "daemon_command", lambda *_: command)
    assert lab.stop_daemon() == 0  # one that runs yet
    lab.start_daemon(CONFIG.format(extra=""))
    for count, removed in enumerate(("filter del dev br-lan egress", "qdisc del dev br-lan clsact"), 1):
        lab.wait_for(lambda: device(lab)["way"] == "clsact" and [1], 30.0, "br-lan has filters")
        lab.run("router", ["tc", *removed.split()], check=True)
        lab.wait_for(lambda count=count: device(lab)["taken_off"] == count and [1], 30.0, "it is noticed")
        lab.wait_for(lambda: filters(lab) == 2 and [1], PUT_BACK_SECONDS, "they are put back")
        lab.wait_for(lambda: device(lab)["way"] == "clsact" and [1], 30.0, "that is told")
        assert line_of(lab, "192.168.1.11", asked(lab, TLS), name=TLS[2])
    assert lab.daemon_log().count("took the inspector's programs off br-lan (clsact); they are put back") == 2
    assert lab.stop_daemon() == 0
    assert "clsact" not in lab.run("router", ["tc", "qdisc", "show", "dev", "br-lan"], check=True).stdout


def test_without_events_of_conntrack_its_text_is_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last tier, through the whole daemon. The kernel refuses the subscription, as one without ctnetlink does."""
    command = keeper.daemon_command()
    broken = "from netpolicy.flows import ctnetlink; ctnetlink.EVENT_GROUPS = (9999,); "
    command[command.index("-c") + 1] = broken + command[command.index("-c") + 1]
    monkeypatch.setattr(keeper, "daemon_command", lambda *_: command)
    assert lab.stop_daemon() == 0  # one that runs yet
    lab.start_daemon(CONFIG.format(extra="\toption inspector 'conntrack'"))
    lab.wait_for(lambda: inspector(lab)["tier"] == "proc" and [1], 30.0, "the text is read")
    told = inspector(lab)
    assert told["table"]["tier"] == "proc" and "/proc/net/nf_conntrack" in told["reason"], told
    found = line_of(lab, "192.168.1.11", asked(lab, TLS), outbound="wan_b")
    assert found["rule"] == "secure" and found["agrees"] and found["unknown"]["name"] == "not_seen"
    assert lab.stop_daemon() == 0


def test_where_the_kernel_refuses_programs_sockets_serve_and_the_reason_is_told() -> None:
    """The root of a user namespace may not use BPF, and may have packet sockets."""
    lab = Lab(user_namespace=True)
    try:
        lab.open()
    except LabError as why:
        pytest.skip(str(why))
    with contextlib.closing(lab):
        lab.start_daemon(CONFIG.format(extra=""))
        lab.wait_for(lambda: tiers(lab).get("br-lan") == "packet" and [1], 30.0, "br-lan is watched")
        assert "not permitted" in inspector(lab)["reason"]
        assert line_of(lab, "192.168.1.11", asked(lab, TLS), name=TLS[2])
