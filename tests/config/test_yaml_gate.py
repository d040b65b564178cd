"""Which bytes and characters no YAML reader ever sees."""

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.yaml_gate import MAX_BYTES, clean_text, decode_yaml

from .yaml_case import places


def refused(text: str) -> list[tuple[str, int, int]]:
    findings = Findings()
    assert clean_text(text, "f", findings) is None
    return places(findings)


def test_line_ends_become_line_feeds():
    assert clean_text("a: 1\r\nb: 'x'\r\n\n", "f", Findings()) == "a: 1\nb: 'x'\n\n"


def test_ordinary_text_of_any_script_passes():
    text = "é: ü\n# 中文 😀\n\tx\xa0\n"
    assert clean_text(text, "f", Findings()) == text


@pytest.mark.parametrize(
    "character", ["\0", "\x08", "\x0b", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\ufeff"]
)
def test_what_nobody_sees_is_refused_with_its_place(character):
    assert refused(f"a: 1\r\nbc{character}d\n") == [("NP002", 2, 3)]


def test_a_byte_order_mark_a_lone_carriage_return_and_half_characters_are_refused():
    assert refused("\ufeffa: 1") == [("NP002", 1, 1)]
    assert refused("a: 1\rb: 2") == [("NP002", 1, 5)]
    assert refused("a: \udc80") == [("NP002", 1, 4)]


def test_bytes_that_are_not_utf_8_are_refused_with_their_line():
    findings = Findings()
    assert decode_yaml(b"a: 1\nb: \xff\n", "f", findings) is None
    assert places(findings) == [("NP002", 2, 0)]
    assert decode_yaml("é".encode(), "f", findings) == "é"


def test_four_mebibytes_are_the_limit_counted_in_bytes():
    assert clean_text("x" * MAX_BYTES, "f", Findings()) is not None
    for text in ("x" * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2 + 1)):
        assert refused(text) == [("NP004", 0, 0)]
        findings = Findings()
        assert decode_yaml(text.encode(), "f", findings) is None
        assert places(findings) == [("NP004", 0, 0)]
