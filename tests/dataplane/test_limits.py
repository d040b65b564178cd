"""Limits as chains: which packets they hold, which they say a class for, and which they drop."""

from __future__ import annotations

from netpolicy.dataplane import limits
from netpolicy.dataplane.limits import DOWN, UP, Limit, Shaped
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.table import build

SLOW = Limit("slow", 2_000_000, 8_000_000, False, (2, 5))
EACH = Limit("each", 0, 4_000_000, True, (3,))


def chains(*given: Limit, shaped: tuple[Shaped, ...] = ()) -> dict[str, tuple[str, ...]]:
    return {name: rules for name, rules, _ in limits.chains(Policy(limits=given, shaped=shaped))}


def test_without_limits_there_is_no_hook_and_no_set():
    assert limits.chains(Policy()) == [] and limits.sets(Policy()) == []


def test_every_class_of_a_limit_leads_to_it_by_the_mark_of_its_connection():
    found = chains(SLOW, EACH)
    assert found["post"] == (
        "ct mark & 0x77000000 vmap { 0x42000000 : goto t_02, 0x43000000 : goto t_03, 0x45000000 : goto t_02 }",
    )
    assert found["t_02"] == ("ct direction original goto u_02", "ct direction reply goto d_02")
    assert found["t_03"] == ("ct direction reply goto d_03",)


def test_where_a_queue_stands_a_packet_is_told_its_class_and_elsewhere_what_is_too_much_is_dropped():
    found = chains(SLOW, shaped=(Shaped("wan", SLOW.minor(UP), SLOW.up),))
    assert found["u_02"][:3] == ("meta priority set 0x4e500104", "meta priority @np_limits", 'oifname { "wan" } accept')
    assert found["u_02"][3].startswith("limit rate over 250000 bytes/second burst 65536 bytes ")
    assert found["u_02"][3].endswith(" drop")
    assert not any("oifname" in rule for rule in found["d_02"])


def test_each_client_is_told_by_its_own_address_in_both_families():
    rules = chains(EACH)["d_03"]
    assert "update @c4_d_03_r4000000 { ip daddr limit rate over 500000 bytes/second" in rules[2]
    assert "update @c6_d_03_r4000000 { ip6 daddr limit rate over 500000 bytes/second" in rules[3]
    assert "update @c4_u_02_r8000 { ip saddr " in chains(Limit("up", 8000, 0, True, (2,)))["u_02"][2]
    bounded = [one for one in limits.sets(Policy(limits=(EACH,))) if one.timeout]
    assert [one.name for one in bounded] == ["c4_d_03_r4000000", "c6_d_03_r4000000"]
    assert bounded[0].declaration.endswith("type ipv4_addr; size 4096; flags dynamic,timeout; timeout 60s; }")


def test_what_answers_the_router_itself_is_held_where_it_comes_in():
    assert chains(SLOW)["in_np"] == (
        "ct direction reply ct mark & 0x77000000 vmap { 0x42000000 : goto d_02, 0x45000000 : goto d_02 }",
    )
    assert "in_np" not in chains(Limit("up", 8000, 0, False, (2,)))


def test_what_is_counted_has_a_name_and_no_two_limits_share_a_class():
    (counted,) = [one for one in limits.sets(Policy(limits=(SLOW, EACH))) if one.counter]
    assert [comment for _, _, comment in counted.elements] == [
        "slow up", "slow down", "each down", "slow up dropped", "slow down dropped", "each down dropped",
    ]  # fmt: skip
    minors = {one.minor(direction) for one in (SLOW, EACH) for direction in (UP, DOWN)}
    assert len(minors) == 4 and all(limits.FIRST_MINOR <= minor < limits.DROPPED for minor in minors)


def test_a_limit_without_another_rule_has_its_hooks_all_the_same():
    table = build(Policy(limits=(SLOW,)))
    assert "type filter hook postrouting priority mangle + 2" in table.chains["post"].header
    assert {"pre", "m_02", "m_05", "k_05"} <= set(table.chains)
