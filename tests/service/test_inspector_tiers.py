"""Which tier serves which device, with tiers made of answers: falling, coming back, and never a fault that escapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netpolicy.core.model import Settings
from netpolicy.service.inspector_options import Wanted, read
from netpolicy.service.inspector_tiers import PAUSE_SECONDS, RETRY_SECONDS, Tiers, Watching


class Stub:
    """A tier that refuses the devices in `refuses`."""

    def __init__(self, name: str, refuses: dict[str, str]) -> None:
        self.name, self.refuses = name, refuses
        self.on: dict[str, bool] = {}
        self.gone: set[str] = set()  # devices that are another one by now
        self.way = name
        self.is_open = True

    def attach(self, name: str, role: str = "lan") -> str:
        if name in self.refuses:
            raise OSError(self.refuses[name])
        self.on[name] = True
        self.gone.discard(name)
        return self.way

    def detach(self, name: str) -> None:
        del self.on[name]

    def attached(self) -> dict[str, tuple[str, bool]]:
        return {name: (self.way, alive) for name, alive in self.on.items()}

    def is_taken_off(self, name: str) -> bool:
        return not self.on.get(name, True) and name not in self.gone

    def fileno(self) -> int:
        return 0

    def drain(self) -> int:
        return 0

    def sweep(self) -> Iterator[int]:
        yield 0

    def counters(self) -> dict[str, int]:
        return {"packets": 3}

    def close(self) -> None:
        self.is_open = False


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[tuple[str, str]] = []
        self.refuses: dict[str, dict[str, str]] = {"ebpf": {}, "packet": {}}
        self.broken: dict[str, str] = {}
        self.made: list[Stub] = []
        openers = {name: self._opener(name) for name in self.refuses}
        self.tiers = Tiers(print, print, lambda *said: self.said.append(said), openers, lambda: self.now)
        self.tiers.configure(read(Settings()))

    def _opener(self, name: str) -> Callable[[Any, Any, Wanted], Stub]:
        def open_(*_: Any) -> Stub:
            if name in self.broken:
                raise RuntimeError(self.broken[name])
            self.made.append(Stub(name, self.refuses[name]))
            return self.made[-1]

        return open_

    def follow(self, *names: str) -> dict[str, str]:
        self.tiers.follow(list(names))
        return {name: one.tier for name, one in self.tiers.devices.items()}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_best_tier_serves_and_the_others_are_not_even_loaded(bench: Bench) -> None:
    assert bench.follow("lan", "guest") == {"lan": "ebpf", "guest": "ebpf"}
    assert [one.name for one in bench.made] == ["ebpf"]
    assert bench.said == [("info", f"connections on {name} are seen by ebpf") for name in ("lan", "guest")]


def test_a_device_that_is_refused_falls_alone_and_says_why(bench: Bench) -> None:
    bench.refuses["ebpf"]["lan"] = "an ingress qdisc is there"
    assert bench.follow("lan", "guest") == {"lan": "packet", "guest": "ebpf"}
    assert bench.tiers.devices["lan"].reason == "ebpf: an ingress qdisc is there"


def test_why_it_is_not_the_better_tier_that_was_just_asked_for_is_in_the_log(bench: Bench) -> None:
    """Sockets see it before and after, so nothing else would tell."""
    bench.tiers.configure(read(Settings(inspector="packet")))
    bench.follow("lan")
    bench.said.clear()
    bench.broken["ebpf"] = "not permitted"
    bench.tiers.configure(read(Settings()))
    bench.follow("lan")
    bench.follow("lan")
    assert bench.said == [("warning", "connections on lan are seen by packet: ebpf: not permitted")]


def test_it_comes_back_when_the_reason_is_gone(bench: Bench) -> None:
    bench.refuses["ebpf"]["lan"] = "no"
    bench.follow("lan")
    del bench.refuses["ebpf"]["lan"]
    assert bench.follow("lan") == {"lan": "ebpf"}
    assert [one.name for one in bench.made if one.is_open] == ["ebpf"]


def test_where_nothing_works_conntrack_is_left_with_every_reason(bench: Bench) -> None:
    bench.broken = {"ebpf": "no BPF", "packet": "no sockets"}
    bench.follow("lan")
    assert bench.tiers.devices["lan"] == Watching("lan", "conntrack", "", "ebpf: no BPF; packet: no sockets")


def test_a_tier_that_was_refused_is_not_loaded_again_at_every_look(bench: Bench) -> None:
    bench.broken["ebpf"] = "no BPF"
    bench.follow("lan")
    del bench.broken["ebpf"]
    bench.now = RETRY_SECONDS - 1
    assert bench.follow("lan") == {"lan": "packet"}
    bench.now = RETRY_SECONDS
    assert bench.follow("lan") == {"lan": "ebpf"}


def test_a_tier_that_breaks_while_it_runs_hands_its_devices_over(bench: Bench) -> None:
    bench.follow("lan", "guest")
    bench.tiers.failed("ebpf", OSError("the ring is gone"))
    assert {one.tier for one in bench.tiers.devices.values()} == {"packet"}
    assert bench.tiers.devices["lan"].reason == "ebpf: the ring is gone"
    assert not bench.made[0].is_open
    assert bench.said[-1] == ("warning", "connections on guest are seen by packet: ebpf: the ring is gone")


def test_who_takes_us_off_again_and_again_is_not_fought(bench: Bench) -> None:
    bench.follow("lan")
    for _ in range(3):
        bench.made[0].on["lan"] = False
        assert not bench.tiers.are_alive()
        assert bench.follow("lan") == {"lan": "ebpf"}
    bench.made[0].on["lan"] = False
    assert bench.follow("lan") == {"lan": "packet"}
    assert bench.tiers.devices["lan"].reason == "ebpf: somebody took it off the device 4 times"
    bench.now = RETRY_SECONDS - 1
    assert bench.follow("lan") == {"lan": "packet"}
    bench.now = RETRY_SECONDS
    assert bench.follow("lan") == {"lan": "ebpf"}
    assert bench.tiers.devices["lan"].taken_off == 0


def test_that_somebody_took_us_off_is_told_with_what_follows(bench: Bench) -> None:
    bench.follow("lan", "guest")
    bench.made[0].on["lan"] = False
    bench.now = 1.0
    assert bench.follow("lan", "guest") == {"lan": "ebpf", "guest": "ebpf"}
    assert {name: one.taken_off for name, one in bench.tiers.devices.items()} == {"lan": 1, "guest": 0}
    told = "somebody took the inspector's programs off lan (ebpf); they "
    assert bench.said[-1] == ("warning", told + "are put back")
    bench.now = RETRY_SECONDS + 2
    bench.follow("lan", "guest")
    assert bench.tiers.devices["lan"].taken_off == 0, "that was long ago"
    for _ in range(4):
        bench.made[0].on["lan"] = False
        bench.follow("lan", "guest")
    assert ("warning", told + "stay off for some time: it was done too often") in bench.said


def test_a_device_that_is_another_one_under_the_same_name_was_taken_off_by_nobody(bench: Bench) -> None:
    bench.follow("lan")
    for _ in range(9):
        bench.made[0].on["lan"] = False
        bench.made[0].gone.add("lan")
        assert bench.follow("lan") == {"lan": "ebpf"}
    assert bench.tiers.devices["lan"].taken_off == 0
    assert [level for level, _ in bench.said] == ["info"]


def test_a_clsact_that_somebody_removed_is_put_back_after_a_pause(bench: Bench) -> None:
    """Who removed it may be about to put an ingress qdisc there."""
    bench.follow("lan", "guest")
    bench.made[0].way = "clsact"
    bench.made[0].on["lan"] = False
    bench.follow("lan", "guest")
    bench.made[0].on["lan"] = False
    bench.now = 1.0
    assert bench.follow("lan", "guest") == {"lan": "packet", "guest": "ebpf"}
    assert bench.tiers.devices["lan"].reason == "ebpf: somebody took it off the device just now"
    assert bench.tiers.are_waiting
    bench.now = 1.0 + PAUSE_SECONDS
    assert bench.follow("lan", "guest") == {"lan": "ebpf", "guest": "ebpf"}
    assert not bench.tiers.are_waiting


def test_a_tier_that_cannot_say_what_became_of_it_breaks_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Stub, name: str) -> bool:
        raise OSError("no answer")

    monkeypatch.setattr(Stub, "is_taken_off", broken)
    bench.follow("lan")
    assert bench.follow("lan") == {"lan": "ebpf"}


def test_a_device_that_goes_is_left_and_the_last_one_unloads_the_tier(bench: Bench) -> None:
    bench.follow("lan", "guest")
    assert bench.follow("guest") == {"guest": "ebpf"}
    assert bench.made[0].on == {"guest": True}
    assert bench.follow() == {}
    assert not bench.made[0].is_open
    assert bench.tiers.counters() == {"packets": 3}


def test_other_options_begin_anew(bench: Bench) -> None:
    bench.follow("lan")
    bench.tiers.configure(read(Settings(inspector="packet")))
    assert bench.follow("lan") == {"lan": "packet"}
    bench.tiers.configure(read(Settings(inspector="conntrack")))
    assert bench.follow("lan") == {"lan": "conntrack"}
    assert not any(one.is_open for one in bench.made)


def test_closing_leaves_nothing_open(bench: Bench) -> None:
    bench.refuses["ebpf"]["lan"] = "no"
    bench.follow("lan", "guest")
    bench.tiers.close()
    bench.tiers.close()
    assert not any(one.is_open for one in bench.made)
