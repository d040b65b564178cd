"""Names as the rest of the daemon has them: there when a rule asks for names, and not even in memory else.

Puts together who fills the learned sets (the inspector's news, the resolver, dnsmasq) and who asks what is in them.
Decides nothing about a connection.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netpolicy.core.field import LEARNED_FIELDS
from netpolicy.core.model import Ruleset
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.policy import Entries
from netpolicy.service.engine import Engine

if TYPE_CHECKING:
    from netpolicy.dataplane.boot_lock import Known
    from netpolicy.service.dnsmasq_keeper import DnsmasqKeeper
    from netpolicy.service.name_learning import NameLearning, Told
    from netpolicy.service.name_prefill import Prefill

# In the state folder: what dnsmasq was given last, so that a later daemon takes it away.
GIVEN = "dnsmasq.conf"
# How the names of the rules of core.dns_guard begin.
GUARDS = "dns_guard."

Memory = Callable[[], "Iterable[tuple[str, Told]]"]


class Naming:
    """One daemon's. `memory` tells what was heard before; `learned` is told which addresses have just come in."""

    def __init__(self, engine: Engine, memory: Memory, learned: Callable[[frozenset[str]], object]) -> None:
        self._engine = engine
        self._memory = memory
        self._tell = learned
        self._looked: Entries | None = None
        self._is_asked = False
        self._is_guarded = False
        self._learning: NameLearning | None = None
        self._prefill: Prefill | None = None
        self._dnsmasq: DnsmasqKeeper | None = None

    # -- what the daemon hears -------------------------------------------------------------

    def turned(self) -> None:
        """The engine had a turn, perhaps with other rules or settings."""
        enforced = self._engine.enforced
        entries = enforced.policy.entries if enforced is not None else None
        if entries is not self._looked:
            self._looked = entries
            rules = entries.rules if entries is not None else ()
            self._is_asked = any(field.name in LEARNED_FIELDS for rule in rules for field in rule.fields)
            self._is_guarded = any(rule.name.startswith(GUARDS) for rule in rules)
        if self._learning is None and (self._is_asked or self._was_given()):
            self._load()
        if self._learning is not None and self._prefill is not None and self._dnsmasq is not None:
            if self._learning.turned():
                self._prefill.follow(self._learning.index.fields)
            self._dnsmasq.follow(self._learning.index.fields, self._lines(), self._engine.settings.dnsmasq)

    def told(self, name: str, addresses: Told) -> None:
        """A name has these addresses."""
        if self._learning is not None:
            self._learning.told(name, addresses)

    def noticed(self, messages: list[wire.Message], *, is_whole: bool) -> None:
        """The kernel tells of elements of learned sets; not of all of them where `is_whole` is not true."""
        if self._learning is not None:
            self._learning.noticed(messages)
            if not is_whole:
                self._learning.lost_notices()

    def woke(self, seconds: float) -> None:
        """The machine slept for so long."""
        if self._prefill is not None:
            self._prefill.woke(seconds)

    async def close(self) -> None:
        """Ends; what is in the kernel stays."""
        if self._learning is not None and self._prefill is not None:
            await self._prefill.close()
            await self._learning.close()

    async def close_name_server(self, *, is_over: bool) -> None:
        """Leaves dnsmasq as it is for the next daemon, or, where there is none, as it was."""
        if self._dnsmasq is not None:
            await self._dnsmasq.close(is_over)

    # -- for a change ----------------------------------------------------------------------

    @property
    def refused(self) -> str:
        """The lines that dnsmasq does not live with, "" where it takes what is asked for."""
        return self._dnsmasq.refused if self._dnsmasq is not None else ""

    async def followed(self, refused: str = "") -> str:
        """dnsmasq reads what belongs to what is in force now; else why it does not live with it.

        `refused`: what it did not live with before: that is nobody's news.
        """
        self.turned()
        if self._dnsmasq is None:
            return ""
        await self._dnsmasq.settled()
        return f"dnsmasq: {self._dnsmasq.reason}" if self._dnsmasq.refused not in ("", refused) else ""

    async def kept(self, candidate: Ruleset) -> tuple[dict[str, str], dict[str, str]]:
        """What the guard needs to lead dnsmasq back: texts of the bundle, and those that a reboot must find."""
        asks = any(field.name in LEARNED_FIELDS for rule in candidate.rules for field in rule.fields)
        if self._dnsmasq is None and not asks and not candidate.settings.dns_guard:
            return {}, {}
        from netpolicy.service import dnsmasq_way_back

        settings = (self._engine.settings.dnsmasq, candidate.settings.dnsmasq)
        return await asyncio.to_thread(dnsmasq_way_back.kept, settings)

    async def for_a_boot(self) -> Known:
        """What is known of names now, for one that is not here yet (dataplane/boot_lock.py)."""
        from netpolicy.dataplane.boot_lock import Known

        self.turned()
        if self._learning is None or self._dnsmasq is None:
            return Known()
        addresses = tuple(self._learning.addresses.all(time.monotonic()))
        return Known(addresses, *await asyncio.to_thread(self._dnsmasq.at_boot))

    # -- for doors -------------------------------------------------------------------------

    def sets_of(self, address: tuple[int, int] | None) -> frozenset[str] | None:
        """Which learned sets hold an address (family, number); None where that is not known."""
        return self._learning.addresses.of(address, time.monotonic()) if self._learning is not None else None

    def document(self) -> dict[str, Any]:
        """How the sets are filled: the `names` part of `status`."""
        if self._learning is None or self._dnsmasq is None:
            return {"sets": 0, "addresses": 0, "by": [], "dnsmasq": {"reason": "no rule asks for names"}}
        dnsmasq, sets = self._dnsmasq, len(self._learning.index.fields)
        return {
            "sets": sets,
            "addresses": len(self._learning.addresses),
            "by": ([] if dnsmasq.reason else ["dnsmasq"]) + (["inspector"] if sets else []),
            "dnsmasq": {"reason": dnsmasq.reason, "names": dnsmasq.filled.count, "restarts": dnsmasq.restarts},
            **self._learning.counters,
        }

    # -- inside ----------------------------------------------------------------------------

    def _load(self) -> None:
        from netpolicy.service.dnsmasq_keeper import DnsmasqKeeper
        from netpolicy.service.name_learning import NameLearning
        from netpolicy.service.name_prefill import Prefill

        self._learning = NameLearning(self._engine, self._memory, learned=self._tell)
        self._prefill = Prefill(self._learning.told)
        given = os.path.join(self._engine.places.state, GIVEN)
        self._dnsmasq = DnsmasqKeeper(given, lambda level, text: self._engine.log.add(level, "flow", text))

    def _was_given(self) -> bool:
        return os.path.exists(os.path.join(self._engine.places.state, GIVEN))

    def _lines(self) -> tuple[str, ...]:
        """What dnsmasq is to read beside the names: as the rules in force, or settings just read restart it twice."""
        if not self._is_guarded:
            return ()
        from netpolicy.core.dns_guard import CANARY

        return (f"local=/{CANARY}/",)
