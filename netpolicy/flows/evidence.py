"""Whether a confirmation came by a connection that is younger than the change it confirms.

Judges, and does no I/O: two sights of `administration` come in, an answer with words comes out. In doubt it refuses,
because a refused confirmation costs a second login and a believed one may cost the router.

A connection is *old* when its socket was there before, the same inode at the same ends: that holds also when its
conntrack entry was deleted meanwhile and picked up again with another id, which the kernel does in the middle of
a connection. A socket that nobody had taken yet counts as old as well: its first packet passed the old rules.

What is weaker, and why it is taken all the same:

- *web*: the web server tells nobody by which connection a request came, so any new one from a known address counts,
  also one of another program there. That new connections get through is shown; that this request was in it is not.
- *web-near*: as *web*, from any address of a network behind the router.
- without conntrack (`notrack`): who began the connection is not known, only that both sides have it.
- a container or machine on the router itself, with an address of its own, is "outside" to both tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netpolicy.flows.administration import OTHER, SSH, WEB, Connection, Sight
from netpolicy.flows.lookup import Ends

# Names in a refusal; the rest is counted.
SHOWN = 3


@dataclass(frozen=True, slots=True)
class SshClaim:
    """The confirmation came by this very connection: client, port, server, port, as the SSH server sees them."""

    ends: Ends


@dataclass(frozen=True, slots=True)
class WebClaim:
    """The confirmation came by some HTTP connection: the web server tells nobody which.

    `sources`: addresses that administered when the change was asked for, and the one that the page claims.
    `near`: also any address of a network behind the router is believed; only for a change that was asked
    for by the web too, where a new address for the router gives the client a new one as well.
    """

    sources: frozenset[str] = frozenset()
    near: bool = False


Claim = SshClaim | WebClaim


@dataclass(frozen=True, slots=True)
class Evidence:
    """It is shown. `kind`: ssh (that very connection), web (a new one from a known address), web-near (weaker)."""

    kind: str
    text: str
    connection: Connection


@dataclass(frozen=True, slots=True)
class Refusal:
    """It is not; `text` says why and what to do."""

    text: str


def judge(before: Sight, claim: Claim, now: Sight) -> Evidence | Refusal:
    """`before` is the sight taken right after the switch, `now` that of the moment the confirmation came."""
    if not before.complete or not now.complete:
        return Refusal(
            "confirm: there are too many connections to the ports of administration to tell new ones from old ones; "
            "somebody may be flooding them: close what is not needed and confirm again"
        )
    if isinstance(claim, SshClaim):
        return _judge_ssh(before, claim, now)
    return _judge_web(before, claim, now)


def _judge_ssh(before: Sight, claim: SshClaim, now: Sight) -> Evidence | Refusal:
    found = now.connections.get(claim.ends)
    if found is None:
        return Refusal(
            f"confirm: no connection {_ends(claim.ends)} is open to a port of administration of this router. The words "
            "of $SSH_CONNECTION are those of an older login (so it is in tmux and screen) or of another machine: "
            "log in anew and confirm there"
        )
    if found.service not in (SSH, OTHER):
        return Refusal(f"confirm: {_ends(claim.ends)} is a connection to a web server, not to SSH")
    if now.is_own(found.source):
        return Refusal(
            f"confirm: {_ends(claim.ends)} comes from the router itself and proves nothing: "
            "log in from another machine and confirm there"
        )
    if not found.is_established:
        return Refusal(f"confirm: {_ends(claim.ends)} is not established: log in anew and confirm there")
    if is_old(before, found):
        return Refusal(
            f"confirm: {_ends(claim.ends)} was open before the change, so it does not show that a new "
            "connection gets through: log in anew (leave the old session open) and confirm there"
        )
    return Evidence("ssh", f"SSH from {_told(found)}, opened after the change{_doubt(found)}", found)


def _judge_web(before: Sight, claim: WebClaim, now: Sight) -> Evidence | Refusal:
    young = [
        one
        for one in now.connections.values()
        if one.service in (WEB, OTHER) and one.is_established and not now.is_own(one.source) and not is_old(before, one)
    ]
    known = claim.sources | {one.source for one in before.connections.values() if one.is_established}
    for one in young:
        if one.source in known:
            return Evidence("web", f"HTTP from {_told(one)}, opened after the change{_doubt(one)}", one)
    for one in young if claim.near else ():
        if any(subnet.holds(one.source) for subnet in now.inside):
            return Evidence(
                "web-near",
                f"HTTP from {_told(one)}, opened after the change; the address did not administer before, but lies "
                f"in a network behind the router{_doubt(one)}",
                one,
            )
    return Refusal(_no_web(young, known))


def is_old(before: Sight, now: Connection) -> bool:
    """Whether this connection was there at the first sight."""
    then = before.connections.get(now.socket.ends)
    if then is None:
        return False
    # Without an inode nobody had taken it yet: it may be the same one, so it is.
    if 0 in (then.socket.inode, now.socket.inode) or then.socket.inode == now.socket.inode:
        return True
    # Another socket at the same ends. Where the entry is the same one nevertheless, something is not as we think.
    return then.flow is not None and now.flow is not None and then.flow.key == now.flow.key and then.flow.id != 0


def _no_web(young: Iterable[Connection], known: frozenset[str]) -> str:
    seen = sorted({one.source for one in young})
    shown = ", ".join(seen[:SHOWN]) + (f" and {len(seen) - SHOWN} more" if len(seen) > SHOWN else "")
    if not seen:
        return (
            "confirm: no HTTP connection to this router is younger than the change; a browser keeps its old ones open. "
            "Open the page anew (at the router's new address, where that changed) and confirm there"
        )
    return (
        f"confirm: there is a new HTTP connection, but from {shown}, which did not administer before: confirm from "
        f"{', '.join(sorted(known)[:SHOWN]) or 'the machine that asked for the change'}, or by SSH"
    )


def _doubt(found: Connection) -> str:
    return "" if found.flow is not None else " (conntrack does not follow it; by the router's sockets)"


def _told(found: Connection) -> str:
    return f"{_end(found.source, found.source_port)} to {_end(found.destination, found.port)}"


def _ends(ends: Ends) -> str:
    return f"{_end(ends[0], ends[1])} → {_end(ends[2], ends[3])}"


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
