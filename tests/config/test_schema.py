"""The table of options."""

from netpolicy.config.schema import RULE, SECTION_TYPES, SECTIONS, nearest
from netpolicy.core.calendar import Schedule
from netpolicy.core.model import Action, Outbound, Rule, Settings, Throttle
from netpolicy.core.named_list import NamedList

RECORDS = {
    "netpolicy": Settings(),
    "outbound": Outbound("o", "direct"),
    "schedule": Schedule("s"),
    "throttle": Throttle("t"),
    "list": NamedList("l"),
}


def test_every_part_of_every_record_has_an_option():
    own = {"name", "position", "title", "ranges", "domains", "names"}  # of the section itself, or worked out
    for type, record in RECORDS.items():
        assert set(record.__slots__) - own == attributes(type) - own, type
    assert {"enabled", "priority", "disable", "when", "title"} <= set(Rule.__slots__) & attributes("rule")
    assert set(Action.__slots__) - {"kind", "target", "targets"} <= attributes("rule")


def attributes(type):
    return {option.attribute for option in SECTIONS[type].options.values()}


def test_every_section_type_and_option_is_listed_once_and_in_order():
    assert set(SECTION_TYPES) == set(SECTIONS)
    for section in SECTIONS.values():
        assert set(section.order) == set(section.options)
        assert not set(section.aliases) & set(section.options), "an alias must not hide an option"
    assert len({section.plural for section in SECTIONS.values()}) == len(SECTIONS)


def test_every_default_is_a_value_that_the_option_takes():
    for spec in (option for section in SECTIONS.values() for option in section.options.values()):
        if spec.default and spec.choices:
            assert spec.default in spec.choices
        elif spec.default:
            spec.read(spec.default)


def test_the_defaults_are_those_of_the_model():
    for type, record in RECORDS.items():
        for option in SECTIONS[type].options.values():
            if option.default:
                given = getattr(record, option.attribute)
                assert (option.default if option.choices else option.read(option.default)) == given, option.name


def test_what_is_shown_is_what_is_read():
    for option in (option for section in SECTIONS.values() for option in section.options.values()):
        for text in option.examples if not option.is_match else ():
            if not option.choices:
                shown = option.show(option.read(text))
                assert option.read(shown) == option.read(text)


def test_suggestions_know_slips_and_the_words_of_other_packages():
    assert nearest("priorty", tuple(one.name for one in RULE)) == "did you mean 'priority'?"
    assert nearest("dest_ip", tuple(one.name for one in RULE)) == "did you mean 'dest_addr'?"
    assert nearest("qqqqqq", tuple(one.name for one in RULE)) == ""
