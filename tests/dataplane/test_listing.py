"""nft's JSON made comparable: order, handles and counts are no difference, everything else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import listing
from netpolicy.dataplane.listing import Listing, LoadedChain, UnreadableListing


def document(*objects: dict) -> str:
    return json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *objects]})


def ruled(chain: str, *expressions: object, handle: int = 1) -> dict:
    return {
        "rule": {"family": "inet", "table": "netpolicy", "chain": chain, "handle": handle, "expr": list(expressions)}
    }


TABLE = {"table": {"family": "inet", "name": "netpolicy", "handle": 7}}
CHAIN = {"chain": {"family": "inet", "table": "netpolicy", "name": "pre", "handle": 3}}


def test_no_table_is_none():
    assert listing.parse(document()) is None


def test_handles_and_the_order_of_a_set_are_no_difference():
    first = listing.parse(document(TABLE, CHAIN, ruled("pre", {"match": {"right": {"set": [6, 17]}}}, handle=4)))
    second = listing.parse(document(TABLE, CHAIN, ruled("pre", {"match": {"right": {"set": [17, 6]}}}, handle=9)))
    assert first == second
    third = listing.parse(document(TABLE, CHAIN, ruled("pre", {"match": {"right": {"set": [17]}}})))
    assert third != first


def test_a_set_deep_inside_is_sorted_and_the_order_of_keys_does_not_matter():
    inner = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": [{"range": [1, 2]}, 17]}}}
    other = {"match": {"right": {"set": [17, {"range": [1, 2]}]}, "left": {"meta": {"key": "l4proto"}}, "op": "=="}}
    assert listing.parse(document(TABLE, CHAIN, ruled("pre", inner))) == listing.parse(
        document(TABLE, CHAIN, ruled("pre", other))
    )


def test_a_document_is_read_object_by_object_whatever_its_blanks():
    text = document(TABLE, CHAIN)
    spaced = json.dumps(json.loads(text), indent=2) + "\n"
    assert listing.parse(spaced) == listing.parse(text)
    assert listing.parse(' { "nftables" : [ ] } ') is None
    for broken in (text[:-1], text[:-2], text[:-3], text + "{}", text.replace("}}, {", "}} {", 1), text[:-2] + ",]}"):
        with pytest.raises(UnreadableListing):
            listing.parse(broken)


def test_counters_are_read_from_a_listing_of_their_own():
    counter = {"counter": {"family": "inet", "name": "c_a", "table": "netpolicy", "packets": 3, "bytes": 180}}
    assert listing.parse_counters(document(counter)) == {"c_a": (3, 180)}
    assert listing.parse_counters(document()) == {}
    with pytest.raises(UnreadableListing):
        listing.parse_counters(document({"counter": {"name": "c_a"}}))


def test_the_verdict_of_a_class_is_compared():
    def table(target: str) -> Listing:
        elements = [[0x01000000, {"goto": {"target": target}}], [0, {"accept": None}]]
        found = listing.parse(
            document(TABLE, {"chain": {"name": "np_schema_1"}}, {"map": {"name": "restore", "elem": elements}})
        )
        assert found is not None
        return found

    assert table("k_01").elements.keys() == {"0x00000000", "0x01000000"}
    assert listing.difference(table("k_01"), table("k_01")).is_empty
    assert listing.difference(table("k_01"), table("k_02")).rebuild


def test_the_generation_in_force_is_the_one_that_the_front_leads_to():
    chains = {name: LoadedChain("", ()) for name in ("g3_forwarded", "g4_forwarded", "np_schema_1")}
    chains["classify"] = LoadedChain("", ('{"expr": [{"goto": {"target": "g3_forwarded"}}]}',))
    found = Listing(chains, {}, {}, False)
    assert found.generation("g_forwarded") == 3
    assert found.generation("g_own") == 0
    assert found.highest_generation == 4
    assert found.is_ours


def test_a_table_of_another_layout_is_rebuilt():
    wanted = Listing({"np_schema_1": LoadedChain("", ())}, {}, {}, False)
    assert listing.difference(wanted, None).rebuild
    assert listing.difference(wanted, Listing({"np_schema_0": LoadedChain("", ())}, {}, {}, False)).rebuild
    assert listing.difference(wanted, wanted).is_empty


def test_a_base_chain_on_another_hook_means_a_rebuild():
    wanted = Listing(
        {"np_schema_1": LoadedChain("", ()), "pre": LoadedChain("filter prerouting -149 accept", ())}, {}, {}, False
    )
    moved = Listing(
        {"np_schema_1": LoadedChain("", ()), "pre": LoadedChain("filter prerouting -150 accept", ())}, {}, {}, False
    )
    assert listing.difference(wanted, moved).rebuild


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"nftables": 3}',
        '{"nftables": [3]}',
        '{"nftables": [{"rule": {}}]}',
        "null",
        '{"nftables": [{"chain": []}]}',
        "[" * 100_000,
        '{"nftables": [{"map": {"name": "restore", "elem": [1]}}]}',
    ],
)
def test_what_is_not_a_listing_is_refused_in_words(text):
    with pytest.raises(UnreadableListing):
        listing.parse(text)


def test_a_listing_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(listing, "LIMIT", 100)
    with pytest.raises(UnreadableListing, match="too long"):
        listing.parse(document(*[TABLE] * 10))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["nftables", "rule", "chain", "map", "table", "name", "expr", "elem", "counter"]),
                inner,
                max_size=3,
            )
        ),
    )
)
def test_any_json_gives_a_listing_or_words(value):
    try:
        listing.parse(json.dumps(value))
        listing.parse(json.dumps({"nftables": [value]}))
    except UnreadableListing:
        pass
