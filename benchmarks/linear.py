"""The shape of today's peers: one nft rule per policy, with a conntrack mark that is restored.

Written by the benchmark itself, as a yardstick for the product's own table. Every policy is
a rule of one chain, tried in rank order. Handles exactly the fields of path_rules.
"""

from __future__ import annotations

from netpolicy.core.model import Rule, Ruleset

DONE, CLASS_MASK = 0x40000000, 0x37000000
MARKS = {"wan_a": 0x01000000, "wan_b": 0x02000000}

# What the marks lead to: as many tables and rules as the product has for two lines.
ROUTING = """
route add default via 192.0.2.1 dev wana table 7001
route add default via 198.51.100.1 dev wanb table 7002
rule add priority 7001 fwmark 0x01000000/0x37000000 lookup 7001
rule add priority 7002 fwmark 0x02000000/0x37000000 lookup 7002
"""


def table(ruleset: Ruleset) -> str:
    """The whole table as nft text."""
    policies = "\n".join(f"\t\t{_match(rule)} goto use_{rule.action.target}" for rule in ruleset.ranked)
    users = "\n".join(
        f"\tchain use_{name} {{ ct mark set {mark | DONE:#x}; meta mark set {mark:#x}; accept; }}"
        for name, mark in MARKS.items()
    )
    return f"""
table inet linear {{
{users}
	chain pre {{ type filter hook prerouting priority mangle + 1; policy accept;
		iifname != "lan" accept
		ct mark & {DONE:#x} != 0 meta mark set ct mark & {CLASS_MASK:#x} accept
{policies}
		ct mark set {DONE:#x}
	}}
}}
"""


def _match(rule: Rule) -> str:
    return " ".join(WORDS[field.name].format(_values(field.values)) for field in rule.fields)


WORDS = {
    "src_addr": "ip saddr {}",
    "dest_addr": "ip daddr {}",
    "proto": "meta l4proto {}",
    "dest_port": "th dport {}",
}


def _values(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"
