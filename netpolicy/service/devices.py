"""Rules as packets meet them: by devices in place of netifd's interfaces, by learned addresses in place of names.

Pure. Never changes a rule in place: what people read keeps their words. The names are those
that the kernel's rules were written with (`Policy.device_names`). Runs on MicroPython.
"""

from netpolicy.core.facts import Facts
from netpolicy.core.field import LEARNED_FIELDS
from netpolicy.core.field_kind import Field, Words
from netpolicy.core.field_name import Learned
from netpolicy.core.model import ROUTER_ITSELF, Rule
from netpolicy.core.packet import parse_device
from netpolicy.dataplane.learned_sets import base_name

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SOURCE = "src_iface"


def device(name: str, devices: "Mapping[str, str]") -> str:
    """The device behind a netifd interface; the name itself where it is one already."""
    return name if name == ROUTER_ITSELF else devices.get(name, name)


def by_device(
    rules: "Iterable[Rule]", devices: "Mapping[str, str]", known: "Mapping[Rule, Rule] | None" = None
) -> tuple[Rule, ...]:
    """The same rules, asking for devices and learned addresses; a rule that names neither is the same object.

    `known` are answers for the same devices: of ten thousand rules a reload changes one.
    """
    told = known or {}
    return tuple([told.get(rule) or _by_device(rule, devices) for rule in rules])


def _by_device(rule: Rule, devices: "Mapping[str, str]") -> Rule:
    if rule.field(SOURCE) is None and not any([field.name in LEARNED_FIELDS for field in rule.fields]):
        return rule
    fields = tuple([_met(field, devices) for field in rule.fields])
    return Rule(
        rule.name, rule.priority, fields, rule.action, rule.when, rule.disable, rule.enabled, rule.title, rule.position
    )


def _met(field: Field, devices: "Mapping[str, str]") -> Field:
    if field.name in LEARNED_FIELDS:
        return Learned(field.name, field.values, base_name(field))
    if field.name != SOURCE:
        return field
    meant = Words(SOURCE, field.values, lambda text: device(parse_device(text), devices))
    meant.values = field.values  # what people read keeps their words
    return meant


def facts_by_device(facts: Facts, devices: "Mapping[str, str]") -> Facts:
    """The facts, with the device where an interface was named."""
    if facts.src_iface is not None:
        facts.src_iface = device(facts.src_iface, devices)
    return facts
