"""The table of options."""

from netpolicy.config.schema import MAIN, OUTBOUND, RULE, SECTIONS, nearest
from netpolicy.core.model import Outbound, Rule, Settings


def test_every_setting_and_every_part_of_an_outbound_has_an_option():
    assert set(Settings.__slots__) <= set(MAIN)
    assert set(Outbound.__slots__) - {"position", "title"} <= set(OUTBOUND)
    assert {"enabled", "priority", "disable"} <= set(Rule.__slots__) & set(RULE)


def test_every_default_is_a_value_that_the_option_takes():
    for spec in (option for section in SECTIONS.values() for option in section.options.values()):
        if spec.default and spec.choices:
            assert spec.default in spec.choices
        elif spec.default:
            spec.read(spec.default)


def test_the_defaults_are_those_of_the_model():
    settings = Settings()
    for name in Settings.__slots__:
        default = MAIN[name].default
        given = getattr(settings, name)
        assert (default if MAIN[name].choices else MAIN[name].read(default) if default else "") == given


def test_suggestions_know_slips_and_the_words_of_other_packages():
    assert nearest("priorty", tuple(RULE)) == "did you mean 'priority'?"
    assert nearest("dest_ip", tuple(RULE)) == "did you mean 'dest_addr'?"
    assert nearest("qqqqqq", tuple(RULE)) == ""
