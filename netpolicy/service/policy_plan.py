"""What following a rule set would mean now: compiled for the situation, planned against the kernel, its warnings.

Never changes anything and never decides whether a plan is followed. From the rules, the lines as they are, and what the
kernel is read to hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from netpolicy.core.model import Ruleset
from netpolicy.dataplane import conflicts
from netpolicy.dataplane.kernel import Kernel, Plan
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.nft import NftError
from netpolicy.outbounds.group_order import Use
from netpolicy.outbounds.lines import LineState, View
from netpolicy.service import offload, warnings
from netpolicy.service.compile import Compiled, compile_policy
from netpolicy.service.warnings import Warning_


@dataclass(frozen=True, slots=True)
class Situation:
    """What rules are compiled for: a rule set, the engine's state under it, its lines, the network and the clock."""

    ruleset: Ruleset
    state: str
    states: tuple[LineState, ...]
    view: View
    active: tuple[str, ...]  # the schedules whose window is open
    groups: Mapping[str, Use]


@dataclass(frozen=True, slots=True)
class Preview:
    """What it would mean to follow a rule set: its lines, plan and compiled form; no plan where it is switched off."""

    ruleset: Ruleset
    states: tuple[LineState, ...]
    plan: Plan | None = None
    compiled: Compiled | None = None


class Planner:
    """Of one kernel."""

    def __init__(self, kernel: Kernel, netlink: Netlink) -> None:
        self._kernel = kernel
        self._netlink = netlink
        self._can_log = True

    async def plan(
        self, situation: Situation, numbers: Mapping[str, int], before: Compiled | None
    ) -> tuple[Plan, Compiled]:
        """What a turn would change, and the rules as compiled. Raises the errors of the data plane.

        `numbers`: the class of each outbound. What is as it was in `before` is the same object.
        """
        if self._can_log:
            try:
                return await self._plan(situation, numbers, before, log=True)
            except NftError:
                if not any(rule.action.log for rule in situation.ruleset.rules):
                    raise
        planned = await self._plan(situation, numbers, before, log=False)  # raises again unless logging was the reason
        if self._can_log:
            with contextlib.suppress(NftError):
                return await self._plan(situation, numbers, before, log=True)  # or something that has passed
        self._can_log = False
        return planned

    async def _plan(
        self, situation: Situation, numbers: Mapping[str, int], before: Compiled | None, log: bool
    ) -> tuple[Plan, Compiled]:
        settings = situation.ruleset.settings
        marks, rules = Marks(settings.fwmark_mask), self._netlink.rules()
        compiled = await asyncio.to_thread(
            compile_policy,
            situation.ruleset,
            situation.state,
            situation.states,
            situation.view,
            numbers,
            conflicts.foreign_exact_marks(marks, rules),
            log,
            situation.active,
            before,
            situation.groups,
            left_alone=conflicts.led_to_main(marks, rules, settings.rule_priority),
        )
        return await self._kernel.plan(compiled.policy), compiled

    def warnings(self, situation: Situation, plan: Plan) -> list[Warning_]:
        """What the owner should know of a plan for that situation."""
        found = [] if self._can_log else [warnings.NO_LOGGING]
        found += warnings.of_conflicts(plan.conflicts) + warnings.of_lines(situation.ruleset, situation.states)
        found += warnings.of_ways(plan.ways)
        if plan.ways:
            found += warnings.of_offload(plan.ways, offload.is_on())
        return found + warnings.of_kernel_rules(self._netlink.rules())
