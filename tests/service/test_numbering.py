"""Who has which class, and which connections are decided again when that changes."""

from __future__ import annotations

from netpolicy.core.model import Outbound, Ruleset
from netpolicy.dataplane.marks import Marks
from netpolicy.service.classes import Allocation
from netpolicy.service.numbering import Numbering

MARKS = Marks(0x77000000)


class Release:
    """Hears what is to be let go."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        self.handed: list[dict[int, int]] = []

    def note(self, numbers) -> None:
        self.noted += numbers

    async def hand_on(self, classes, marks) -> None:
        if classes:
            self.handed.append(dict(classes))

    async def classes(self, numbers, marks) -> None:
        self.noted += numbers


class Records:
    """Of an earlier daemon."""

    def classes(self) -> dict[str, int]:
        return {"wan_b": 5}


def made() -> tuple[Numbering, Release]:
    release = Release()
    return Numbering(Records(), release), release  # type: ignore[arg-type]


def test_the_numbers_of_an_earlier_daemon_go_on() -> None:
    numbering, _ = made()
    lines = tuple(Outbound(name, "interface", interface=name) for name in ("wan_a", "wan_b"))
    assert numbering.allocation(Ruleset(outbounds=lines)).numbers == {"wan_a": 1, "wan_b": 5}


async def test_connections_of_who_lost_its_number_or_its_line_are_decided_again() -> None:
    numbering, release = made()
    await numbering.take(Allocation({"wan_a": 1, "wan_b": 2}, (), {"wan_a": 1, "wan_b": 2}), MARKS)
    assert release.noted == []
    numbering.lost("wan_a")
    await numbering.take(Allocation({"wan_a": 1}, (), {"wan_a": 1, "wan_b": 2}), MARKS)
    assert (sorted(release.noted), release.handed) == ([1, 2], [])
    assert (numbering.numbers, numbering.known) == ({"wan_a": 1}, {"wan_a": 1, "wan_b": 2})


async def test_a_limit_that_ends_leaves_its_connections_to_their_line() -> None:
    numbering, release = made()
    both = {"wan_a": 1, "wan_a/slow": 2}
    await numbering.take(Allocation(both, (), both), MARKS)
    await numbering.take(Allocation({"wan_a": 1}, (), both), MARKS)
    assert (release.noted, release.handed) == ([], [{2: 1}])
