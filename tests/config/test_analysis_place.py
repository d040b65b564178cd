"""Findings point at the characters that they are about, in every spelling."""

from __future__ import annotations

import pytest

from netpolicy.config.analysis_place import Places
from netpolicy.config.load import load_text

UCI = """config netpolicy 'main'

config rule 'mail'
	list port '25'
	list dest_port '587'
	option block '1'
""".replace("list dest_port", "list port")
DSL = "rule mail:\n  match port=25,587\n  action block\n"
YAML = "rules:\n  - name: mail\n    priority: 1\n    match: {port: [25, 587]}\n    action: {block: true}\n"


@pytest.mark.parametrize(("format", "text"), [("uci", UCI), ("dsl", DSL)])
def test_a_value_is_found_under_an_older_name_of_its_option(format: str, text: str) -> None:
    loaded = load_text(text, "f", format, keeps_sources=True)
    places = Places(loaded)
    for value, place in places.values("rule", "mail", "dest_port"):
        line = text.splitlines()[place.line - 1]
        assert line[place.column - 1 :][: place.length] == value
        assert place.rule == "mail"
    shown = places.field(loaded.ruleset.rules[0], "dest_port")
    assert (shown.line, shown.length) == (places.values("rule", "mail", "dest_port")[0][1].line, len("port"))


def test_yaml_has_places_too() -> None:
    places = Places(load_text(YAML, "f", "yaml", keeps_sources=True))
    assert [place.line for _, place in places.values("rule", "mail", "dest_port")] == [4] * len(
        places.values("rule", "mail", "dest_port")
    )


def test_what_is_not_written_has_the_place_of_its_section_or_file() -> None:
    places = Places(load_text(UCI, "f", keeps_sources=True))
    assert places.option("rule", "mail", "proto").line == 3
    assert places.option("netpolicy", "main", "fwmark_mask").line == 1
    assert (places.section("outbound", "none").file, places.section("outbound", "none").line) == ("f", 0)
    assert places.values("rule", "mail", "proto") == []
