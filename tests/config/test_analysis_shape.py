"""What a rule matches as boxes: families, states, the router itself, what comes in by an outbound."""

from __future__ import annotations

from netpolicy.config.analysis_shape import CAME_IN, STATE, Shape, Shapes, side_of
from netpolicy.config.analysis_side import everything
from netpolicy.core.field import parse_field
from netpolicy.core.health import NORMAL
from netpolicy.core.model import Action, Outbound, Rule, Ruleset
from netpolicy.core.named_list import Lists, NamedList

BLOCKING = Action("block", "drop")
ROUTED = Action("route", "wan")


def shape(action: Action = ROUTED, **fields: tuple[str, ...]) -> Shape:
    rule = Rule("r", 0, tuple(parse_field(name, values) for name, values in fields.items()), action)
    return Shapes(Ruleset((rule,), (Outbound("wan", "interface", interface="wan"),)))(0, rule)


def test_without_addresses_there_is_one_box() -> None:
    (box,) = shape(dest_port=("1-9",)).boxes
    assert box["dest_port"] == ((1, 9),)
    assert box["family"] == everything("family")


def test_addresses_part_the_families() -> None:
    boxes = shape(dest_addr=("192.0.2.0/24", "2001:db8::/32")).boxes
    assert [box["family"] for box in boxes] == [((4, 4),), ((6, 6),)]
    assert len(shape(dest_addr=("192.0.2.0/24",)).boxes) == 1
    assert shape(dest_addr=("192.0.2.0/24",), src_addr=("::/0",)).boxes == ()


def test_what_is_never_steered_is_not_matched() -> None:
    assert shape(dest_addr=("224.0.0.0/4", "127.0.0.1")).boxes == ()
    assert shape(src_addr=("127.0.0.1",)).boxes


def test_a_block_spares_the_router_unless_it_names_it() -> None:
    assert side_of(shape(BLOCKING, dest_port=("1",)), "src_iface") != everything("src_iface")
    assert side_of(shape(dest_port=("1",)), "src_iface") == everything("src_iface")
    assert shape(BLOCKING, src_iface=("lo",)).boxes


def test_only_a_block_with_a_way_in_is_asked_about_what_an_outbound_brings() -> None:
    assert side_of(shape(BLOCKING, src_iface=("wan",)), CAME_IN) == ((0, 1),)
    assert side_of(shape(src_iface=("wan",)), CAME_IN) == ((0, 0),)
    assert side_of(shape(BLOCKING), CAME_IN) == ((0, 0),)
    assert len(shape(BLOCKING, src_iface=("wan", "lan")).boxes) == 2
    assert len(shape(BLOCKING, src_iface=("lan",)).boxes) == 1


def test_states_are_a_side() -> None:
    rule = Rule("r", 0, (), ROUTED, (NORMAL,))
    assert side_of(Shapes(Ruleset((rule,)))(0, rule), STATE) == ((0, 0),)
    off = Rule("r", 0, (), ROUTED, enabled=False)
    assert Shapes(Ruleset((off,)))(0, off).boxes == ()


def test_a_route_is_sure_when_something_of_it_cannot_be_down() -> None:
    assert shape(BLOCKING).is_sure
    assert shape(Action("route", "direct")).is_sure
    assert shape(Action("route", "wan", on_fail="block")).is_sure
    assert shape(Action("fallback", "wan", targets=("wan", "direct"))).is_sure
    assert not shape(ROUTED).is_sure
    assert shape(ROUTED).targets == ("wan",)


def test_a_list_that_may_change_is_no_side() -> None:
    named = NamedList("n", ("192.0.2.0/24", "a.example"), file="n.txt")
    lists = Lists((named,))
    fields = (parse_field("dest_addr", ("@n",), lists), parse_field("domain", ("!@n",), lists))
    rule = Rule("r", 0, fields, ROUTED)
    made = Shapes(Ruleset((rule,), lists=(named,)))(0, rule)
    assert made.opaque == {"dest_addr": ("@n",), "domain": ("!@n",)}
    assert not {"dest_addr", "domain"} & (set(made.sides) | set(made.names))
