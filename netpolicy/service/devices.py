"""Interface names of netifd in rules and facts, replaced by the devices that packets come in by.

Pure. Never changes a rule in place: what people read keeps their words. The names are those
that the kernel's rules were written with (`Policy.device_names`). Runs on MicroPython.
"""

from netpolicy.core.facts import Facts
from netpolicy.core.field import Words
from netpolicy.core.model import ROUTER_ITSELF, Rule
from netpolicy.core.packet import parse_device

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
    """The same rules, asking for devices; a rule that names no interface is the same object.

    `known` are answers for the same devices: of ten thousand rules a reload changes one.
    """
    told = known or {}
    return tuple([told.get(rule) or _by_device(rule, devices) for rule in rules])


def _by_device(rule: Rule, devices: "Mapping[str, str]") -> Rule:
    asked = rule.field(SOURCE)
    if asked is None:
        return rule
    meant = Words(SOURCE, asked.values, lambda text: device(parse_device(text), devices))
    meant.values = asked.values  # what people read keeps their words
    fields = tuple([meant if field is asked else field for field in rule.fields])
    return Rule(
        rule.name, rule.priority, fields, rule.action, rule.when, rule.disable, rule.enabled, rule.title, rule.position
    )


def facts_by_device(facts: Facts, devices: "Mapping[str, str]") -> Facts:
    """The facts, with the device where an interface was named."""
    if facts.src_iface is not None:
        facts.src_iface = device(facts.src_iface, devices)
    return facts
