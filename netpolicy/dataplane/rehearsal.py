"""Tries candidates on copies of this router: new connections, real packets, the kernel's own answers.

Everything happens in a child, in network namespaces that die with it: nothing of this one is changed, and no packet
leaves. Decides nothing about a candidate; says what becomes of each probe. Pieces: `rehearsal_world` reads,
`rehearsal_clone` builds, `rehearsal_peers` speaks. What it cannot show: docs/dataplane.md.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from netpolicy.dataplane import namespace
from netpolicy.dataplane import rehearsal_world as worlds
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.rehearsal_child import ChildFailed, in_child
from netpolicy.dataplane.rehearsal_clone import (
    Candidate,
    Far,
    Refused,
    build,
    far_name,
    wait_for_carrier,
    write_settings,
)
from netpolicy.dataplane.rehearsal_peers import MOST_PROBES, Peers, own_socket
from netpolicy.dataplane.rehearsal_probe import ROUTER_ITSELF, Probe, Result
from netpolicy.dataplane.rehearsal_world import Port, Unrehearsable, World
from netpolicy.dataplane.state import NetlinkError

__all__ = ["Candidate", "Probe", "Refused", "Rehearsed", "Result", "Unrehearsable", "rehearse"]

LIMIT_SECONDS = 10.0
ELEMENTS_PER_SECOND = 2500  # 60 000 on a server (measured)

# In the namespace of the neighbours the kernel shall say nothing by itself.
MUTE = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """`results`: of each candidate, in the order of the probes. `notes`: what of the router could not be copied."""

    results: tuple[tuple[Result, ...], ...]
    notes: tuple[str, ...]


async def rehearse(
    candidates: Sequence[Candidate], probes: Sequence[Probe], nft: str = "nft", limit: float = 0.0
) -> Rehearsed:
    """What becomes of each probe under each candidate, in copies of this network namespace as it is now.

    `limit` in seconds; 0: as long as the candidates need on a slow router. To be called from the loop's own thread.
    Raises Unrehearsable (not here, or not in time), Refused (a candidate does not load).
    """
    if len(probes) > MOST_PROBES:
        raise Unrehearsable(f"{len(probes)} connections are too many to try, {MOST_PROBES} are the most")
    try:
        report = json.loads(await in_child(partial(_report, candidates, probes, nft), limit or patience(candidates)))
    except ChildFailed as error:
        raise Unrehearsable(f"the rehearsal failed: {error}") from None
    if "refused" in report:
        raise Refused(report["refused"])
    if "unrehearsable" in report:
        raise Unrehearsable(report["unrehearsable"])
    return Rehearsed(
        tuple(tuple(Result(*one) for one in results) for results in report["results"]), tuple(report["notes"])
    )


def patience(candidates: Sequence[Candidate]) -> float:
    """Seconds after which a rehearsal is given up: more for long lists, which take their time to load."""
    elements = sum(len(one.elements) for candidate in candidates if candidate.table for one in candidate.table.sets)
    return LIMIT_SECONDS + elements / ELEMENTS_PER_SECOND


def _report(candidates: Sequence[Candidate], probes: Sequence[Probe], nft: str) -> bytes:
    """In the child."""
    try:
        found = perform(worlds.read(nft), candidates, probes, nft)
        results = [[(one.kind, one.device, one.neighbour) for one in results] for results in found.results]
        report: dict[str, object] = {"results": results, "notes": found.notes}
    except Refused as error:
        report = {"refused": str(error)}
    except NetlinkError as error:
        lacking = "this kernel has no veth devices: install kmod-veth"
        report = {"unrehearsable": lacking if error.errno == errno.EOPNOTSUPP else str(error)}
    except (namespace.NoNamespaces, Unrehearsable) as error:
        report = {"unrehearsable": str(error)}
    except MemoryError:
        report = {"unrehearsable": "there is not enough memory"}
    except Exception as error:  # noqa: BLE001 - the child's outermost: a bug is told where it can be read
        report = {"unrehearsable": f"a fault in netpolicy, please report it: {type(error).__name__}: {error}"}
    return json.dumps(report).encode()


def perform(world: World, candidates: Sequence[Candidate], probes: Sequence[Probe], nft: str = "nft") -> Rehearsed:
    """The rehearsal itself. This process has left its network namespace afterwards: for a child.

    Raises NoNamespaces, Refused, NetlinkError.
    """
    inside = namespace.new()
    write_settings(MUTE)
    far = Far(inside, KernelSocket(ROUTE))
    needed = {probe.device for probe in probes}
    clones = []
    own = []
    for number, candidate in enumerate(candidates):
        clones.append(build(world, candidate, number, far, needed, _ports(world, probes), nft))
        own.append(_own_sockets(probes))
    namespace.enter(far.namespace)
    up = {device.name for device in world.devices if device.up and device.carrier}
    ends = [end for clone in clones for end in clone.ends.values() if end.device in up]
    wait_for_carrier(far.kernel, [far_name(end.far_index) for end in ends])
    results = Peers(clones).run(probes, own)
    notes = dict.fromkeys(note for clone in clones for note in clone.notes)
    return Rehearsed(tuple(tuple(one) for one in results), tuple(notes))


def _ports(world: World, probes: Sequence[Probe]) -> set[Port]:
    """Ports of the router that are asked for: whether anything listens there is not what is tried."""
    own = {address.address for address in world.addresses}
    asked = [probe for probe in probes if probe.destination in own and probe.protocol != "icmp"]
    return {(probe.protocol, 6 if ":" in probe.destination else 4, probe.port) for probe in asked}


def _own_sockets(probes: Sequence[Probe]) -> dict[int, socket.socket]:
    found = {}
    for place, probe in enumerate(probes):
        if probe.device == ROUTER_ITSELF:
            with contextlib.suppress(OSError):
                found[place] = own_socket(probe)
    return found
