"""The decision log: a line for each connection that a rule with `log` decided.

Told by the kernel itself (the rule's own log statement), so blocked connections are in it
too. Never counts as proof of completeness: the kernel limits how many it tells.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.core.model import Rule, Ruleset
from netpolicy.core.packet import PROTOCOL_NAMES
from netpolicy.dataplane.names import rule_chain
from netpolicy.flows.nflog import LoggedPacket
from netpolicy.service.anonymous import OPEN, Shade
from netpolicy.service.engine import Engine


class DecisionLog:
    """Turns logged packets into log entries and events."""

    def __init__(self, engine: Engine, shade: Callable[[], Shade] = lambda: OPEN) -> None:
        """`shade`: how to show clients."""
        self._engine = engine
        self._shade = shade
        self._ruleset: Ruleset | None = None
        self._by_prefix: dict[str, Rule] = {}

    def note(self, packet: LoggedPacket) -> None:
        """One first packet of a rule with `log`."""
        rule = self._rule(packet.prefix)
        if rule is None:
            return
        protocol = PROTOCOL_NAMES.get(packet.protocol, str(packet.protocol))
        shade = self._shade()
        source, destination = shade.address(packet.source), shade.address(packet.destination)
        flow = f"{protocol} {source}:{packet.source_port} → {destination}:{packet.destination_port}"
        # The predecessor's words, so that scripts that read its log find them.
        message = f"state={self._engine.state} rule={rule.name} action={rule.action.text} {flow}"
        self._engine.log.add("info", "decision", message)
        self._engine.publish("netpolicy.decision", {"rule": rule.name, "action": rule.action.text, "flow": flow})

    def _rule(self, prefix: str) -> Rule | None:
        """The rule of a log prefix. Prefixes are made once per rule set: fifty packets a second may ask."""
        if self._ruleset is not self._engine.ruleset:
            self._ruleset = self._engine.ruleset
            self._by_prefix = {rule_chain(rule.name): rule for rule in self._ruleset.rules}
        return self._by_prefix.get(prefix)
