"""Sets as text that nft reads and as elements that netlink sends: both are the same to the kernel."""

from __future__ import annotations

import json

import pytest

from netpolicy.dataplane import packed, sets
from netpolicy.dataplane.labels import NONE
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.sets import PER_LINE, KernelSet, RangeElements
from tests.netns import needs_root, private_netns, run

HITS = KernelSet("hits_a", ("classid",), (((((5, 5),)), None, "video"), (((9, 9),), None, "Mail")), counter=True,
                 size=256)  # fmt: skip
VERDICTS = KernelSet("verdicts_a", ("classid",), ((((5, 5),), "v_02", ""), (((9, 9),), "v_01", "")), "verdict",
                     size=256)  # fmt: skip
RESTORE = KernelSet("restore", ("mark",), ((((0, 0),), "accept", ""), (((1 << 24, 1 << 24),), "v_01", "")), "verdict")
MAP = KernelSet(
    "g4a_da_sa_mc_dp",
    ("ipv4_addr", "ipv4_addr", "ether_addr", "inet_service", "classid"),
    (
        (((0, 7), (1 << 31, 1 << 31), (0, 1), (1, 1), (6, NONE)), 5, ""),
        (((8, 8), (0, NONE), (2, (1 << 48) - 1), (2, 65535), (NONE, NONE)), NONE - 1, ""),
    ),
    "classid",
    interval=True,
)
SIX = KernelSet(
    "g6a_da_sp_pr",
    ("ipv6_addr", "inet_service", "inet_proto", "classid"),
    (((((0x20010DB8 << 96), (0x20010DB8 << 96) + 6), (7, 9), (6, 17), (257, NONE)), 256, ""),),
    "classid",
    interval=True,
)
FOUR_TREE = KernelSet("l4_x", ("ipv4_addr",), ((((0, 9),), None, ""), (((20, 20),), None, ""),
                                              (((30, NONE),), None, "")), interval=True)  # fmt: skip
SIX_TREE = KernelSet("l6_x", ("ipv6_addr",), ((((5, (1 << 128) - 1),), None, ""),), interval=True)
ALL = (HITS, VERDICTS, RESTORE, MAP, SIX, FOUR_TREE, SIX_TREE)


def test_a_declaration_says_type_size_flags_and_counter():
    assert HITS.declaration == "set inet netpolicy hits_a { type classid; size 256; counter; }"
    assert VERDICTS.declaration == "map inet netpolicy verdicts_a { type classid : verdict; size 256; }"
    assert SIX.declaration == (
        "map inet netpolicy g6a_da_sp_pr { type ipv6_addr . inet_service . inet_proto . classid : classid;"
        " flags interval; }"
    )


def test_elements_are_written_as_nft_reads_them():
    assert HITS.chunks() == ['0x5 comment "video", 0x9 comment "Mail"']
    assert RESTORE.chunks() == ["0x0 : accept, 0x1000000 : goto v_01"]
    assert MAP.chunks()[0].startswith(
        "0.0.0.0/29 . 128.0.0.0 . 00:00:00:00:00:00-00:00:00:00:00:01 . 1 . 0x6-0xffffffff : 0x5, 0.0.0.8 . "
    )
    assert MAP.chunks()[0].endswith(" . 0xffffffff : 0xfffffffe")


def test_a_command_holds_a_limited_number_of_elements():
    many = KernelSet(
        "verdicts_a", ("classid",), tuple((((n, n),), "v_01", "") for n in range(2 * PER_LINE + 1)), "verdict"
    )
    assert [line.count(" : ") for line in many.text().splitlines()] == [1, PER_LINE, PER_LINE, 1]


def test_the_elements_of_a_list_are_made_from_its_ranges():
    ranges = tuple((3 * number, 3 * number + 1) for number in range(5000))
    plain = KernelSet("l4_x", ("ipv4_addr",), tuple(((pair,), None, "") for pair in ranges), interval=True)
    found = KernelSet("l4_x", ("ipv4_addr",), RangeElements(ranges), interval=True)
    assert (len(found.elements), tuple(found.elements)) == (5000, plain.elements)
    assert found.elements[4999] == plain.elements[4999]
    assert found.text() == plain.text()
    assert found._chunks is None, "a long text is not kept"
    assert [element.key for element in packed.pack(found)] == [element.key for element in packed.pack(plain)]


def test_a_list_is_a_set_of_intervals_of_one_field():
    assert [one.name for one in ALL if one.is_list] == ["l4_x", "l6_x"]


def test_a_set_without_elements_is_only_declared():
    assert (
        KernelSet("restore", ("mark",), (), "verdict").text()
        == "add map inet netpolicy restore { type mark : verdict; }\n"
    )


# -- in the kernel -------------------------------------------------------------------------------


@pytest.fixture
def table():
    with private_netns():
        run("nft", "add table inet netpolicy; add chain inet netpolicy v_01; add chain inet netpolicy v_02")
        yield


def content(name: str, kind: str) -> object:
    (_, found) = json.loads(run("nft", "-j", "list", kind, "inet", "netpolicy", name))["nftables"]
    elements = found[kind].get("elem", [])
    return sorted(elements, key=json.dumps), {
        key: found[kind][key] for key in found[kind] if key not in ("elem", "handle")
    }


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("one", ALL, ids=[one.name for one in ALL])
def test_the_text_and_the_packed_elements_are_the_same_set_in_the_kernel(table, one):
    kind = "map" if one.data else "set"
    with NftLink("netpolicy") as link:
        run("nft", "-f", "-", text=one.text())
        by_text, listed = link.elements(one.name), content(one.name, kind)
        run("nft", "delete", kind, "inet", "netpolicy", one.name)
        run("nft", "-f", "-", text=f"add {one.declaration}\n")
        link.load(one.name, packed.pack(one))
        assert content(one.name, kind) == listed
        assert packed.digest(link.elements(one.name)) == packed.digest(packed.pack(one)) == packed.digest(by_text)


@pytest.mark.kernel
@needs_root
def test_loading_the_text_again_keeps_the_elements_and_what_they_counted(table):
    with NftLink("netpolicy") as link:
        run("nft", "-f", "-", text=f"add {HITS.declaration}\n")
        link.load(HITS.name, packed.pack(HITS, {"video": (7, 700)}))
        before = link.elements(HITS.name)
        assert sorted((element.comment, element.counter) for element in before) == [
            ("Mail", (0, 0)),
            ("video", (7, 700)),
        ]
        for _ in range(2):
            run("nft", "-f", "-", text=HITS.text())
        assert sorted(link.elements(HITS.name), key=repr) == sorted(before, key=repr)


def test_the_text_is_kept_small_and_is_the_same_again():
    """Every include repeats it: it is not made again, and not held as the megabyte that it is."""
    many = KernelSet("hits_a", ("classid",), tuple([(((n, n),), None, f"rule_{n}") for n in range(3 * PER_LINE + 1)]))
    first = many.chunks()
    assert len(first) == 4 and many.chunks() == first
    assert len(many._chunks) < len("".join(first)) / 2
    assert KernelSet("none", ("classid",), ()).chunks() == []
    empty = KernelSet("none", ("classid",), ())
    assert empty.chunks() == [] and empty.chunks() == []


def test_without_a_packer_the_text_is_kept_as_it_is(monkeypatch):
    monkeypatch.setattr(sets, "compress", None)
    one = KernelSet("restore", ("mark",), RESTORE.elements, "verdict")
    assert one.chunks() == one.chunks() == RESTORE.chunks()
