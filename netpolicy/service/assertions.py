"""Assertions and administrators as questions that a rehearsal answers, and its answers as a table.

Pure. Never says that something holds which was not tried; what could not be tried says so. Who is meant is the matter
of `assertion_sides`; the words of assertions are those of docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netpolicy.core.address import V4, V6
from netpolicy.core.packet import parse_port
from netpolicy.dataplane.rehearsal_probe import (
    ANSWERED,
    ASTRAY,
    FORWARDED,
    ONE_WAY,
    ROUTER_ITSELF,
    UNSENT,
    Probe,
    Result,
)
from netpolicy.flows.administrators import Peer
from netpolicy.service.assertion_sides import End, Ground, Side

# What stands for "anything", and for a protocol without a port. A prohibition is tried at more doors.
ANYTHING = (("tcp", 443), ("udp", 443), ("icmp", 0))
DOORS = {
    ("tcp", True): (443,), ("udp", True): (443,), ("tcp", False): (22, 80, 443), ("udp", False): (53, 443),
}  # fmt: skip
PROTOCOLS_TRIED = ("tcp", "udp", "icmp", "icmpv6")

MOST_PROBES = 24  # of one assertion
MOST_SHOWN = 4

ADMINISTRATION, ASSERTION = "administration", "assertion"  # kinds of rows
NOT_BEFORE = "could not before either"

# Why a connection under the candidate ends as it does, in the words of the rules; "" where they say nothing.
Explain = Callable[[Probe], str]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What has to hold. `devices`: where connections of an assertion must, or must not, come out; none: anywhere."""

    what: str
    probes: tuple[Probe, ...]
    can: bool = True
    devices: frozenset[str] = frozenset()
    is_administration: bool = False
    problem: str = ""

    @property
    def wanted(self) -> str:
        """In words."""
        if self.is_administration or ROUTER_ITSELF in self.devices:
            return "answered" if self.can else "not answered"
        by = f" via {', '.join(sorted(self.devices))}" if self.devices else ""
        return f"forwarded{by}" if self.can else f"not forwarded{by}"


def of_assertion(text: str, ground: Ground) -> Question:
    """The question of one assertion, as `config.value.assertion` let it pass."""
    words = text.split()
    what = f"assert {text}"
    can = words[1] == "can"
    who, whom = ground.who(words[0]), ground.whom(words[2])
    problem = who.problem or whom.problem
    if problem:
        return Question(what, (), can, whom.devices, problem=problem)
    protocols = _protocols(words[3] if len(words) > 3 else "", can)
    if not protocols:
        return Question(what, (), can, whom.devices, problem=f"{words[3]} cannot be tried: only tcp, udp and icmp can")
    pairs = [
        (source, target)
        for source in who.ends
        for target in _targets(whom, source, ground)
        if source.family == target.family
    ]
    probes = [
        Probe(source.device, source.address, target.address, *one)
        for source, target in pairs
        for one in _in_family(protocols, source.family)
    ]
    if not probes:
        return Question(
            what, (), can, whom.devices, problem=f"{words[0]} and {words[2]} have no kind of address in common"
        )
    return Question(what, tuple(dict.fromkeys(probes))[:MOST_PROBES], can, whom.devices)


def of_administrator(peer: Peer, ground: Ground) -> Question:
    """Whether somebody who administers this router can open a new connection."""
    source, target = (address.partition("%")[0] for address in (peer.source, peer.destination))
    zone = (peer.source.partition("%")[2] or peer.destination.partition("%")[2]) if ":" in source else ""
    device = peer.device or zone or ground.towards(source)
    what = f"admin {source} -> {target} tcp/{peer.port}"
    if not device:
        return Question(what, (), is_administration=True, problem=f"no route says by which device {source} comes in")
    return Question(what, (Probe(device, source, target, "tcp", peer.port),), is_administration=True)


def rows(
    questions: Sequence[Question],
    before: Sequence[Result],
    after: Sequence[Result],
    explain: Explain = lambda probe: "",
) -> list[Row]:
    """The table. The results are those of all probes of all questions, in their order."""
    found = []
    place = 0
    for question in questions:
        end = place + len(question.probes)
        found.append(_row(question, before[place:end], after[place:end], explain))
        place = end
    return found


def probes_of(questions: Iterable[Question]) -> list[Probe]:
    """All of them, in order."""
    return [probe for question in questions for probe in question.probes]


def holds(question: Question, result: Result) -> bool:
    """Whether one connection ended as the question wants it. What was not tried never did."""
    if result.kind == UNSENT:
        return False
    if question.can:
        return _is_there(question, result)
    return not _arrives(question, result)


def _is_there(question: Question, result: Result) -> bool:
    """Whether the connection stands, both ways."""
    if question.is_administration or ROUTER_ITSELF in question.devices:
        return result.kind == ANSWERED
    # The router itself took it: for a service of its own (a proxy, a name server) that is as good as being let through.
    return result.kind == ANSWERED or (result.kind == FORWARDED and _is_meant(question, result))


def _arrives(question: Question, result: Result) -> bool:
    """Whether a packet comes where none should, answered or not."""
    if (ROUTER_ITSELF in question.devices or not question.devices) and result.kind in (ANSWERED, ASTRAY):
        return True
    return result.kind in (FORWARDED, ONE_WAY) and _is_meant(question, result)


def _is_meant(question: Question, result: Result) -> bool:
    return not question.devices or result.device in question.devices


def _row(question: Question, before: Sequence[Result], after: Sequence[Result], explain: Explain) -> Row:
    kind = ADMINISTRATION if question.is_administration else ASSERTION
    row: Row = {"kind": kind, "what": question.what, "before": "", "after": "", "wanted": question.wanted}
    row |= {"ok": None, "because": ""}
    if question.problem:
        # A prohibition about nobody is not broken; whether it was meant so cannot be told.
        row["ok"] = False if question.can and not question.is_administration else None
        row["because"] = question.problem
        return row
    broken = [place for place, result in enumerate(after) if not holds(question, result)]
    was_broken = [place for place, result in enumerate(before) if not holds(question, result)]
    row["before"] = _together(before, was_broken)
    row["after"] = _together(after, broken)
    row["ok"] = not broken
    if broken and question.is_administration and set(broken) <= set(was_broken):
        row["ok"], row["because"] = True, NOT_BEFORE
    elif broken:
        row["because"] = _because(question, after, broken, explain)
    return row


def _because(question: Question, after: Sequence[Result], broken: list[int], explain: Explain) -> str:
    """Which connections ended otherwise, and what the rules say to the first."""
    told = []
    for place in broken[:MOST_SHOWN]:
        probe, result = question.probes[place], after[place]
        told.append(result.text if question.is_administration else f"{_named(probe)}: {result.text}")
    if len(broken) > MOST_SHOWN:
        told.append(f"{len(broken) - MOST_SHOWN} more")
    reason = explain(question.probes[broken[0]]) if after[broken[0]].kind != UNSENT else ""
    return "; ".join(told) + (f" ({reason})" if reason else "")


def _named(probe: Probe) -> str:
    port = f"/{probe.port}" if probe.protocol in ("tcp", "udp") else ""
    return f"{probe.source or 'the router'} -> {probe.destination} {probe.protocol}{port}"


def _together(results: Sequence[Result], first: list[int]) -> str:
    """What became of several connections: those that are not as wanted first."""
    order = [results[place] for place in first] + list(results)
    return ", ".join(list(dict.fromkeys(result.text for result in order))[:MOST_SHOWN])


def _protocols(word: str, can: bool) -> list[tuple[str, int]]:
    """What is tried for the last word of an assertion; none for a protocol that cannot be tried."""
    if not word:
        doors = [(name, port) for name in ("tcp", "udp") for port in DOORS[name, False]]
        return list(ANYTHING) if can else [*doors, ("icmp", 0)]
    name, slash, port = word.partition("/")
    if name not in PROTOCOLS_TRIED:
        return []
    if slash:
        return [(name, parse_port(port))]
    return [(name, number) for number in DOORS.get((name, can), (0,))] if name in ("tcp", "udp") else [(f"={name}", 0)]


def _in_family(protocols: Iterable[tuple[str, int]], family: int) -> list[tuple[str, int]]:
    """`=icmp` and `=icmpv6` are of one family, as in rules; what stands for anything is of both."""
    left_out = {V4: "=icmpv6", V6: "=icmp"}[family]
    return [("icmp" if name.startswith("=") else name, port) for name, port in protocols if name != left_out]


def _targets(whom: Side, source: End, ground: Ground) -> list[End]:
    """The ends, and for the router itself its address on the device where the source is."""
    found = []
    for end in whom.ends:
        if end.device == ROUTER_ITSELF:
            own = ground.own_address(source.device, source.family)
            found += [End(ROUTER_ITSELF, source.family, own)] if own and end.family == source.family else []
        else:
            found.append(end)
    return found
