"""What our own rules make of a probe: the answer where nothing can be tried, and the reason where it was.

Pure. Knows our rules and the routes of main only: a firewall of somebody else may say otherwise, and who shows these
results has to say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netpolicy.core.address import parse_address
from netpolicy.core.facts import Facts
from netpolicy.core.packet import PROTOCOLS
from netpolicy.dataplane.rehearsal_probe import (
    ANSWERED,
    ASTRAY,
    FORWARDED,
    REFUSED,
    ROUTER_ITSELF,
    UNSENT,
    Probe,
    Result,
)
from netpolicy.dataplane.state import Neighbour
from netpolicy.outbounds.lines import View
from netpolicy.service.assertion_sides import Ground
from netpolicy.service.compile import Compiled
from netpolicy.service.judge import Judge


class ByRules:
    """One state of ours, asked. `compiled` None: nothing of ours is in force, and main decides."""

    def __init__(self, compiled: Compiled | None, view: View, neighbours: Iterable[Neighbour] = ()) -> None:
        self._judge = Judge(compiled) if compiled is not None else None
        self._policy = compiled.policy if compiled is not None else None
        self._view = view
        self._ground = Ground(view)
        self._macs = {(one.device, one.address): one.mac for one in neighbours}

    def results(self, probes: Sequence[Probe]) -> list[Result]:
        """Of each."""
        return [self.result(probe) for probe in probes]

    def result(self, probe: Probe) -> Result:
        """What becomes of it if nobody but us says anything."""
        if probe.device != ROUTER_ITSELF and probe.device not in self._view.links:
            return Result(UNSENT, probe.device)
        if probe.destination in self._ground.own:
            return self._answer(probe)
        if self._judge is None or self._policy is None:
            return self._by_main(probe)
        number = self._judge.class_of(self._judge.number(self._judge.decide(self._facts(probe))))
        if self._judge.blocks(number):
            return Result(REFUSED)
        line = next((one for one in self._policy.lines if one.number == number), None)
        if line is None:
            return self._by_main(probe)
        family = 6 if ":" in probe.destination else 4
        if not line.foreign_table and not any(hop.family == family for hop in line.hops):
            return Result(REFUSED)
        near = self._ground.towards(probe.destination)
        is_near = near and not self._ground.leads_out(near, family)  # connected networks are in every line's table
        return Result(FORWARDED, near if is_near else line.device or line.name)

    def explain(self, probe: Probe) -> str:
        """Which rule decides, "" where none does or the router itself is meant."""
        if self._judge is None or probe.destination in self._ground.own:
            return ""
        made = self._judge.decide(self._facts(probe))
        if made.rule is None:
            return ""
        verb = "blocks it" if self._judge.blocks(self._judge.number(made)) else f"sends it to {made.outbound}"
        return f"the rule {made.rule.name} {verb}"

    def _answer(self, probe: Probe) -> Result:
        """Of the router itself: what came in by a line is answered there, everything else by main."""
        if self._policy is not None and any(device == probe.device for device, _ in self._policy.ingress):
            return Result(ANSWERED)
        back = self._ground.towards(probe.source) if probe.source else probe.device
        is_local = probe.source.startswith("fe80:") or back in ("", probe.device) or probe.device == ROUTER_ITSELF
        return Result(ANSWERED) if is_local else Result(ASTRAY, back)

    def _by_main(self, probe: Probe) -> Result:
        device = self._ground.towards(probe.destination)
        return Result(FORWARDED, device) if device else Result(REFUSED)

    def _facts(self, probe: Probe) -> Facts:
        facts = Facts()
        facts.src_iface = probe.device
        facts.dest_addr = parse_address(probe.destination)
        facts.src_addr = parse_address(probe.source) if probe.source else None
        facts.src_mac = probe.mac or self._macs.get((probe.device, probe.source))
        is_six = ":" in probe.destination
        facts.proto = (
            PROTOCOLS["icmpv6" if is_six else "icmp"] if probe.protocol == "icmp" else PROTOCOLS[probe.protocol]
        )
        if probe.protocol != "icmp":
            facts.dest_port = probe.port
        return facts.completed()
