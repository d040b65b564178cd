"""Which connections two policies may decide differently: never too few, and with one rule changed only its own."""

from __future__ import annotations

import pytest

from netpolicy.config.load import load_text
from netpolicy.core.pairs import needs_class
from netpolicy.outbounds.lines import line_states
from netpolicy.service.compile import Compiled, compile_policy
from netpolicy.service.difference import MOST, Touched, changed_rules
from netpolicy.service.reuse import with_known_rules
from tests.service.open_flows import AROUND, DIRECT, HEAD, flow, rule, view

MAIL = rule("mail", "+dest_port=25", "route=wan_a")
VIDEO = rule("video", "+dest_port=443", "route=wan_b")
STOP = rule("stop", "+dest_port=443", "block=reject", priority=90)


def policies(before: tuple[str, ...], after: tuple[str, ...], head: str = HEAD, down=((), ())) -> list[Compiled]:
    """Compiled one after the other, as a reload does."""
    made: list[Compiled] = []
    ruleset = None
    for rules, start, lost in ((before, HEAD, down[0]), (after, head, down[1])):
        fresh = load_text(start + "".join(rules)).ruleset
        ruleset = with_known_rules(fresh, ruleset) if ruleset is not None else fresh
        numbers = {name: number for number, name in enumerate(needs_class(ruleset), 1)}
        seen = view(lost)
        made.append(compile_policy(ruleset, "NORMAL", line_states(ruleset.outbounds, seen), seen, numbers,
                                   before=made[-1] if made else None))  # fmt: skip
    return made


def names(before: tuple[str, ...], after: tuple[str, ...], **other) -> list[str] | None:
    found = changed_rules(*policies(before, after, **other))
    return None if found is None else sorted(one.name for one in found)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ((MAIL, VIDEO), (MAIL, VIDEO), []),
        ((MAIL, VIDEO), (MAIL, VIDEO, STOP), ["stop"]),
        ((MAIL, VIDEO, STOP), (MAIL, VIDEO), ["stop"]),
        ((MAIL, VIDEO), (MAIL, VIDEO.replace("wan_b", "wan_a")), ["video", "video"]),
        ((MAIL, VIDEO), (MAIL, VIDEO.replace("443", "8443")), ["video", "video"]),
        ((MAIL, VIDEO), (VIDEO, MAIL), None),  # of one rank: the first in the file wins
    ],
)
def test_the_rules_that_differ_are_told(before, after, changed):
    assert names(before, after) == changed


def test_a_line_that_is_down_changes_the_rules_that_lead_there():
    assert names((MAIL, VIDEO), (MAIL, VIDEO), down=((), ("wanb",))) == ["video"]


@pytest.mark.parametrize(
    "option", ["option default 'wan_a'", "option default 'block'", "option fwmark_mask '0x7e000000'"]
)
def test_what_concerns_everything_leaves_nothing_out(option):
    assert names((MAIL,), (MAIL,), head=HEAD.replace("option enabled '1'", f"option enabled '1'\n\t{option}")) is None
    assert changed_rules(None, policies((), (MAIL,))[1]) is None


def test_of_more_than_a_thousand_none_is_told():
    many = tuple(rule(f"r{number}", f"+dest_port={2000 + number}", "route=wan_a") for number in range(MOST + 1))
    assert names((), many) is None
    assert len(names((), many[:MOST]) or ()) == MOST


@pytest.mark.parametrize(
    ("match", "meets"),
    [
        ("+dest_port=443", True), ("+dest_port=80", False), ("any=1", True), ("+src_iface=lan", True),
        ("+src_iface=wana", False), ("+src_mac=02:00:00:00:00:77", True), ("+dscp=ef", True),
        ("+src_addr=10.0.0.1", False),
    ],
)  # fmt: skip
def test_it_meets_whatever_the_rule_may_match(match, meets):
    """A code point and a MAC address may be any: conntrack does not show them."""
    changed = changed_rules(*policies((), (rule("one", match, "block=drop"),)))
    assert changed is not None
    given = flow(DIRECT)
    assert Touched(changed).may_meet(AROUND.facts(given)) is meets


def test_two_rules_of_one_name_are_two():
    changed = changed_rules(*policies((VIDEO,), (VIDEO.replace("443", "8443"),)))
    assert changed is not None
    touched = Touched(changed)
    assert [touched.may_meet(AROUND.facts(flow(DIRECT, port))) for port in (443, 8443, 80)] == [True, True, False]
