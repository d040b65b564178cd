"""The main section; what makes it fatal is in test_load.py."""

from netpolicy.config.diagnostic import Findings
from netpolicy.config.main import read_settings
from netpolicy.config.source import Option, Section


def test_settings_and_the_list_of_further_files():
    options = (Option("mode", ("observe",), False), Option("ruleset", ("a", "b"), True, 3, 2))
    settings, includes = read_settings(Section("netpolicy", "main", False, 1, options), "f", Findings())
    assert settings is not None
    assert includes is not None
    assert (settings.mode, settings.enabled, includes.values) == ("observe", False, ("a", "b"))


def test_our_tables_do_not_cover_the_kernels():
    for base, good in (("53", True), ("54", False), ("255", False), ("256", True)):
        section = Section("netpolicy", "main", False, 1, (Option("table_base", (base,), False),))
        assert (read_settings(section, "f", Findings())[0] is not None) == good
