"""What a single value may be."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config import value
from netpolicy.core.value import ValueProblem


@pytest.mark.parametrize("word", ["1", "yes", "on", "true", "enabled"])
def test_openwrts_words_for_yes(word):
    assert value.boolean(word) is True


@pytest.mark.parametrize("word", ["0", "no", "off", "false", "disabled"])
def test_openwrts_words_for_no(word):
    assert value.boolean(word) is False


REFUSED = {
    "a truth value in capitals": (value.boolean, "YES"),
    "a hexadecimal number": (value.number(0, 100), "0x10"),
    "a number with blanks": (value.number(0, 100), " 1"),
    "digits that are not ASCII": (value.number(0, 100), "１"),
    "a number above the limit": (value.number(0, 100), "101"),
    "a mask with three bits": (value.mask, "0x7"),
    "a mask of 33 bits": (value.mask, "0x1ffffffff"),
    "the local table": (value.table, "255"),
    "a name with a dash": (value.name, "a-b"),
    "an empty name": (value.name, ""),
    "an outbound with a blank": (value.target, "a b"),
    "a title with a line end": (value.title, "a\nb"),
    "a title of 129 characters": (value.title, "a" * 129),
    "an IPv6 address as IPv4 gateway": (value.gateway4, "::1"),
    "an IPv4 address as IPv6 gateway": (value.gateway6, "192.0.2.1"),
    "an address as prefix": (value.prefix6, "2001:db8::1"),
    "an unknown state": (value.state, "GOOD"),
    "an unknown way to block": (value.block, "tarpit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    read, raw = REFUSED[case]
    with pytest.raises(ValueProblem):
        read(raw)


def test_states_in_any_case():
    assert value.state(" Failover ") == "FAILOVER"


READ = {
    "a speed": (value.rate, " 1.5 MBit ", 1_500_000),
    "a speed without a unit": (value.rate, "8000", 8000),
    "the largest speed": (value.rate, "100gbit", 100_000_000_000),
    "a speed that is rounded down": (value.rate, "8000.9", 8000),
    "seconds": (value.duration, "90", 90),
    "seconds with their unit": (value.duration, "90S", 90),
    "a year": (value.duration, "365d", 31_536_000),
    "no time": (value.duration, "0w", 0),
    "days stay as written": (value.days, "Mon-fri,sun", "Mon-fri,sun"),
    "a time of day": (value.time_of_day, "7:05", 425),
    "the end of a day": (value.time_of_day, "24:00", 1440),
    "an address as entry": (value.entry, " 192.0.2.1 ", "192.0.2.1"),
    "a name as entry": (value.entry, "*.example.com", "*.example.com"),
    "a ping": (value.probe, " ping:9.9.9.9", "ping:9.9.9.9"),
    "a probe of a port": (value.probe, "tcp:[::1]:443", "tcp:[::1]:443"),
    "a probe of a page": (value.probe, "https:https://a.example/x?y#z", "https:https://a.example/x?y#z"),
    "a tunnel": (value.server, " ssh://me@h.example:22 ", "ssh://me@h.example:22"),
    "a tunnel without a user": (value.server, "socks5://[::1]:1080", "socks5://[::1]:1080"),
    "an assertion": (value.assertion, " lan   can wan  tcp/443 ", "lan can wan tcp/443"),
    "an assertion about a protocol": (value.assertion, "lan cannot @kids icmp", "lan cannot @kids icmp"),
    "an assertion about networks": (value.assertion, "192.0.2.0/24 can 2001:db8::1", "192.0.2.0/24 can 2001:db8::1"),
    "a switch": (value.block, "off", ""),
    "a title with inner blanks": (value.title, " a  b ", " a  b "),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read(case):
    read, raw, expected = READ[case]
    assert read(raw) == expected


ALSO_REFUSED = {
    "a speed of nothing": (value.rate, "0"),
    "a speed that is too small": (value.rate, "7999"),
    "a speed that is too large": (value.rate, "101gbit"),
    "a negative speed": (value.rate, "-2mbit"),
    "a speed in bytes": (value.rate, "2mbyte"),
    "a unit alone": (value.rate, "mbit"),
    "a point alone": (value.rate, ".mbit"),
    "half a number": (value.rate, "1.mbit"),
    "two points": (value.rate, "1.2.3mbit"),
    "digits of another script": (value.rate, "٢mbit"),
    "a very long number": (value.rate, "9" * 5000),
    "a negative time": (value.duration, "-1"),
    "a time with a point": (value.duration, "1.5h"),
    "a time in years": (value.duration, "1y"),
    "more than a year": (value.duration, "366d"),
    "a unit of time alone": (value.duration, "d"),
    "no day": (value.days, "mo"),
    "no time of day": (value.time_of_day, "24:01"),
    "a negated entry": (value.entry, "!192.0.2.1"),
    "a list in a list": (value.entry, "@other"),
    "a probe of nothing": (value.probe, "ping:"),
    "an unknown probe": (value.probe, "icmp:9.9.9.9"),
    "a probe with a blank": (value.probe, "http:http://a b"),
    "a probe without a port": (value.probe, "tcp:host"),
    "a probe without a host": (value.probe, "tcp::443"),
    "a probe that is too long": (value.probe, "dns:" + "a" * 300),
    "a tunnel of another kind": (value.server, "telnet://h"),
    "a tunnel without a host": (value.server, "ssh://me@"),
    "a tunnel with a blank": (value.server, "ssh://me@h x"),
    "an assertion of two words": (value.assertion, "lan can"),
    "an assertion of five": (value.assertion, "lan can wan tcp/443 now"),
    "an assertion that says something else": (value.assertion, "lan may wan"),
    "an assertion about no protocol": (value.assertion, "lan can wan http"),
    "an assertion about no port": (value.assertion, "lan can wan tcp/https"),
    "an assertion about half a network": (value.assertion, "192.0.2.1/24 can wan"),
    "a list without a name": (value.assertion, "@ can wan"),
    "blanks as text": (value.text, "   "),
    "a text of 4097 characters": (value.text, "a" * 4097),
    "a text that runs backwards": (value.text, "a\u202eb"),
}


@pytest.mark.parametrize("case", ALSO_REFUSED)
def test_what_else_is_refused(case):
    read, raw = ALSO_REFUSED[case]
    with pytest.raises(ValueProblem) as caught:
        read(raw)
    assert len(caught.value.text) < 200


def test_the_password_of_a_tunnel_is_refused_and_never_quoted():
    with pytest.raises(ValueProblem) as caught:
        value.server("ssh://me:hunter2@h.example")
    assert "hunter2" not in caught.value.text + caught.value.hint
    assert "secret" in caught.value.hint


@given(st.integers(8000, 100_000_000_000))
def test_a_speed_is_read_as_it_is_shown(bits):
    assert value.rate(value.show_rate(bits)) == bits


@given(st.integers(1, 99), st.sampled_from(["kbit", "mbit", "gbit"]))
def test_a_round_speed_is_shown_in_its_unit(number, unit):
    bits = number * {"kbit": 1000, "mbit": 10**6, "gbit": 10**9}[unit]
    assert value.show_rate(bits) == f"{number}{unit}"


@given(st.integers(0, 31_536_000))
def test_a_time_is_read_as_it_is_shown(seconds):
    assert value.duration(value.show_duration(seconds)) == seconds


@given(st.text(max_size=80))
def test_the_identifier_of_any_title_is_a_name(title):
    found = value.identifier(title)
    assert value.is_name(found)
    assert value.identifier(found) == found


@pytest.mark.parametrize(
    ("title", "name"), [("video calls", "video_calls"), ("a-b", "a_b"), ("Büro", "B_ro"), ("mail", "mail")]
)
def test_the_identifier_of_a_title_reads_like_it(title, name):
    assert value.identifier(title) == name


def test_titles_without_a_letter_have_different_identifiers():
    assert value.identifier("视频") != value.identifier("音乐")


def test_visible_text_is_clean_and_what_hides_or_reorders_is_not():
    assert value.is_clean("Zoë's 🎮 list: 日本語, ‘quoted’ – and a no-break\u00a0space")
    for hidden in "\n\t\x00\x7f\x9b\xad\u200b\u200f\u2028\u202e\u2060\u2066\ufeff\ud800\U000e0041":
        assert not value.is_clean(f"a{hidden}b"), hex(ord(hidden))


@given(st.characters(categories=["Cc", "Cs", "Zl", "Zp"]))
def test_no_control_character_is_clean(character):
    assert unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    assert not value.is_clean(character)
