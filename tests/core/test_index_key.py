"""The field that a rule hangs under is the one that fewest packets have."""

import pytest

from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Field
from netpolicy.core.index_key import NOT_A_KEY, Popularity, key_text, price_of
from netpolicy.core.model import Action, Rule


def fields(**values: str) -> tuple[Field, ...]:
    parsed = tuple(parse_field(name, tuple(text.split(" "))) for name, text in values.items())
    return Rule("r", 0, parsed, Action("block", "drop")).fields


def key(asked: tuple[Field, ...], *others: tuple[Field, ...]) -> str:
    """The name of the field that the first rule hangs under, beside others."""
    popularity = Popularity()
    for rule in (asked, *others):
        for field in rule:
            popularity.note(field)
    found = popularity.key_of(asked)
    return "" if found is None else found.name


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (fields(domain="example.com", proto="tcp", dest_port="443"), "domain"),
        (fields(sni="*.example.com", dest_port="443"), "sni"),
        (fields(dest_addr="192.0.2.0/24", proto="tcp"), "dest_addr"),
        (fields(dest_addr="0.0.0.0/1", dest_port="443"), "dest_port"),
        (fields(src_addr="192.168.1.7", dest_port="443"), "src_addr"),
        (fields(src_mac="02:00:00:00:00:01", dest_port="443"), "src_mac"),
        (fields(proto="tcp", dest_port="443"), "dest_port"),
        (fields(proto="tcp", dest_port="1-65535"), "dest_port"),
        (fields(proto="tcp", family="ipv4"), "proto"),
        (fields(latency_ms=">5", proto="tcp"), "latency_ms"),
        (fields(domain="keyword:track", dest_port="443"), "domain"),
        (fields(domain="!example.com", proto="tcp"), "proto"),
        (fields(domain="regex:[0-9]", schedule="night"), ""),
        (fields(sni="*"), ""),
        (fields(), ""),
    ],
)
def test_the_rarest_field_is_the_key(asked: tuple[Field, ...], name: str) -> None:
    assert key(asked) == name


def test_what_many_rules_ask_is_no_key_beside_what_one_asks() -> None:
    common = [fields(domain="example.com", src_mac=f"02:00:00:00:00:{number:02x}") for number in range(100)]
    assert key(common[0], *common[1:]) == "src_mac"
    assert key(common[0]) == "domain"


def test_a_field_that_nothing_can_satisfy_is_priced_all_the_same() -> None:
    assert price_of(parse_field("proto", ("tcp", "!tcp"))) != NOT_A_KEY


def test_comparators_are_told_apart_by_their_bounds() -> None:
    assert key_text(parse_field("loss", (">1%",))) != key_text(parse_field("loss", (">=1%",)))
    assert key_text(parse_field("loss", (">1%",))) != key_text(parse_field("loss", (">2%",)))
    assert key_text(parse_field("loss", (">1%",))) == key_text(parse_field("loss", (">0.01",)))
