"""Long lists as files for a boot: what comes back is what went in, or it is refused."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.address import BITS, V4, V6
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.boot_lists import PER_FILE, closing, files, long_lists, named, pack, part_of, unpack
from netpolicy.dataplane.policy import Entry, Policy
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.script import MOST_AT_BOOT
from netpolicy.dataplane.shape import LargeSet
from netpolicy.dataplane.table import build
from tests.dataplane.followed import MARKS
from tests.router import WAN_A, WAN_B, policy

NAMES = {V4: "l4_0123456789.0.1", V6: "l6_0123456789.0.1"}


@st.composite
def merged(draw: st.DrawFn, family: int) -> list[tuple[int, int]]:
    """Ranges as lists have them: ascending, with something between them."""
    edges = sorted(draw(st.sets(st.integers(0, (1 << BITS[family]) - 1), max_size=60)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return [pair for at, pair in enumerate(pairs) if not at or pair[0] > pairs[at - 1][1] + 1]


@pytest.mark.parametrize("family", [V4, V6])
@given(data=st.data())
def test_what_is_packed_comes_back(family, data):
    ranges = data.draw(merged(family))
    assert unpack(NAMES[family], pack(NAMES[family], ranges)) == ranges


def test_the_whole_space_and_its_ends_come_back():
    for family in (V4, V6):
        most = (1 << BITS[family]) - 1
        for ranges in ([(0, most)], [(0, 0), (most, most)]):
            assert unpack(NAMES[family], pack(NAMES[family], ranges)) == ranges


def test_whatever_is_changed_in_a_file_it_is_refused():
    name, dice = NAMES[V4], random.Random(4)
    whole = pack(name, [(number * 9, number * 9 + 3) for number in range(300)])
    for at in range(len(whole)):
        other = bytearray(whole)
        other[at] ^= 1 << dice.randrange(8)
        with pytest.raises(ValueError, match="damaged"):
            unpack(name, bytes(other))
    for bad in (b"", whole[:31], whole[:-1], whole + b"\0"):
        with pytest.raises(ValueError, match="damaged"):
            unpack(name, bad)
    with pytest.raises(ValueError, match="damaged"):
        unpack("l4_9876543210.0.1", whole)  # one file in the place of another
    with pytest.raises(ValueError, match="damaged"):
        unpack("elsewhere", whole)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"not packed", "damaged"),
        (bytes.fromhex("789c63050000060006"), "cut"),  # one number alone
        (bytes.fromhex("789c6b050000860086"), "cut"),  # a number that does not end
    ],
)
def test_also_with_a_digest_that_is_right_nothing_else_is_believed(body, why):
    name = NAMES[V4]
    with pytest.raises(ValueError, match=why):
        unpack(name, sha256(name.encode() + b"\n" + body).digest() + body)


def test_addresses_of_the_other_family_are_refused():
    body = pack(NAMES[V6], [(1 << 60, 1 << 61)])[32:]
    with pytest.raises(ValueError, match="family"):
        unpack(NAMES[V4], sha256(NAMES[V4].encode() + b"\n" + body).digest() + body)


@pytest.mark.parametrize("name", ["l5_0123456789.0.1", "l4_0123456789.1.1", "l4_0123456789", "table.nft", "l4_x.0.1"])
def test_other_files_are_no_part_of_a_list(name):
    assert part_of(name) is None


def listing(name: str, *values: str, to: str = "wan_b", lists: Lists) -> Rule:
    return Rule(name, 10, (parse_field("dest_addr", values, lists),), Action("route", to))


@pytest.fixture(scope="module")
def listed() -> Policy:
    """wan_a is sealed. Rules by a long list, a longer one, one that passes, and a short one."""
    counts = {"long": PER_FILE + 7, "longer": PER_FILE * 2, "passing": MOST_AT_BOOT + 1, "short": MOST_AT_BOOT}
    lists = Lists(
        tuple(
            NamedList(name, tuple(f"{10 + at}.{number >> 8}.{number & 255}.0/25" for number in range(count)))
            for at, (name, count) in enumerate(counts.items())
        )
    )
    return policy(
        Entry(listing("s", "@longer", to="wan_a", lists=lists), 1),
        Entry(listing("p", "@passing", lists=lists), 2),
        Entry(listing("b", "@long", "@short", lists=lists), MARKS.drop, blocks=True),
        Entry(listing("n", "!@long", lists=lists), 2),
        Entry(listing("k", "@short", to="wan_a", lists=lists), 1),
        lines=(replace(WAN_A, sealed=True, leaves_by=("wana",)), replace(WAN_B, leaves_by=("wanb",))),
    )


def test_lists_of_rules_that_close_come_first_and_short_ones_are_none(listed):
    assert closing(listed) == [True, False, True, False, True]
    found = long_lists(listed)
    assert [one.rules for one in found] == [("b",), ("s",), ("p",), ("n",)]
    assert [one.closes for one in found] == [True, True, False, False]
    assert {one.listed.name for one in found} == {
        one.name for one in build(listed).sets if one.is_list and len(one.elements) > MOST_AT_BOOT
    }
    assert named(listed) == {"long", "longer", "short"}


def test_a_list_is_some_files_that_hold_it_together(listed):
    ranges = long_lists(listed)[1].listed.ranges
    found = dict(files(LargeSet(V4, ranges)))
    assert len(found) == 2 and [part_of(name).number for name in found] == [0, 1]
    assert [pair for name, data in found.items() for pair in unpack(name, data)] == list(ranges)
