"""Canonical UCI text: what is printed is read back as the same rule set."""

from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.config.load import load_text
from netpolicy.config.print_uci import quote, to_uci
from netpolicy.config.reader import open_reader
from netpolicy.config.uci import read_text
from netpolicy.core.field import parse_field
from netpolicy.core.health import STATES
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

NAMES = st.text(st.sampled_from("abcXYZ019_"), min_size=1, max_size=12)
TITLES = st.one_of(st.just(""), st.text(st.sampled_from("aé '\"\\#;$"), min_size=1, max_size=9).filter(str.strip))
VALUES = {
    "src_addr": ["192.0.2.0/24", "!192.0.2.7", "2001:db8::/32", "192.0.2.1-192.0.2.9"],
    "dest_addr": ["198.51.100.4", "2001:db8::4"],
    "src_mac": ["02:00:00:00:00:0a", "!02:00:00:00:00:0b"],
    "src_iface": ["lan", "lo", "!br-guest"],
    "src_port": ["1000-2000", "80,443", " 80 , 1000 - 2000 "],
    "dest_port": ["443", "!25", "+443", "0443"],
    "proto": ["tcp", "UDP", "47"],
    "family": ["ipv4", "ipv6"],
    "sni": ["*.example.com", "*", "x*"],
    "latency_ms": [">120", " >=120 "],
    "rtt_ms": ["=80"],
}
SINGLE = ("latency_ms", "rtt_ms")


@st.composite
def fields(draw) -> tuple:
    chosen = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=4))
    return tuple(
        parse_field(
            name,
            tuple(draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=1 if name in SINGLE else 3))),
        )
        for name in chosen
    )


STATE_LISTS = st.lists(st.sampled_from(STATES), unique=True, max_size=3).map(tuple)


@st.composite
def actions(draw, outbounds: list[str]) -> Action:
    kind = draw(st.sampled_from(["route", "switch_route", "block", "throttle"]))
    log = draw(st.booleans())
    if kind == "block":
        return Action(kind, draw(st.sampled_from(["drop", "reject"])), log)
    if kind == "throttle":
        return Action(kind, "slow", log)
    return Action(kind, draw(st.sampled_from(outbounds)), log, draw(st.sampled_from(["next", "direct", "block"])))


@st.composite
def outbound(draw, name: str) -> Outbound:
    kind = draw(st.sampled_from(["interface", "table", "direct", "block"]))
    title = draw(TITLES)
    if kind in ("direct", "block"):
        return Outbound(name, kind, title=title)
    if kind == "table":
        return Outbound(name, kind, table=draw(st.integers(256, 6999)), title=title)
    source = draw(st.sampled_from(["none", "masq", "prefix"]))
    prefix = "2001:db8:2::/56" if source == "prefix" else ""
    common = {"masq": draw(st.booleans()), "ipv6_source": source, "ipv6_prefix": prefix, "title": title}
    gateways = {"gateway": draw(st.sampled_from(["", "192.0.2.1"])), "gateway6": draw(st.sampled_from(["", "fe80::1"]))}
    return Outbound(name, kind, interface="wan", **gateways, **common)


@st.composite
def rulesets(draw) -> Ruleset:
    names = draw(st.lists(NAMES.filter(lambda name: name not in ("direct", "block", "main")), unique=True, max_size=3))
    reachable = [*names, "direct", "block"]
    rules = tuple(
        Rule(
            name, draw(st.integers(0, 2147483647)), draw(fields()), draw(actions(reachable)), draw(STATE_LISTS),
            draw(STATE_LISTS), draw(st.booleans()), draw(TITLES),
        )
        for name in draw(st.lists(NAMES.filter(lambda name: name not in (*names, "main")), unique=True, max_size=5))
    )  # fmt: skip
    chosen = Settings(
        draw(st.booleans()), draw(st.sampled_from(["enforce", "observe"])), draw(st.sampled_from(["", *names])),
        draw(st.sampled_from(reachable)), draw(st.sampled_from([0x77000000, 0xFF, 0xFFFFFFFF])),
        draw(st.sampled_from([7000, 9000])), draw(st.sampled_from([7000, 100])),
        draw(st.sampled_from(["auto", "pyroute2", "builtin"])),
    )  # fmt: skip
    return Ruleset(rules, tuple(draw(outbound(name)) for name in names), chosen)


def same(value) -> object:
    """Everything that an object says, without where it was written."""
    if isinstance(value, tuple):
        return tuple(same(one) for one in value)
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if name[0] != "_"]
    if not slots:
        return value
    return type(value).__name__, {name: same(getattr(value, name)) for name in slots if name != "position"}


@settings(max_examples=100, deadline=None)
@given(rulesets())
def test_what_is_printed_is_read_back_as_the_same(ruleset):
    text = to_uci(ruleset)
    loaded = load_text(text)
    errors = [item.text() for item in loaded.diagnostics if item.severity == "error"]
    assert not errors, text
    assert same(loaded.ruleset) == same(ruleset)
    assert to_uci(loaded.ruleset) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_any_printable_text_survives_quoting(text):
    file = read_text(f"config a b\n\toption x {quote(text)}\n")
    assert not [item for item in file.diagnostics if item.severity == "error"]
    assert file.sections[0].options[0].values == (text,)


def test_a_rule_named_like_an_outbound_is_printed_under_a_free_name():
    rules = tuple(Rule(name, 0, (), Action("block", "drop")) for name in ("main", "vpn"))
    loaded = load_text(to_uci(Ruleset(rules, (Outbound("vpn", "direct"),))))
    assert [(one.name, one.title) for one in loaded.ruleset.rules] == [("main_rule", "main"), ("vpn_rule", "vpn")]


def test_the_printed_form_is_the_documented_one(tmp_path):
    rule = Rule(
        "mail", 90, (parse_field("proto", ("tcp",)), parse_field("dest_port", ("25",))), Action("block", "reject")
    )
    text = to_uci(Ruleset((rule,), (Outbound("vpn", "table", table=100, title="the vpn"),)))
    assert text == (
        "config netpolicy 'main'\n\toption enabled '0'\n\n"
        "config outbound 'vpn'\n\toption name 'the vpn'\n\toption type 'table'\n\toption table '100'\n\n"
        "config rule 'mail'\n\toption priority '90'\n\tlist dest_port '25'\n\tlist proto 'tcp'\n"
        "\toption block 'reject'\n"
    )
    (tmp_path / "netpolicy").write_text(text)
    assert not open_reader("auto").read(str(tmp_path / "netpolicy")).diagnostics
