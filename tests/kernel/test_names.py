"""A client asks for a name, and its connection goes by the line of the rule for that name: with dnsmasq and without.

One lab and one daemon for all tests, because a start takes a second. Each makes sure of what it needs of the others.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from netpolicy.core.dns_guard import CANARY
from netpolicy.lab.bench import Lab
from netpolicy.lab.keeper import CONFIG, STATE, STORE
from tests.flows.ebpf.conftest import refusal
from tests.kernel.guarded import GUARD
from tests.kernel.steering import A4, B4, LINES, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

NAMES = (
    rule("not_me", "+domain=*.calls.example.net", "route=wan_b", priority=95)
    + rule("video", "+domain=video.example.net", "+proto=udp", "route=wan_b", priority=90)
    + rule("never", "+domain==example.net", "block=reject", priority=80)
    + rule(
        "later", "+domain=news.example.net", "+domain=!video.example.net", "route=wan_b", "on_fail=block", priority=10
    )
)
VIDEO, NEWS, CALLS = "192.0.2.20", "192.0.2.11", "192.0.2.30"
NEWS6 = "2001:db8:1::11"
ROUTER = "192.168.1.1"

LOADED = "/run/dnsmasq.loaded"  # our file as the one that runs has read it

# As OpenWrt has it: a script that restarts, a file that names a folder in memory. It ends when dnsmasq answers.
SCRIPT = """#!/bin/sh
kill $(cat /run/dnsmasq.pid 2>/dev/null) 2>/dev/null
while kill -0 $(cat /run/dnsmasq.pid 2>/dev/null) 2>/dev/null; do sleep 0.01; done
cat /run/dnsmasq.d/netpolicy.conf >/run/dnsmasq.reads 2>/dev/null
# It takes that file away before it gives its port back.
left=50
until dnsmasq -C /run/dnsmasq.conf -x /run/dnsmasq.pid; do
	[ $((left -= 1)) -gt 0 ] || exit 1
	sleep 0.1
done 2>/run/dnsmasq.said
mv /run/dnsmasq.reads /run/dnsmasq.loaded
"""
CONF = f"""user=root
no-hosts
no-resolv
server=192.0.2.53
listen-address={ROUTER}
bind-interfaces
conf-dir=/run/dnsmasq.d
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if why := refusal():
        pytest.skip(why)
    with Lab() as found:
        found.start_daemon(LINES + NAMES)
        found.wait_for(lambda: found.call("status")["inspector"]["devices"], 30.0, "devices that are watched")
        yield found
        found.run("router", ["sh", "-c", "kill $(cat /run/dnsmasq.pid) 2>/dev/null"])


def told(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = lab.call("status")["inspector"]["names"]
    return found


def asked(lab: Lab, name: str, wanted: str, **more: str) -> None:
    assert lab.dns("desk", name, **more)["addresses"] == [wanted]


def came_by(lab: Lab, address: str) -> str:
    return str(lab.udp("desk", address, 7)["seen"])


def learn_video(lab: Lab) -> None:
    asked(lab, "video.example.net", VIDEO)
    lab.wait_for(lambda: told(lab)["addresses"], 30.0, "an address in a set")


def have_dnsmasq(lab: Lab) -> None:
    """It answers for the router; the daemon knows of it, inspects nothing, and its predecessor learned an address."""
    if lab.file("/run/restart").exists():
        return
    learn_video(lab)
    lab.file("/run/dnsmasq.conf").write_text(CONF)
    lab.file("/run/restart").write_text(SCRIPT)
    place = "mkdir -p /run/e /run/dnsmasq.d && cp -a /etc/. /run/e/ && mount --bind /run/e /etc"
    script = "touch /etc/rc.common && cp /run/restart /etc/init.d/dnsmasq && chmod 755 /etc/init.d/dnsmasq"
    subprocess.run(lab.inside(["sh", "-c", f"{place} && {script}"]), check=True)
    lab.run("router", ["/etc/init.d/dnsmasq"], check=True)
    assert lab.stop_daemon() == 0
    lab.start_daemon(LINES.replace("'direct'\n", "'direct'\n\tlist inspect 'none'\n", 1) + NAMES)
    lab.wait_for(lambda: told(lab)["dnsmasq"]["reason"] == "", 30.0, "dnsmasq has our file")


def test_a_name_that_a_client_was_told_leads_its_connections(lab: Lab) -> None:
    assert came_by(lab, VIDEO) == A4
    asked(lab, "calls.example.net", CALLS)
    learn_video(lab)
    answer = lab.udp("desk", VIDEO, 7)
    assert answer["seen"] == B4
    lab.wait_for(lambda: [one for one in lab.call("connections", {"limit": 50})["connections"]
                          if one["src_port"] == answer["local_port"] and one["rule"] == "video" and one["agrees"]],
                 what="the rule of the connection")  # fmt: skip
    assert lab.tcp("desk", VIDEO, 7)["seen"] == A4  # the rule is for UDP
    assert came_by(lab, CALLS) == A4  # what is under it is meant, not the name
    assert lab.call("plan")["changes"] == []
    assert lab.call("status")["kernel"]["revision"] == 1


def test_what_was_learned_outlives_a_reload_and_a_restart(lab: Lab) -> None:
    learn_video(lab)
    lab.write_config(LINES + NAMES + rule("more", "+dest_port=9", "route=wan_b"))
    assert lab.call("reload") == {"ok": True, "error": None}
    assert came_by(lab, VIDEO) == B4
    assert lab.daemon is not None
    lab.daemon.send_signal(signal.SIGKILL)
    lab.daemon.wait()
    assert came_by(lab, VIDEO) == B4
    lab.start_daemon(LINES + NAMES)
    assert came_by(lab, VIDEO) == B4
    lab.wait_for(lambda: told(lab)["addresses"] == 1, 30.0, "the address read again")


@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="there is no dnsmasq")
def test_dnsmasq_tells_the_first_connection_already(lab: Lab) -> None:
    have_dnsmasq(lab)
    assert came_by(lab, VIDEO) == B4  # of an earlier daemon of this boot
    assert came_by(lab, NEWS) == A4
    asked(lab, "news.example.net", NEWS, address=ROUTER)
    assert came_by(lab, NEWS) == B4
    restarts = told(lab)["dnsmasq"]["restarts"]
    lab.write_config(LINES + NAMES + rule("more", "+dest_port=9", "route=wan_b"))
    assert lab.call("reload") == {"ok": True, "error": None}
    assert (told(lab)["dnsmasq"]["restarts"], came_by(lab, NEWS)) == (restarts, B4)
    # A list of a blocker of advertisements beside ours: what it denies has no address, and the rest is learned.
    denied = lab.file("/run/dnsmasq.d/adb_list.overall")
    denied.write_text("local=/news.example.net/\nlocal=/ads.example.net/\n")
    lab.run("router", ["/etc/init.d/dnsmasq"], check=True)
    assert lab.dns("desk", "news.example.net", address=ROUTER)["addresses"] == []
    asked(lab, "video.example.net", VIDEO, address=ROUTER)
    assert (told(lab)["dnsmasq"]["reason"], came_by(lab, VIDEO)) == ("", B4)


def test_what_clients_ask_elsewhere_in_secret_is_told_and_refused_by_one_option(lab: Lab) -> None:
    learn_video(lab)
    lab.tcp("desk", "192.0.2.9", 853)
    found = lab.wait_for(lambda: lab.call("status")["inspector"]["bypasses"], 30.0, "a bypass")
    assert found[0]["by"] == "tls" and found[0]["server"] == "192.0.2.9"
    lab.write_config(LINES.replace("'direct'\n", "'direct'\n\toption dns_guard '1'\n", 1) + NAMES)
    assert lab.call("reload") == {"ok": True, "error": None}
    decided = lab.call("decide", {"facts": {"proto": "tcp", "port": "853", "dest_addr": "192.0.2.9"}})
    assert decided["rule"] == "dns_guard.tls"
    lab.tcp("desk", "192.0.2.9", 853)
    hits = lab.run("router", ["nft", "list", "set", "inet", "netpolicy", "hits_a"]).stdout
    (line,) = [one for one in hits.replace(",", "\n").splitlines() if "dns_guard.tls" in one]
    assert "packets 0 " not in line
    assert lab.udp("desk", VIDEO, 7)["seen"] == B4
    if lab.file("/run/restart").exists():
        lab.wait_for(lambda: CANARY in lab.file(LOADED).read_text(), 30.0, "dnsmasq denies the name that browsers ask")


@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="there is no dnsmasq")
def test_at_a_boot_a_sealed_name_is_closed_from_the_first_answer_of_dnsmasq_on(lab: Lab) -> None:
    """The power fails: the daemon, dnsmasq, and what is in RAM and in the kernel go. Main leads by line A."""
    have_dnsmasq(lab)
    lab.write_config(LINES + NAMES + rule("further", "+dest_port=10", "route=wan_b"))
    assert lab.call("reload") == {"ok": True, "error": None}
    current = lab.file(STORE / "generations/current").read_text().strip()
    lock = lab.file(STORE / f"generations/{current}/lock")
    assert (lock / "dnsmasq.conf").exists()
    wanted = (lock / "dnsmasq.conf").read_text()
    lab.wait_for(lambda: lab.file(LOADED).read_text() == wanted, 30.0, f"dnsmasq is back with this file: {wanted}")
    # Nobody has asked for it: its address was never learned, or is another one by now.
    (lock / "addresses.nft").write_text("")
    lose_power(lab)
    done = lab.run("router", ["sh", GUARD, "--store", STORE, "--run", STATE, "--config", CONFIG, "lock"])
    assert done.returncode == 0, done.stderr
    assert came_by(lab, NEWS) == A4  # a client that kept an answer from before: nobody here knows of it
    lab.run("router", ["/etc/init.d/dnsmasq"], check=True)
    asked(lab, "news.example.net", NEWS, address=ROUTER)
    assert not lab.udp("desk", NEWS, 7, timeout=0.5).get("seen")
    assert lab.dns("desk", "news.example.net", kind="AAAA", address=ROUTER)["addresses"] == [NEWS6]
    assert not lab.udp("desk", NEWS6, 7, timeout=0.5).get("seen")
    lab.start_daemon(LINES + NAMES + rule("further", "+dest_port=10", "route=wan_b"))
    assert (came_by(lab, NEWS), told(lab)["dnsmasq"]["restarts"]) == (B4, 0)  # it goes on with what dnsmasq has read


def lose_power(lab: Lab) -> None:
    assert lab.daemon is not None
    lab.daemon.send_signal(signal.SIGKILL)
    lab.daemon.wait()
    forget = ["kill $(cat /run/dnsmasq.pid)", f"rm -r {STATE} /run/dnsmasq.d", "nft delete table inet netpolicy"]
    forget += [f"ip {family} {what} protocol 78" for family in ("-4", "-6")
               for what in ("rule flush", "route flush table all")]  # fmt: skip
    for command in forget:
        lab.run("router", ["sh", "-c", command], check=True)


def test_nothing_is_left_of_it_when_the_daemon_stops(lab: Lab) -> None:
    lab.file("/run/dnsmasq.d").mkdir(parents=True, exist_ok=True)
    if shutil.which("dnsmasq"):
        have_dnsmasq(lab)
    lab.file("/run/dnsmasq.d/adb_list.overall").write_text("# theirs\n")
    assert lab.stop_daemon() == 0
    assert [one.name for one in lab.file("/run/dnsmasq.d").iterdir()] == ["adb_list.overall"]
    assert "netpolicy" not in lab.run("router", ["nft", "list", "ruleset"]).stdout
    if shutil.which("dnsmasq"):
        asked(lab, "video.example.net", VIDEO, address=ROUTER)
