"""What a single value may be."""

import pytest

from netpolicy.config import value
from netpolicy.core.value import ValueProblem


@pytest.mark.parametrize("word", ["1", "yes", "on", "true", "enabled"])
def test_openwrts_words_for_yes(word):
    assert value.boolean(word) is True


@pytest.mark.parametrize("word", ["0", "no", "off", "false", "disabled"])
def test_openwrts_words_for_no(word):
    assert value.boolean(word) is False


REFUSED = {
    "a truth value in capitals": (value.boolean, "YES"),
    "a hexadecimal number": (value.number(0, 100), "0x10"),
    "a number with blanks": (value.number(0, 100), " 1"),
    "digits that are not ASCII": (value.number(0, 100), "１"),
    "a number above the limit": (value.number(0, 100), "101"),
    "a mask with three bits": (value.mask, "0x7"),
    "a mask of 33 bits": (value.mask, "0x1ffffffff"),
    "the local table": (value.table, "255"),
    "a name with a dash": (value.name, "a-b"),
    "an empty name": (value.name, ""),
    "an outbound with a blank": (value.target, "a b"),
    "a title with a line end": (value.title, "a\nb"),
    "a title of 129 characters": (value.title, "a" * 129),
    "an IPv6 address as IPv4 gateway": (value.gateway4, "::1"),
    "an IPv4 address as IPv6 gateway": (value.gateway6, "192.0.2.1"),
    "an address as prefix": (value.prefix6, "2001:db8::1"),
    "an unknown state": (value.state, "GOOD"),
    "an unknown way to block": (value.block, "tarpit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    read, raw = REFUSED[case]
    with pytest.raises(ValueProblem):
        read(raw)


def test_states_in_any_case():
    assert value.state(" Failover ") == "FAILOVER"
