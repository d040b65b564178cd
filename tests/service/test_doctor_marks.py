"""Which bits a rule overwrites: forms as nft itself lists them, and what no nft would say."""

from __future__ import annotations

import pytest

from netpolicy.service.doctor_marks import ALL, changed_bits, hooked, objects, writers
from tests.netns import needs_root, private_netns, run
from tests.service.doctoring import Patient

META, CT = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
OURS = 0x77000000

# The statement, and whether it overwrites bits of ours.
STATEMENTS = [
    ("meta mark set 0x1", True),
    ("meta mark set meta mark & 0xffff00ff | 0x00000100", False),
    ("meta mark set meta mark & 0xff00ffff ^ 0x00010000", False),
    ("meta mark set meta mark | 0x01000000", True),
    ("meta mark set meta mark & 0x00ffffff", True),
    ("meta mark set ct mark", False),
    ("meta mark set ct mark & 0x000000ff", True),
    ("ct mark set meta mark", False),
    ("ct mark set 0x40", True),
    ("meta mark set ip saddr map { 192.0.2.1 : 0x1 }", True),
    ("meta mark 0x1 accept", False),
]


def test_forms_that_no_nft_prints_are_taken_for_the_worst() -> None:
    for value in (None, [], {}, {"|": []}, {"&": [META, "x"]}, {"a": [META, 1], "b": 2}, {"<<": [META, 4]}):
        assert changed_bits(value) == ALL
    deep: object = META
    for _ in range(500):
        deep = {"|": [deep, 1]}
    assert changed_bits(deep) == ALL


def test_two_marks_each_under_its_mask_are_ours_as_far_as_both_keep_ours() -> None:
    mixed = {"|": [{"&": [CT, OURS]}, {"&": [META, ALL & ~OURS]}]}
    assert changed_bits(mixed) & OURS == 0


def test_a_listing_that_is_none_has_nothing_in_it() -> None:
    for text in ("", "[]", '{"nftables": {}}', '{"nftables": [1, {"rule": 2}, {"chain": {"prio": "x"}}]}'):
        assert writers(objects(text), ALL, "inet x") == [] and hooked(objects(text)) == []


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize(("statement", "overwrites"), STATEMENTS)
def test_a_real_rule_is_judged_by_what_it_does_to_our_bits(statement: str, overwrites: bool) -> None:
    with private_netns():
        chain = f"chain pre {{ type filter hook prerouting priority -149; {statement}; }}"
        run("nft", f"table inet other {{ {chain}; }}")
        listing = objects(Patient().run("nft", "-t", "-j", "list", "ruleset").out)
    assert writers(listing, OURS, "inet netpolicy") == (["inet other chain pre"] if overwrites else [])
    assert writers(listing, OURS, "inet other") == []
    (seen,) = hooked(listing)
    assert seen == ("inet other", "pre", "filter", "prerouting", -149)
