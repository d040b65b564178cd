"""What the blocks of DSL text share: names in headers, options that grow or are replaced."""

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.dsl_block import Block, after_colon, filled, name_of_broken, read_name, rest_of
from netpolicy.config.dsl_word import Piece, WordFault, split
from netpolicy.config.source import line_and_column


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("rule my rule:: # c", "my rule", " # c"),
        ("rule rule x:", "rule x", ""),
        ("rule #x", "", "#x"),
        ("rule a#b:", "a#b", ""),
        ('rule "a: #b": # c', "a: #b", ": # c"),
        ("outbound wan: # c", "wan", ": # c"),
        ("outbound wan interface", "wan", " interface"),
        ("list 'x y' a", "x y", " a"),
        ("netpolicy main enabled", "main", " enabled"),
        ("netpolicy enabled=1", "", " enabled=1"),
        ("netpolicy:", "", ":"),
    ],
)
def test_a_name_and_what_follows_it(line, name, rest):
    word = line.split(":")[0].split(" ")[0]
    found, column, after = read_name(line, len(word), word)
    assert found == name
    assert line[after:] == rest
    assert not name or line[column - 1 :].startswith(name)


def test_a_name_whose_quote_is_open_is_a_fault_and_has_a_likely_text():
    with pytest.raises(WordFault):
        read_name('outbound "wan', 8, "outbound")
    assert name_of_broken('outbound "wan:', 8) == "wan"
    assert len(name_of_broken('rule "' + "x" * 1000, 4)) == 64


def test_colons_end_a_header_and_nothing_but_a_comment_may_follow():
    assert after_colon("outbound a :: x", 10) == (True, 13)
    assert after_colon("outbound a x:", 10) == (False, 10)
    assert rest_of("rule a: # c", 7).comment == "# c"
    with pytest.raises(WordFault) as fault:
        rest_of("rule 'a' b", 8)
    assert fault.value.column == 10


def test_pieces_of_commas_with_blanks_are_left_out_but_not_quoted_empty_ones():
    assert [piece.text for piece in filled([Piece("", 1, False), Piece("", 2, True), Piece("a", 4, False)])] == [
        "",
        "a",
    ]


def given_block():
    findings = Findings()
    return Block("rule", "a", "f", 1, 6, findings), findings


def keep(block, name, text, line, column=1):
    pieces = split(text).words[0].pieces
    block.keep(block.spec.options[name], [piece.text for piece in pieces], pieces, line, column)


def test_a_later_line_replaces_with_a_warning_and_the_same_line_joins():
    block, findings = given_block()
    keep(block, "dest_port", "1,2", 2)
    keep(block, "dest_port", "3", 2, 9)
    assert not findings.all
    assert block.section().option("dest_port").values == ("1", "2", "3")
    keep(block, "dest_port", "4", 5)
    assert [(item.code, item.severity, item.line, item.message) for item in findings.all] == [
        ("NP005", "warning", 5, "port replaces what line 2 says")
    ]
    option = block.section().option("dest_port")
    assert (option.values, option.is_list, option.line) == (("4",), False, 5)
    assert (block.taken, block.count("dest_port"), block.count("proto")) == (4, 1, 0)


def test_values_keep_their_places_and_options_their_order():
    block, _ = given_block()
    keep(block, "proto", "tcp,udp", 2)
    keep(block, "any", "1", 3)
    section = block.section()
    assert [option.name for option in section.options] == ["proto", "any"]
    assert [line_and_column(one) for one in section.option("proto").spots] == [(2, 1), (2, 5)]
    assert section.column == 6


def test_an_unknown_word_breaks_the_section_and_what_was_meant_is_said():
    block, findings = given_block()
    block.unknown("unknown match key prot", "prot", ("protocol", "port"), 3, 9)
    item = findings.all[0]
    assert (item.code, item.line, item.column, item.length, item.rule) == ("NP101", 3, 9, 4, "a")
    assert item.fix in ("protocol", "port")
    assert item.hint == f"did you mean {item.fix!r}?"
    assert block.section().broken
