"""Canonical DSL text."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.config.convert import convert_text, print_ruleset
from netpolicy.config.dsl import read_dsl
from netpolicy.config.print_dsl import quote, to_dsl
from netpolicy.config.source import Option, Section
from tests.config.test_dsl import WHOLE
from tests.spellings import load_plain

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "vectors.json").read_text())["format_migrate"]


def test_the_predecessors_example_in_canonical_form():
    vector = next(one for one in VECTORS if one["id"] == "F06")
    assert print_ruleset(load_plain(vector["input_rules"]).ruleset, "dsl") == vector["expect_dsl"]


def test_the_canonical_form_of_every_section_type():
    text = convert_text(WHOLE, "f", "dsl", "yaml").text
    again = convert_text(text, "f", "yaml", "dsl").text
    assert (
        again
        == """\
netpolicy:
  enabled true
  primary wan
  assert lan can wan tcp/443
  assert guest cannot lan

outbound wan interface wan masq=true probe=ping:192.0.2.1,tcp:192.0.2.2:443

outbound wg0 interface wg0

outbound tunnel_fast group wg0 wan

outbound tunnel_any group wg0 wan

outbound vpn table 100

outbound px xray frankfurt

outbound office tunnel ssh://me@vps.example.net:22 key=vps

outbound nothing block

outbound third:
  type interface
  title "The third line"
  interface eth3
  probe ping:192.0.2.3
  probe ping:192.0.2.4
  probe ping:192.0.2.5

schedule evening days=mon,fri-sun from=22:00 to=06:30

throttle slow down=2mbit up=512kbit

list video:
  entry youtube.com
  entry "=googlevideo.com"
  entry "regex:^a{1}b=c"
  url "https://lists.example/x?a=b"
  refresh 1d

rule films:
  priority 0
  title "Films, at night"
  match domain=@video,example.org protocol=tcp,udp port=443 schedule=evening
  action fallback=px,wan throttle=slow on_fail=block log=true notify=true
"""
    )


NASTY = st.text("ab =,#\"'\\:é*", min_size=1, max_size=8).filter(lambda text: text == text.strip())


@given(NASTY.filter(lambda name: " ".join(name.split()) == name), st.lists(NASTY, min_size=1, max_size=3), NASTY)
@settings(max_examples=400)
def test_any_value_can_be_written_and_read_again(name, values, title):
    rule = Section("rule", name, False, 0, (
        Option("priority", ("5",), False), Option("name", (title,), False),
        Option("domain", tuple(values), True), Option("block", ("1",), False),
    ))  # fmt: skip
    outbound = Section("list", "l", False, 0, (Option("entry", tuple(values), True), Option("file", (title,), False)))
    found = read_dsl(to_dsl((outbound, rule)))
    assert not found.diagnostics
    assert [(one.type, one.name) for one in found.sections] == [("list", "l"), ("rule", name)]
    for ours, theirs in zip((outbound, rule), found.sections, strict=True):
        assert {one.name: one.values for one in ours.options} == {one.name: one.values for one in theirs.options}


def test_quotes_stand_where_they_are_needed():
    assert [quote(text) for text in ("a-b.c", "*.x", "a b", "a#b", 'a"b', "a=b", "a,b", "\\", "")] == [
        "a-b.c", "*.x", '"a b"', '"a#b"', '"a\\"b"', '"a=b"', '"a,b"', '"\\\\"', '""',
    ]  # fmt: skip
