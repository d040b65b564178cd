"""Which open connections an apply concerns, case by case, and that it concerns no others."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.limits import Limit
from netpolicy.dataplane.policy import Entry, Line, Policy, Share
from netpolicy.dataplane.record import replace
from netpolicy.service.affected import Affected, can_affect, ended_limits, moved_classes
from tests.router import rule as parsed
from tests.service.open_flows import (
    AROUND,
    DIRECT,
    HEAD,
    MAC,
    REJECT,
    UNDECIDED,
    WAN_A,
    WAN_B,
    compiled,
    flow,
    rule,
)

VIDEO = rule("video", "+dest_port=443", "route=wan_b")
VIDEO_BY_A = rule("video", "+dest_port=443", "route=wan_a")
SWITCH_B = rule("video", "+dest_port=443", "switch_route=wan_b")
SWITCH_A = rule("video", "+dest_port=443", "switch_route=wan_a")
BLOCK = rule("stop", "+dest_port=443", "block=reject", priority=90)
BALANCE = """
config outbound 'both'
	option type 'group'
	option strategy 'balance'
	list member 'wan_a'
	list member 'wan_b'
"""
CLOSED_DEFAULT = HEAD.replace("option enabled '1'", "option enabled '1'\n\toption default 'block'")


def number(before, after, given, around=AROUND) -> int | None:
    """The class that the flow gets when it is decided again; None where it stays."""
    fate = Affected(before, after).fate(given, around.facts(given))
    return fate.number if fate is not None else None


@pytest.mark.parametrize(
    ("before", "after", "mark", "expected"),
    [
        # A plain route is for new connections.
        ((VIDEO,), (VIDEO_BY_A,), WAN_B, None),
        ((), (VIDEO,), DIRECT, None),
        ((VIDEO,), (), WAN_B, None),
        # switch_route: new, changed, gone, made of a plain one, made a plain one.
        ((), (SWITCH_B,), DIRECT, 2),
        ((VIDEO_BY_A,), (SWITCH_B,), WAN_A, 2),
        ((VIDEO,), (SWITCH_B,), WAN_A, 2),  # older than both: now it is moved
        ((VIDEO,), (SWITCH_B,), WAN_B, None),  # there already
        ((SWITCH_B,), (SWITCH_A,), WAN_B, 1),
        ((SWITCH_B,), (SWITCH_B,), WAN_A, None),  # unchanged: it was left where it is before
        ((SWITCH_B,), (), WAN_B, 0),
        ((SWITCH_B,), (VIDEO_BY_A,), WAN_B, 1),
        ((SWITCH_B,), (), WAN_A, None),  # not by that rule
        # A block bites.
        ((VIDEO,), (VIDEO, BLOCK), WAN_B, 30),
        ((VIDEO,), (BLOCK,), DIRECT, 30),
        ((VIDEO, BLOCK), (VIDEO, BLOCK), WAN_B, None),  # it was spared when the block came
        ((VIDEO, BLOCK), (VIDEO,), REJECT, None),
        ((VIDEO, BLOCK), (VIDEO, BLOCK.replace("reject", "drop")), REJECT, None),
        # A plain rule that stood above a block goes: now the block decides.
        ((rule("above", "any=1", "route=wan_a", priority=99), BLOCK), (BLOCK,), WAN_A, 30),
    ],
)
def test_what_a_change_of_rules_means_for_a_connection_to_port_443(before, after, mark, expected):
    old, new = compiled(*before), compiled(*after)
    assert number(old, new, flow(mark)) == expected
    assert number(old, new, flow(mark, port=80)) is None or "any=1" in "".join(before)
    if expected is not None:
        assert can_affect(old.policy, new.policy)


MORE = """
config outbound 'wan_c'
	option type 'interface'
	option interface 'wanc'
"""


@pytest.mark.parametrize(("action", "expected"), [("switch_route", "share"), ("route", None)])
def test_a_line_that_leaves_a_balance_loses_the_connections_that_are_to_switch_and_no_others(action, expected):
    spread = rule("video", "+dest_port=443", f"{action}=both")
    three = BALANCE + "\tlist member 'wan_c'\n"
    old, new = (compiled(spread, head=HEAD + MORE + group) for group in (three, BALANCE))
    (share,) = new.policy.shares
    assert number(old, new, flow(0x43000000)) == (share.number if expected else None)
    for mark in (WAN_A, WAN_B, DIRECT):  # there already; older than the rule
        assert number(old, new, flow(mark)) is None
    assert number(old, new, flow(0x43000000, port=80)) is None
    assert number(new, old, flow(WAN_A)) is None


def test_a_default_that_becomes_block_cuts_what_no_rule_names():
    old, new = compiled(VIDEO), compiled(VIDEO, head=CLOSED_DEFAULT)
    assert number(old, new, flow(DIRECT, port=80)) == 30
    assert number(old, new, flow(WAN_B)) is None
    assert number(old, new, flow(DIRECT, source="192.0.2.2", port=80)) is None  # the router's own


def test_a_line_that_goes_down_cuts_what_its_rule_says_must_not_leak():
    kill_switch = rule("video", "+dest_port=443", "route=wan_b", "on_fail=block")
    old, new = compiled(kill_switch), compiled(kill_switch, down=("wanb",))
    assert number(old, new, flow(DIRECT)) == 30  # older than the rule, and it would go on in the open
    assert number(old, new, flow(DIRECT, port=80)) is None
    assert number(new, old, flow(WAN_B)) is None


@pytest.mark.parametrize(("mark", "expected"), [(WAN_B, 30), (DIRECT, 30), (UNDECIDED, 30), (REJECT, None)])
def test_at_first_a_block_cuts_whatever_it_names(mark, expected):
    """Nothing is known of what was in force before: the safe side."""
    assert number(None, compiled(BLOCK), flow(mark)) == expected
    assert number(None, compiled(BLOCK), flow(mark, port=80)) is None


def test_at_first_what_is_sealed_is_taken_off_the_ordinary_routes_and_off_nothing_else():
    """It may have begun while our table was away."""
    for action in ("route=wan_b", "route=both"):
        sealed = compiled(rule("video", "+dest_port=443", action, "on_fail=block"), head=HEAD + BALANCE)
        assert number(None, sealed, flow(DIRECT)) is not None
        assert number(None, sealed, flow(DIRECT, port=80)) is None
        assert number(None, sealed, flow(UNDECIDED)) is None  # forgotten already
        assert number(sealed, sealed, flow(DIRECT)) is None
        assert can_affect(None, sealed.policy)
    alone = compiled(rule("video", "+dest_port=443", "route=wan_b", "on_fail=block"))
    assert number(None, alone, flow(WAN_A)) is None
    assert number(None, compiled(VIDEO), flow(DIRECT)) is None


def test_a_connection_older_than_our_table_is_cut_but_never_moved():
    assert number(compiled(), compiled(SWITCH_B), flow(UNDECIDED)) is None
    assert number(compiled(), compiled(BLOCK), flow(UNDECIDED)) == 30


def test_what_others_have_marked_is_none_of_ours():
    old, new = compiled(), compiled(rule("stop", "+dest_port=443", "+src_iface=lo", "block=reject"))
    assert number(old, new, flow(UNDECIDED, source="192.0.2.2")) is None  # a socket with a mark of its own
    assert number(old, new, flow(DIRECT, source="192.0.2.2")) == 30
    assert number(old, new, flow(0x77000000, source="192.0.2.2")) is None  # bypass
    foreign = compiled(BLOCK)
    foreign.policy.skip_marks = (1,)
    assert number(old, foreign, flow(UNDECIDED)) is None


@pytest.mark.parametrize("state", ["TIME_WAIT", "CLOSE"])
def test_what_has_ended_stays(state):
    assert number(compiled(), compiled(BLOCK), flow(WAN_B, state=state)) is None


def test_what_came_in_by_a_line_is_moved_by_nothing_and_cut_only_by_a_rule_for_that_device():
    inside = flow(WAN_B, source="203.0.113.9", destination="192.168.1.9")  # routed in: no address says by which line
    assert number(compiled(), compiled(rule("s", "any=1", "switch_route=wan_a")), inside) is None
    assert number(compiled(), compiled(BLOCK), inside) is None
    assert number(compiled(), compiled(rule("in", "+src_iface=wanb", "block=drop")), inside) == 29
    assert number(compiled(), compiled(rule("in", "+src_iface=wana", "block=drop")), inside) is None
    nobody_knows = flow(DIRECT, source="203.0.113.9", destination="192.168.1.9")
    assert number(compiled(), compiled(rule("in", "any=1", "block=drop")), nobody_knows) is None


KID = rule("kid", f"+src_mac={MAC}", "block=drop", priority=60)
KID_MOVES = rule("kid", f"+src_mac={MAC}", "switch_route=wan_a", priority=60)


@pytest.mark.parametrize(
    ("before", "after", "source", "expected"),
    [
        ((VIDEO,), (VIDEO, KID), "192.168.1.9", 29),
        ((VIDEO,), (VIDEO, KID), "192.168.1.77", 29),  # may be the kid: the kernel looks once more
        ((VIDEO, KID), (VIDEO, KID), "192.168.1.77", None),
        ((VIDEO,), (VIDEO, KID_MOVES), "192.168.1.9", 1),
        ((VIDEO,), (VIDEO, KID_MOVES), "192.168.1.77", None),  # not on a guess
        ((VIDEO, KID_MOVES), (VIDEO,), "192.168.1.77", None),
    ],
)
def test_without_its_mac_a_connection_is_cut_in_doubt_and_never_moved(before, after, source, expected):
    assert number(compiled(*before), compiled(*after), flow(WAN_B, source=source)) == expected


PLAIN_A = VIDEO_BY_A
STOP = BLOCK.replace("reject", "drop")
KID_STOPS = rule("kid", f"+src_mac={MAC}", "block=drop", priority=60)


@pytest.mark.parametrize(
    ("chain", "mark", "expected"),
    [
        # What the first change was about is not forgotten when a second one comes.
        (((), (SWITCH_B,), (SWITCH_B, rule("mail", "+dest_port=25", "route=wan_a"))), DIRECT, 2),
        (((VIDEO,), (VIDEO, BLOCK), (BLOCK,)), WAN_B, 30),
        (((VIDEO,), (VIDEO, BLOCK), (STOP,)), WAN_B, 29),
        # There and back again: nothing to do, for one that was not moved; one that was goes back.
        (((PLAIN_A,), (SWITCH_B,), (PLAIN_A,)), WAN_A, None),
        (((PLAIN_A,), (SWITCH_B,), (PLAIN_A,)), WAN_B, 1),
        # By the rules in the middle, which are gone too.
        (((), (SWITCH_B,), ()), WAN_B, 0),
        (((), (SWITCH_B,), ()), DIRECT, None),
        (((), (SWITCH_B,), (PLAIN_A,)), DIRECT, 1),
        # A plain route in between is for what begins meanwhile.
        (((SWITCH_B,), (PLAIN_A,), (VIDEO,)), WAN_B, None),  # moved away and back
        (((SWITCH_B,), (PLAIN_A,), ()), WAN_B, 1),
        (((), (PLAIN_A,), (VIDEO,)), DIRECT, None),
        # A block that came and went has cut whom it met by then, and nobody else.
        (((VIDEO,), (BLOCK,), (VIDEO,)), WAN_B, None),
        (((PLAIN_A,), (BLOCK,), (VIDEO,)), WAN_A, None),
        (((VIDEO,), (BLOCK,), (SWITCH_A,)), WAN_B, 1),
        (((VIDEO,), (BLOCK,), (VIDEO,)), REJECT, None),
        # Nothing known before the first.
        ((None, (VIDEO,), (VIDEO, BLOCK)), WAN_B, 30),
        ((None, (BLOCK,), (VIDEO,)), WAN_B, None),
        ((None, (BLOCK,), (VIDEO, BLOCK)), DIRECT, 30),
    ],
)
def test_a_second_change_before_all_connections_saw_the_first(chain, mark, expected):
    policies = [compiled(*rules) if rules is not None else None for rules in chain]
    for port, wanted in ((443, expected), (80, None)):
        given = flow(mark, port=port)
        fate = Affected(*policies).fate(given, AROUND.facts(given))
        assert (fate.number if fate is not None else None) == wanted


def test_a_doubt_of_the_first_change_stays_one_in_the_second():
    policies = [
        compiled(VIDEO),
        compiled(VIDEO, KID_STOPS),
        compiled(VIDEO, KID_STOPS, rule("x", "any=1", "route=wan_a")),
    ]
    unknown = flow(WAN_B, source="192.168.1.77")
    fate = Affected(*policies).fate(unknown, AROUND.facts(unknown))
    assert fate is not None and fate.number == 29
    gone = Affected(*policies[:2], policies[0]).fate(unknown, AROUND.facts(unknown))
    assert gone is None


def test_only_rules_for_source_ports_and_those_that_spare_a_tunnel_ask_for_them():
    assert Affected(compiled(VIDEO), compiled(rule("game", "+src_port=3074", "block=drop"))).asks_source_port
    assert not Affected(None, compiled(VIDEO)).asks_source_port
    assert Affected(None, compiled(VIDEO, ports={"wanb": 51821})).asks_source_port


def test_a_change_of_plain_routes_need_not_look_at_connections_at_all():
    assert not can_affect(compiled(VIDEO).policy, compiled(VIDEO_BY_A).policy)
    assert not can_affect(None, compiled(VIDEO).policy)
    assert can_affect(None, compiled(BLOCK).policy)
    assert can_affect(compiled(SWITCH_B).policy, compiled(VIDEO).policy)
    same = compiled(SWITCH_B).policy
    assert not can_affect(same, same)


def test_the_classes_of_outbounds_that_lead_elsewhere_are_told():
    before = compiled(VIDEO).policy
    a, b = before.lines
    assert moved_classes(before, before) == []
    assert moved_classes(before, replace(before, lines=(a, replace(b, device="wwan0")))) == [2]
    assert moved_classes(replace(before, lines=(Line("t", 3, foreign_table=5),)),
                         replace(before, lines=(Line("t", 3, foreign_table=6),))) == [3]  # fmt: skip
    assert moved_classes(before, replace(before, lines=(a,))) == []  # gone: told where numbers are given


def test_a_limit_that_no_rule_gives_any_more_is_taken_off_its_connections():
    lines = (Line("wan_a", 1), Line("wan_a/slow", 2, home=1), Line("wan_b", 3), Line("wan_b/slow", 4, home=3))
    slow, other = Limit("slow", 1000, 0, False, (2, 4, 5)), Limit("other", 1000, 0, False, (6,))  # 5 and 6: of direct
    one = parsed("one", dest_port="443")

    def policy(*numbers: int, shares: tuple[Share, ...] = ()) -> Policy:
        entries = tuple(Entry(one, number) for number in numbers)
        return Policy(lines=lines, entries=entries, limits=(slow, other), shares=shares)

    assert ended_limits(policy(4, 1), policy(1)) == {2: 1, 4: 3, 5: 0}
    assert ended_limits(policy(4, 6), policy(4)) == {6: 0}
    assert ended_limits(policy(2), policy(4)) == {}  # a group leads by another line: those of the first stay slow
    assert ended_limits(policy(2), policy(1000, shares=(Share(1000, {4: ((4, 1), (3, 1))}),))) == {}
    assert ended_limits(policy(1), policy(1, 2)) == {}
    assert ended_limits(policy(2), Policy(lines=lines)) == {}  # gone as a whole: its number is given back
