"""Rules that are well formed and still suspicious; more in test_load.py."""

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.lint import never_matches
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule

VALUES = {
    "proto": ["tcp", "icmp", "!tcp", "!icmp", "gre"],
    "dest_port": ["1-3", "!2", "2"],
    "src_addr": ["192.0.2.0/24", "!192.0.2.0/25", "2001:db8::/32"],
    "family": ["ipv4", "ipv6", "!ipv4"],
}
FACTS = {
    "proto": [1, 6, 17, 47],
    "dest_port": [None, 1, 2, 9],
    "src_addr": [(4, 0xC0000201), (4, 0xC0000281), (6, 0x20010DB8 << 96)],
    "family": [4, 6],
}


@st.composite
def rules(draw) -> Rule:
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, min_size=1))
    fields = [parse_field(n, tuple(draw(st.lists(st.sampled_from(VALUES[n]), min_size=1, max_size=2)))) for n in names]
    return Rule("r", 0, tuple(fields), Action("block", "drop"))


@given(rules())
def test_a_rule_that_is_called_dead_matches_no_connection_that_can_exist(rule):
    if not never_matches(rule):
        return
    for proto in FACTS["proto"]:
        for port in FACTS["dest_port"] if proto in (6, 17) else [None]:
            for address in FACTS["src_addr"]:
                facts = {"proto": proto, "dest_port": port, "src_addr": address, "family": address[0]}
                assert not all(field.matches(facts[field.name]) for field in rule.fields)
