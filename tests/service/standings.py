"""States of ours from a configuration, in the network namespace of this thread: what an engine hands to a rehearsal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from netpolicy.config.load import load_text
from netpolicy.core.pairs import needs_class
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.routing import desired
from netpolicy.dataplane.table import build
from netpolicy.flows.administrators import Peer
from netpolicy.lab.bench import Lab
from netpolicy.outbounds.lines import LogicalInterface, View, line_states
from netpolicy.service.compile import compile_policy
from netpolicy.service.rehearsing import Scene, Standing
from tests.netns import CLONE_NEWNET, _check, _libc


def situation(
    config: str, peers: Sequence[Peer] = (), logical: dict[str, LogicalInterface] | None = None
) -> tuple[Standing, Scene]:
    """The state that a configuration wants here and now, and the scene for it."""
    loaded = load_text(config)
    assert not loaded.fatal and not loaded.skipped, loaded.diagnostics
    netlink = open_netlink()
    try:
        links = {link.name: link for link in netlink.links()}
        view = View(links, netlink.addresses(), netlink.routes(), logical or {})
        neighbours = netlink.neighbours()
    finally:
        netlink.close()
    ruleset = loaded.ruleset
    states = line_states(ruleset.outbounds, view)
    numbers = {name: number for number, name in enumerate(needs_class(ruleset), 1)}
    compiled = compile_policy(ruleset, "NORMAL", states, view, numbers)
    routing = desired(compiled.policy, view.routes, view.addresses)
    scene = Scene(view, states, neighbours, ruleset.lists, peers, ruleset.settings.asserts)
    return Standing(compiled, build(compiled.policy), routing), scene


@contextmanager
def in_router(lab: Lab) -> Iterator[None]:
    """This thread in the network namespace of the lab's router."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    inside = os.open(lab.file("/run/netns/router"), os.O_RDONLY)
    try:
        _check(_libc.setns(inside, CLONE_NEWNET))
        yield
    finally:
        _check(_libc.setns(outside, CLONE_NEWNET))
        os.close(inside)
        os.close(outside)
