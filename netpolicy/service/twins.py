"""Connections that come back the wrong way round, after they were forgotten to be decided again.

If the far end speaks first, conntrack takes its packet for the beginning: a connection from
outside, which no rule moves or cuts. Remembers what was forgotten, to know such a twin. Pure; bounded.
"""

from __future__ import annotations

from netpolicy.flows.model import DCCP, SCTP, TCP, UDP, UDPLITE, Flow

# Who was forgotten may be silent for long: a mailbox that is waited on, a phone that sleeps.
SECONDS = 3600.0

# About 700 bytes each, the flow included.
MOST = 4096

WITH_PORTS = (TCP, UDP, DCCP, SCTP, UDPLITE)

Ends = tuple[int, int, str, int, str, int]


class Twins:
    """What was forgotten, by its ends as the far end's first packet shows them."""

    def __init__(self) -> None:
        self._expected: dict[Ends, tuple[Flow, float]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, flow: Flow, now: float) -> None:
        """The flow was forgotten at that time (seconds, any clock that goes on evenly)."""
        if flow.protocol not in WITH_PORTS:
            return
        self._expected.pop(_reply(flow), None)
        self._expected[_reply(flow)] = (flow, now + SECONDS)
        if len(self._expected) > MOST:
            del self._expected[next(iter(self._expected))]

    def original(self, flow: Flow, now: float) -> Flow | None:
        """What was forgotten, where the new flow is the same connection the wrong way round."""
        if not self._expected:
            return None
        self._expected.pop(_reply(flow), None)  # it began at the right end: the kernel has decided
        found = self._expected.pop(_original(flow), None)
        return found[0] if found is not None and now < found[1] else None


def _original(flow: Flow) -> Ends:
    return (flow.family, flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port)


def _reply(flow: Flow) -> Ends:
    return (
        flow.family, flow.protocol, flow.reply_source, flow.reply_source_port,
        flow.reply_destination, flow.reply_destination_port,
    )  # fmt: skip
