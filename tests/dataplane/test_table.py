"""The table as data: which chains there are, and what must never stand in one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.table import build
from tests.router import WAN_A, WAN_B, policy, rule

MARKS = Marks(0x77000000)
BLOCK = Entry(rule("stop", ("block", "drop"), dest_port="25"), MARKS.drop, blocks=True)
VIDEO = Entry(rule("video", dest_port="443"), 2)


def texts(built) -> str:
    return "\n".join(text for chain in built.chains.values() for text in (chain.header, *chain.rules))


@given(st.integers(1, 0xFFFFFFFF).filter(lambda mask: bin(mask).count("1") >= 4))
def test_no_write_changes_a_bit_outside_the_mask(mask):
    marks = Marks(mask)
    built = build(Policy(marks=marks, lines=(WAN_A,), entries=(Entry(rule("x"), 1), Entry(rule("y"), marks.drop))))
    writes = re.findall(r"mark set (?:ct|meta) mark & (\S+) \| (\S+)", texts(built))
    assert len(writes) >= 5
    for keep, put in ((int(keep, 16), int(put, 16)) for keep, put in writes):
        assert put & ~mask == 0
        assert keep & ~mask & 0xFFFFFFFF == ~mask & 0xFFFFFFFF


def test_every_match_of_a_mark_has_a_mask():
    built = build(policy(VIDEO, BLOCK, skip_marks=(1,)))
    for test in re.findall(r"mark [&={!<>].*", texts(built)):
        assert test.startswith("mark &") or test == "mark { 0x00000001 } accept"


def test_only_the_hooks_that_a_policy_needs_exist():
    assert not [chain for chain in build(Policy()).chains.values() if chain.header]
    assert set(build(policy(VIDEO)).chains) >= {"pre", "out"}
    assert not {"forward_np", "out_np", "srcnat_np"} & set(build(policy(VIDEO)).chains)
    assert "forward_np" in build(policy(BLOCK)).chains
    assert "srcnat_np" in build(policy(VIDEO, translations=(SourceTranslation("wanb", True),))).chains


def test_a_block_spares_the_router_unless_it_is_named():
    built = build(policy(BLOCK))
    assert "out_np" not in built.chains and "r_stop" not in " ".join(built.chains["g_own"].rules)
    own = replace(BLOCK, rule=rule("stop", ("block", "drop"), dest_port="25", src_iface="lo"))
    built = build(policy(own))
    assert "out_np" in built.chains and "goto r_stop" in " ".join(built.chains["g_own"].rules)


def test_every_base_chain_accepts_by_default():
    built = build(policy(VIDEO, BLOCK, translations=(SourceTranslation("wanb", True),)))
    headers = [chain.header for chain in built.chains.values() if chain.header]
    assert headers and all(header.endswith("policy accept;") for header in headers)


def test_what_must_never_be_steered_is_settled_before_the_first_rule():
    for name in ("g_forwarded", "g_own"):
        rules = build(policy(VIDEO, ingress=(("wanb", 2),))).chains[name].rules
        first = next(index for index, text in enumerate(rules) if "r_video" in text)
        head = " ".join(rules[:first])
        for word in ("224.0.0.0", "127.0.0.0/8", "ff00::/8", "fe80::", "68 . 67", "547 . 546", "fib daddr type"):
            assert word in head, word


def test_an_unmarked_flow_and_one_of_ours_are_told_apart_by_the_done_bit_only():
    for name in ("pre", "out"):
        rules = build(policy(VIDEO)).chains[name].rules
        assert "ct mark & 0x40000000 != 0 ct mark & 0x37000000 vmap @restore" in rules
        assert not [text for text in rules if "ct state" in text]


def test_rules_stand_in_the_order_of_their_rank():
    text = " ".join(build(policy(VIDEO, BLOCK)).chains["g_forwarded"].rules)
    assert text.index("r_video") < text.index("r_stop")
    text = " ".join(build(policy(BLOCK, VIDEO)).chains["g_forwarded"].rules)
    assert text.index("r_stop") < text.index("r_video")


def test_a_block_by_device_goes_before_the_answers_of_that_device():
    by_device = Entry(rule("door", ("block", "drop"), src_iface="wanb"), MARKS.drop, blocks=True)
    rules = build(policy(VIDEO, by_device, ingress=(("wanb", 2),))).chains["g_forwarded"].rules
    door = next(index for index, text in enumerate(rules) if "r_door" in text)
    assert door < rules.index('iifname vmap { "wanb" : goto s_02 }')
    assert not [text for text in rules[: door + 1] if "r_video" in text]


def test_logging_is_limited():
    rules = build(policy(replace(VIDEO, log=True))).chains["r_video"].rules
    assert rules[0].startswith("limit rate ") and 'log prefix "r_video" group 78' in rules[0]
    assert WAN_B.number == 2 and "goto m_02" in rules[1]
