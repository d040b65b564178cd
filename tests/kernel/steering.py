"""What the traffic tests share: a configuration to start from, and the router's foreign state as text."""

from __future__ import annotations

import re

from netpolicy.lab.bench import Lab

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"

SERVER4, SERVER6 = "192.0.2.99", "2001:db8:1::99"
SERVERS = ((SERVER4, A4, B4), (SERVER6, A6, B6))

LINES = """
config netpolicy 'main'
	option enabled '1'
	option default 'direct'

config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '203.0.113.1'
	option gateway6 '2001:db8:a::1'
	option masq '1'
	option ipv6_source 'masq'

config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
	option masq '1'
	option ipv6_source 'masq'
"""


def rule(name: str, *options: str, priority: int = 50) -> str:
    """A rule section: options as `route=wan_b`, lists as `+dest_port=443`."""
    lines = [f"\nconfig rule '{name}'", f"\toption priority '{priority}'"]
    for option in options:
        key, _, value = option.partition("=")
        word = "list" if key.startswith("+") else "option"
        lines.append(f"\t{word} {key.lstrip('+')} '{value}'")
    return "\n".join(lines) + "\n"


def throttle(up: str, down: str, *options: str) -> str:
    """The profile "slow"."""
    lines = ["\nconfig throttle 'slow'", f"\toption up '{up}'", f"\toption down '{down}'"]
    return "\n".join([*lines, *(f"\toption {key} '{value}'" for key, _, value in map(_parted, options))]) + "\n"


def _parted(option: str) -> tuple[str, str, str]:
    return option.partition("=")


def reload(lab: Lab, config: str) -> dict:
    """Puts a configuration in force."""
    lab.write_config(config)
    answer = lab.call("reload")
    assert answer == {"ok": True, "error": None}, answer
    return lab.call("status")


def foreign(lab: Lab) -> str:
    """Everything in the router's kernel that is not ours, as the tools print it (counters and handles left out)."""
    parts = []
    for family in ("-4", "-6"):
        rules = lab.run("router", ["ip", family, "rule"]).stdout
        routes = lab.run("router", ["ip", family, "route", "show", "table", "all"]).stdout
        parts += [line for line in (rules + routes).splitlines() if "proto 78" not in line]
    listing = lab.run("router", ["nft", "list", "ruleset"]).stdout
    parts.append(re.sub(r"(?ms)^table inet netpolicy \{.*?^\}\n", "", listing))
    parts.append(lab.run("router", ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]).stdout)
    return re.sub(r"expires \w+|packets \d+ bytes \d+", "", "\n".join(parts))


def ours(lab: Lab) -> str:
    """Everything in the router's kernel that is ours."""
    found = lab.run("router", ["nft", "list", "table", "inet", "netpolicy"]).stdout
    for family in ("-4", "-6"):
        for words in (["rule"], ["route", "show", "table", "all"]):
            lines = lab.run("router", ["ip", family, *words]).stdout.splitlines(keepends=True)
            found += "".join(line for line in lines if "proto 78" in line)
    return found
