"""One outbound of one section; the mistakes are in test_load.py."""

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.outbound import read_outbound
from netpolicy.config.source import Option, Section


def test_everything_that_an_interface_can_say():
    texts = {
        "type": "interface", "name": "The line", "interface": "wan", "gateway": "192.0.2.1", "gateway6": "fe80::1",
        "masq": "1", "ipv6_source": "prefix", "ipv6_prefix": "2001:db8:2::/56",
    }  # fmt: skip
    options = tuple(Option(name, (text,), False) for name, text in texts.items())
    found = read_outbound(Section("outbound", "w", False, 4, options), "f", Findings())
    assert found is not None
    assert (found.name, found.title, found.masq, found.position) == ("w", "The line", True, "f:4")
    for name in ("type", "interface", "gateway", "gateway6", "ipv6_source", "ipv6_prefix"):
        assert getattr(found, name) == texts[name]


EMPTY = {
    "no type": {"type": ""},
    "no prefix": {"type": "interface", "interface": "wan", "ipv6_source": "prefix", "ipv6_prefix": ""},
}


@pytest.mark.parametrize("case", EMPTY)
def test_what_is_written_without_a_value_is_as_absent_as_in_uci(case):
    options = tuple(Option(name, (text,), False) for name, text in EMPTY[case].items())
    findings = Findings()
    assert read_outbound(Section("outbound", "w", False, 4, options), "f", findings) is None
    assert findings.has_errors
