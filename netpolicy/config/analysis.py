"""A closer look at a configuration that can be used: what it says and probably does not mean.

Runs every check of the analysis_*.py modules over the finished rule set. Changes nothing, refuses
nothing: its findings are warnings and notes. For lint alone; loading for the daemon does without.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.config.analysis_assertion import check_assertions
from netpolicy.config.analysis_contradiction import check_contradictions
from netpolicy.config.analysis_family import check_families
from netpolicy.config.analysis_linear import check_linear
from netpolicy.config.analysis_list import check_lists
from netpolicy.config.analysis_name_server import Dnsmasq, check_domains
from netpolicy.config.analysis_neighbour import check_neighbours
from netpolicy.config.analysis_outbound import check_outbounds
from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_protection import check_protection
from netpolicy.config.analysis_room import check_room
from netpolicy.config.analysis_shadow import check_shadowed
from netpolicy.config.analysis_shape import Shapes
from netpolicy.config.analysis_unused import check_switched_off, check_titles, check_unused
from netpolicy.config.analysis_value import check_values
from netpolicy.config.assemble import Loaded
from netpolicy.config.diagnostic import Findings


def analyse(loaded: Loaded, findings: Findings, dnsmasq: Callable[[], Dnsmasq | None] | None = None) -> None:
    """Report what a closer look finds. `dnsmasq` says what the name server of this machine can do."""
    places, ruleset = Places(loaded), loaded.ruleset
    make = Shapes(ruleset)
    shapes = tuple(make(rank, rule) for rank, rule in enumerate(ruleset.ranked))
    check_shadowed(ruleset, shapes, places, findings)
    check_contradictions(ruleset, shapes, places, findings)
    check_values(ruleset, places, findings)
    check_families(ruleset, places, findings)
    check_protection(ruleset, places, findings)
    check_domains(ruleset, places, findings, dnsmasq)
    check_neighbours(ruleset.settings, places, findings)
    check_outbounds(ruleset, places, findings)
    check_titles(ruleset, places, findings)
    check_switched_off(ruleset, places, findings)
    check_linear(ruleset, places, findings)
    check_assertions(ruleset, places, findings)
    check_lists(ruleset, places, findings)
    check_room(ruleset, places, findings)
    if not loaded.skipped:  # a rule that was left out may be the one that uses it
        check_unused(ruleset, places, findings)
