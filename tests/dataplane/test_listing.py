"""nft's JSON made comparable: order, handles and counts are no difference, everything else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import listing
from netpolicy.dataplane.listing import Listing, LoadedChain, UnreadableListing
from netpolicy.dataplane.names import SCHEMA


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


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('"version": "1.0.2", "release_name": "Lester Gooch", "json_schema_version": 1', (1, 0, 2)),
        ('"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1', (1, 1, 3)),
        ('"version": "1.1"', (1, 1, 0)),
        ('"version": "later"', None),
    ],
)
def test_which_nft_printed_it_is_told(said, version):
    assert listing.version(f'{{"nftables": [{{"metainfo": {{{said}}}}}, {json.dumps(TABLE)}]}}\n') == version


def test_how_many_elements_a_set_has_is_no_difference():
    """nft 1.1.7 tells the number, also where it tells no element; 1.1.3 and 1.0.6 do not."""
    declared = {"family": "inet", "name": "hits_a", "table": "netpolicy", "type": "classid", "handle": 16}
    older = {**declared, "size": 16384, "stmt": [{"counter": None}]}
    newer = {**declared, "size": 16384, "count": 10000, "stmt": [{"counter": None}]}
    assert listing.parse(document(TABLE, {"set": older})) == listing.parse(document(TABLE, {"set": newer}))


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


def chains(*names: str) -> dict[str, LoadedChain]:
    return {name: LoadedChain("", ()) for name in (SCHEMA, *names)}


def asks(set_name: str) -> LoadedChain:
    return LoadedChain("", (f'{{"expr": [{{"map": {{"data": "@{set_name}"}}}}]}}',))


def test_of_a_set_what_it_was_declared_as_counts_and_no_element():
    def table(**more: object) -> Listing:
        found = listing.parse(document(TABLE, {"set": {"name": "hits_a", "type": "classid", "handle": 3, **more}}))
        assert found is not None
        return found

    assert table(size=256).sets == {"hits_a": '{"size": 256, "type": "classid"}'}
    assert table(size=256, elem=[1, 2], handle=9) == table(size=256)
    assert len({str(table(**more).sets) for more in ({}, {"size": 5}, {"flags": ["interval"]}, {"map": "mark"})}) == 4


def test_the_slot_in_force_is_the_one_that_a_rule_asks():
    sets = {"hits_a": "", "hits_b": ""}
    assert Listing({**chains(), "classify": asks("hits_b")}, sets).slot == "b"
    assert Listing({**chains(), "classify": asks("hits_a")}, sets).slot == "a"
    # With rules on file and none that stands, nothing asks.
    assert Listing(chains("classify"), {"hits_b": "", "verdicts_b": ""}).slot == "b"
    assert Listing(chains("classify"), {}).slot == ""


def test_sets_get_other_names_where_they_are_declared_and_where_they_are_asked():
    found = Listing({**chains(), "classify": asks("g4a_x1"), "other": asks("g4a_x10")}, {"g4a_x1": "a", "g4a_x10": "b"})
    renamed = found.renamed({"g4a_x1": "g4a_0123456789", "g4a_x10": "g4a_aaaaaaaaaa"})
    assert renamed.sets == {"g4a_0123456789": "a", "g4a_aaaaaaaaaa": "b"}
    assert renamed.chains["classify"] == asks("g4a_0123456789") and renamed.chains["other"] == asks("g4a_aaaaaaaaaa")


def test_what_is_missing_changed_and_too_much_is_told_by_name():
    wanted = Listing({**chains("v_01", "v_02"), "classify": asks("g4a_new")}, {"restore": "r", "g4a_new": "g"})
    loaded = Listing({**chains("v_02", "v_03"), "classify": asks("g4a_old")}, {"restore": "r", "g4a_old": "g"})
    found = listing.difference(wanted, loaded)
    assert (found.missing_chains, found.changed_chains, found.stale_chains) == (("v_01",), ("classify",), ("v_03",))
    assert (found.missing_sets, found.stale_sets) == (("g4a_new",), ("g4a_old",))
    assert not found.rebuild and not found.is_empty


def test_a_set_of_our_name_that_holds_something_else_means_a_rebuild():
    wanted = Listing(chains(), {"restore": '{"type": "mark"}'})
    assert listing.difference(wanted, Listing(chains(), {"restore": '{"type": "ipv4_addr"}'})).rebuild
    assert not listing.difference(wanted, Listing(chains(), {})).rebuild


def test_a_table_of_another_layout_or_with_flags_is_rebuilt():
    wanted = Listing(chains(), {})
    older = Listing({"np_schema_1": LoadedChain("", ())}, {})
    assert listing.difference(wanted, None).rebuild
    assert older.is_ours and listing.difference(wanted, older).rebuild
    assert not Listing({"pre": LoadedChain("", ())}, {}).is_ours
    assert listing.difference(wanted, Listing(chains(), {}, flags="dormant")).rebuild
    assert listing.difference(wanted, wanted).is_empty


def test_flags_are_read_from_the_plain_listing_where_there_are_some():
    text = "table inet netpolicy {\n\tflags dormant\n\n\tchain np_schema_2 {\n\t}\n}\n"
    found = listing.parse_flagged(text)
    assert found is not None and found.flags == "dormant" and found.is_ours
    assert listing.parse_flagged(text.replace("\tflags dormant\n", "")) is None


def test_a_base_chain_on_another_hook_means_a_rebuild():
    wanted = Listing({**chains(), "pre": LoadedChain("filter prerouting -149 accept", ())}, {})
    moved = Listing({**chains(), "pre": LoadedChain("filter prerouting -150 accept", ())}, {})
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
        '{"nftables": [{"map": {"type": "mark"}}]}',
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
