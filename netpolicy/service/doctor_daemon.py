"""The doctor about the daemon itself: whether it runs, and what it says of configuration and kernel.

Asks nobody: what is known stands in `Given`.
"""

from __future__ import annotations

from netpolicy.service.doctor_finding import ERROR, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System

INIT = "/etc/init.d/netpolicy"
MOST_SHOWN = 5

# Each of these has a check of its own.
CHECKED_ELSEWHERE = ("NP901", "NP902", "NP903", "NP904", "NP907")


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    checks = [runs(given, system.exists(INIT)), configuration(given), left_out(given)]
    if not given.why_not:
        checks += [kernel(given), warnings(given)]
    return [*checks, fine("ND105") if system.is_root else found("ND105", WARNING)]


def runs(given: Given, is_service: bool) -> Finding:
    """ND101."""
    if not given.why_not:
        return fine("ND101")
    command = f"{INIT} enable; {INIT} start" if is_service else f"netpolicyd --foreground --config {given.config}"
    return found("ND101", ERROR if given.ruleset.settings.enabled else WARNING, given.why_not, command)


def configuration(given: Given) -> Finding:
    """ND102."""
    if given.config_error:
        return found("ND102", ERROR, given.config_error, f"netpolicy lint {given.config}")
    return fine("ND102", f"{given.config}: {len(given.ruleset.rules)} rules")


def left_out(given: Given) -> Finding:
    """ND107. A configuration that is not in force has its own finding: what it would leave out is no matter then."""
    if not given.skipped or given.config_error:
        return fine("ND107")
    count = len(given.skipped)
    shown = "; ".join(given.skipped[:MOST_SHOWN]) + (f"; and {count - MOST_SHOWN} more" if count > MOST_SHOWN else "")
    details = f"{count} rule{'' if count == 1 else 's'}: {shown}"
    return found("ND107", WARNING, details, f"netpolicy lint {given.config}")


def kernel(given: Given) -> Finding:
    """ND103."""
    return found("ND103", ERROR, given.kernel_error, "netpolicy reload") if given.kernel_error else fine("ND103")


def warnings(given: Given) -> Finding:
    """ND104."""
    rest = [one for one in given.warnings if one.code not in CHECKED_ELSEWHERE]
    if not rest:
        return fine("ND104")
    shown = [f"{one.code} {one.message}" for one in rest[:MOST_SHOWN]]
    more = len(rest) - len(shown)
    return found("ND104", WARNING, "; ".join(shown) + (f"; and {more} more" if more else ""), "netpolicy status")
