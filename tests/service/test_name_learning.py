"""Names that are told become elements of the real kernel's sets, with the time of the answer; nothing is emptied."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.learned_sets import LONGEST_SECONDS, is_learned
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import DeleteElements
from netpolicy.dataplane.policy import Entry
from netpolicy.flows.seen import MAPPED
from netpolicy.service.name_learning import NameLearning
from tests.dataplane.followed import elements, follow
from tests.netns import needs_root
from tests.router import policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

KEY = bytes((192, 0, 2, 20))
SIX = bytes.fromhex("20010db8") + bytes(11) + b"\x09"


class Bench:
    """An engine's part: what is in force; and the learner."""

    def __init__(self, state: str, *entries: Entry, memory: Any = lambda: ()) -> None:
        self.wanted = policy(*entries)
        self.faults: list[BaseException] = []
        self.lines: list[str] = []
        self.quick: list[frozenset[str]] = []
        self.engine: Any = SimpleNamespace(
            enforced=SimpleNamespace(policy=self.wanted), in_force=SimpleNamespace(revision=1),
            places=SimpleNamespace(state=state), log=SimpleNamespace(add=lambda *words: self.lines.append(words[-1])),
            note_fault=self.faults.append,
        )  # fmt: skip
        self.names = NameLearning(self.engine, memory, learned=self.quick.append)

    async def follow(self) -> None:
        await follow(Kernel(open_netlink("builtin")), self.wanted)
        assert self.names.turned()
        await self.settled()

    async def settled(self) -> None:
        if self.names._work is not None:
            await asyncio.wait([self.names._work])
        assert self.faults == []


def held(family: int) -> dict[bytes, int]:
    """The addresses of the one set of a family, with their seconds."""
    with NftLink(TABLE) as link:
        (name,) = [name for name in link.sets() if is_learned(name) and name.endswith(str(family))]
    found = {}
    for one in elements(name):
        found[one.key] = one.timeout_ms // 1000
        if not one.timeout_ms:  # the usual one is not told, what is left of it is
            assert 0 <= LONGEST_SECONDS - one.expires_ms / 1000 < 60
            found[one.key] = LONGEST_SECONDS
    return found


NAMED = Entry(rule("named", domain="video.example"), 2)


async def test_a_name_that_is_wanted_comes_into_the_sets_with_its_time_within_reason(tmp_path) -> None:
    with router():
        bench = Bench(str(tmp_path), NAMED)
        await bench.follow()
        bench.names.told("a.video.example", [(MAPPED + KEY, 900.0), (SIX, 5.0)])
        bench.names.told("example", [(MAPPED + bytes(4), 900.0)])
        await bench.settled()
        assert (held(4), held(6)) == ({KEY: 900}, {SIX: 300})
        assert bench.quick == [frozenset({"192.0.2.20"}), frozenset({"2001:db8::9"})]
        bench.names.told("video.example", [(MAPPED + KEY, 100000.0)])  # a longer answer
        bench.names.told("video.example", [(SIX, 200.0)])  # it stays long enough
        await bench.settled()
        assert (held(4), held(6)) == ({KEY: 86400}, {SIX: 300})
        assert bench.names.counters == {"added": 2, "refreshed": 1, "refused": 0, "dropped": 0}
        await bench.names.close()


async def test_a_new_rule_gets_what_was_heard_before_and_a_next_daemon_what_was_there(tmp_path) -> None:
    with router():
        heard = [("www.video.example", ((MAPPED + KEY, 900.0),)), ("other.example", ((SIX, 900.0),))]
        bench = Bench(str(tmp_path), NAMED, memory=lambda: heard)
        await bench.follow()
        assert (held(4), held(6)) == ({KEY: 900}, {})
        await bench.names.close()
        with NftLink(TABLE) as link:
            (name,) = [name for name in link.sets() if is_learned(name) and name.endswith("4")]
            link.commit([DeleteElements(name, elements(name))])
        following = Bench(str(tmp_path), NAMED)
        following.names.turned()
        await following.settled()
        assert list(held(4)) == [KEY] and following.names.addresses.of((4, 0xC0000214), 1e9) == frozenset()
        await following.names.close()


async def test_a_question_for_more_names_has_what_the_one_before_held_and_so_has_the_way_back(tmp_path) -> None:
    with router():
        bench = Bench(str(tmp_path), NAMED)
        await bench.follow()
        bench.names.told("video.example", [(MAPPED + KEY, 900.0), (SIX, 600.0)])
        await bench.settled()
        bench.wanted = policy(Entry(rule("named", domain="news.example video.example"), 2))
        bench.engine.enforced = SimpleNamespace(policy=bench.wanted)
        await bench.follow()
        assert (list(held(4)), list(held(6))) == ([KEY], [SIX]) and 890 <= held(4)[KEY] <= 900
        bench.wanted = policy(NAMED)  # the change is taken back
        bench.engine.enforced = SimpleNamespace(policy=bench.wanted)
        await bench.follow()
        assert (list(held(4)), list(held(6))) == ([KEY], [SIX])
        await bench.names.close()


async def test_a_table_that_somebody_deleted_gets_its_addresses_again(tmp_path) -> None:
    with router():
        bench = Bench(str(tmp_path), NAMED)
        await bench.follow()
        bench.names.told("video.example", [(MAPPED + KEY, 900.0)])
        await bench.settled()
        process = await asyncio.create_subprocess_exec("nft", "delete", "table", "inet", TABLE)
        await process.wait()
        await follow(Kernel(open_netlink("builtin")), bench.wanted)
        bench.engine.in_force.revision = 2
        assert not bench.names.turned()  # the names are the same
        await bench.settled()
        assert list(held(4)) == [KEY]
        await bench.names.close()
