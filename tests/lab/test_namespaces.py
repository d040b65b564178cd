"""Switches are written in the node they are meant for, and only those that exist."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netpolicy.lab import starter
from netpolicy.lab.bench import Lab

pytestmark = pytest.mark.kernel


def in_lab(lab: Lab, code: str) -> str:
    done = subprocess.run(
        lab.inside([sys.executable, "-c", "from netpolicy.lab import namespaces\n" + code]),
        env=starter.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_switch_reaches_one_node_only(lab: Lab) -> None:
    in_lab(lab, "namespaces.set_switches('desk', {'net/ipv4/ip_default_ttl': '77'})")
    assert [
        lab.run(node, ["sysctl", "-n", "net.ipv4.ip_default_ttl"]).stdout.strip() for node in ("desk", "laptop")
    ] == ["77", "64"]


def test_a_switch_the_kernel_does_not_have_is_skipped(lab: Lab) -> None:
    assert in_lab(lab, "namespaces.set_switches('desk', {'net/nowhere/at_all': '1'}); print('fine')") == "fine\n"


def test_after_a_visit_the_process_is_where_it_was(lab: Lab) -> None:
    code = (
        "import os\nbefore = os.readlink('/proc/self/ns/net')\n"
        "with namespaces.inside('desk'):\n    there = os.readlink('/proc/self/ns/net')\n"
        "print(before == os.readlink('/proc/self/ns/net'), before == there)"
    )
    assert in_lab(lab, code) == "True False\n"


def test_the_router_forwards_and_counts_and_clients_do_not_forward(lab: Lab) -> None:
    names = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.netfilter.nf_conntrack_acct"]
    assert lab.run("router", ["sysctl", "-n", *names]).stdout.split() == ["1", "1", "1"]
    assert lab.run("desk", ["sysctl", "-n", *names[:2]]).stdout.split() == ["0", "0"]
