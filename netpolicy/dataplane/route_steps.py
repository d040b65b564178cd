"""Routes and ip rules, changed one by one: what is added can be taken back, and what is gone already is no fault.

Never touches what is not in the change it is given. From `routing.change`, over the netlink adapter.
"""

from __future__ import annotations

import contextlib

from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.routing import RoutingChange
from netpolicy.dataplane.state import NetlinkError, Route, RoutingRule

ENOENT, ESRCH, ENODEV = 2, 3, 19

# What a deletion may answer when somebody else (or the vanished device) was first.
GONE = (ENOENT, ESRCH, ENODEV)


class NotRemoved(Exception):
    """The kernel keeps what should go; the text says what and why."""


class RouteSteps:
    """The way through one change: added first, deleted when what takes the place is in force."""

    def __init__(self, netlink: Netlink, change: RoutingChange) -> None:
        self._netlink = netlink
        self._change = change
        self._done: list[Route | RoutingRule] = []
        self.refused: Route | None = None  # what the kernel did not take

    def add(self) -> None:
        """Adds what is missing; takes back what it added where one is refused. Raises NetlinkError, NotRemoved."""
        leaving = {route.key for route in self._change.delete_routes}
        try:
            for route in self._change.add_routes:
                self.refused = route
                if route.key in leaving:
                    # It takes the place of one that leaves, in one step: its table is never without.
                    self._netlink.replace_route(route)
                else:
                    self._netlink.add_route(route)
                self._done.append(route)
            self.refused = None
            for rule in self._change.add_rules:
                self._netlink.add_rule(rule)
                self._done.append(rule)
        except NetlinkError:
            self.undo()
            raise

    def undo(self) -> None:
        """What took the place of a route gives it back; the rest goes. Raises NotRemoved."""
        before = {route.key: route for route in self._change.delete_routes}
        while self._done:
            item = self._done.pop()
            previous = before.get(item.key) if isinstance(item, Route) else None
            if previous is None:
                self._delete(item)
            else:
                # Its device may be gone: then nothing can be put back, and the next turn plans anew.
                with contextlib.suppress(NetlinkError):
                    self._netlink.replace_route(previous)

    def delete(self) -> None:
        """Deletes what is too much. Raises NotRemoved."""
        for rule in self._change.delete_rules:
            self._delete(rule)
        for route in self._change.delete_routes:
            self._delete(route)

    def _delete(self, item: Route | RoutingRule) -> None:
        try:
            if isinstance(item, Route):
                self._netlink.delete_route(item)
            else:
                self._netlink.delete_rule(item)
        except NetlinkError as error:
            if error.errno not in GONE:
                raise NotRemoved(f"cannot remove what is no longer needed: {error}") from error
