"""What the doctor knows before it looks: the rules, the places, and what a running daemon says of itself.

Values only. Made from the engine (inside the daemon) or from the files (the tool alone): `doctor.py` does both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netpolicy.core.model import Ruleset
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Policy
from netpolicy.outbounds.lines import LogicalInterface
from netpolicy.service.warnings import Warning_

# Where the package puts the guard; in a checkout it stands in files/.
GUARD = "/usr/lib/netpolicy/guard"
GUARD_IN_CHECKOUT = os.path.join(os.path.dirname(__file__), "..", "..", "files", "usr", "lib", "netpolicy", "guard")


def guard_program() -> str:
    """The guard that the daemon would start."""
    return (
        GUARD if os.path.exists(GUARD) or not os.path.exists(GUARD_IN_CHECKOUT) else os.path.abspath(GUARD_IN_CHECKOUT)
    )


@dataclass(frozen=True, slots=True)
class Given:
    """`why_not` says why no daemon is asked, "" inside one; `logical` is what netifd told the daemon."""

    ruleset: Ruleset = field(default_factory=Ruleset)
    config: str = "/etc/config/netpolicy"
    state: str = "/var/run/netpolicy"
    store: str = "/etc/netpolicy"
    guard: str = GUARD
    why_not: str = ""
    config_error: str = ""
    kernel_error: str = ""
    skipped: tuple[str, ...] = ()  # rules that are left out, each with place and reason
    warnings: tuple[Warning_, ...] = ()
    logical: Mapping[str, LogicalInterface] | None = None
    inspector: Mapping[str, Any] | None = None  # that part of `status`; None: nobody was asked

    @property
    def policy(self) -> Policy:
        """Marks, priorities and tables as the settings have them, without rules."""
        settings = self.ruleset.settings
        try:
            marks = Marks(settings.fwmark_mask)
        except ValueError:  # lint says so
            marks = Policy().marks
        return Policy(marks, table_base=settings.table_base, rule_priority=settings.rule_priority)

    @property
    def enforces(self) -> bool:
        """Whether something of ours should be in the kernel."""
        return self.ruleset.settings.enabled and self.ruleset.settings.mode == "enforce"
