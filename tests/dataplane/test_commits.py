"""Transactions of others in other tables are told from those in ours; what was not heard is not guessed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netpolicy.dataplane.commits import Commits
from netpolicy.dataplane.nft_link import NftLink
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]

OURS = "add table inet netpolicy; add set inet netpolicy s { type inet_service; }"
OTHERS = "add table inet other; add set inet other s { type inet_service; }; add table ip netpolicy"


class Place:
    def __init__(self, receive_buffer: int = 1 << 19) -> None:
        nft(OURS)
        nft(OTHERS)
        self.link = NftLink("netpolicy")
        self.commits = Commits("netpolicy", receive_buffer)
        self.commits.listen()
        self.since = self.link.generation()

    def touching(self) -> int | None:
        return self.commits.touching(self.since, self.link.generation())


def nft(text: str) -> None:
    run("nft", "-f", "-", text=text)


@pytest.fixture
def place() -> Iterator[Place]:
    with private_netns():
        built = Place()
        yield built
        built.commits.close()
        built.commits.close()
        built.link.close()


def test_nothing_touches_nothing(place):
    assert place.touching() == 0


def test_others_in_their_tables_touch_nothing_of_ours(place):
    for port in range(20):
        nft(f"add element inet other s {{ {port} }}")
    nft("add set ip netpolicy s { type inet_service; }")  # of another family
    assert place.touching() == 0
    assert place.touching() == 0  # asked once more


@pytest.mark.parametrize(
    "text",
    [
        "add element inet netpolicy s { 7 }", "add chain inet netpolicy c", "delete table inet netpolicy",
        "delete set inet netpolicy s", "flush ruleset", "flush set inet netpolicy s",
    ],
)  # fmt: skip
def test_a_hand_in_our_table_is_counted_among_others(place, text):
    nft("add element inet netpolicy s { 9 }")
    place.since = place.link.generation()
    nft("add element inet other s { 1 }")
    nft(text)
    nft("add table inet third")
    assert place.touching() == 1


def test_each_transaction_is_counted_once_and_those_of_before_are_not(place):
    nft("add element inet netpolicy s { 1, 2, 3 }")
    first = place.link.generation()
    nft("add element inet netpolicy s { 4 }")
    nft("add element inet other s { 4 }")
    assert place.touching() == 2
    place.since = first
    assert place.touching() == 1


def test_what_was_before_it_listened_is_not_known(place):
    late = Commits("netpolicy")
    nft("add element inet other s { 1 }")
    late.listen()
    assert late.touching(place.since, place.link.generation()) is None
    late.close()


def test_what_was_lost_is_not_known_and_afterwards_it_knows_again():
    with private_netns():
        place = Place(receive_buffer=2048)
        for port in range(60):
            nft(f"add element inet other s {{ {port} }}")
        assert place.touching() is None
        place.since = place.link.generation()
        nft("add element inet other s { 100 }")
        assert place.touching() == 0
        nft("add element inet netpolicy s { 100 }")
        assert place.touching() == 1


def test_a_generation_that_nobody_announced_is_not_known(place):
    assert place.commits.touching(place.since, place.since + 1) is None


def test_without_a_socket_nothing_is_known_but_that_nothing_happened(place):
    place.commits.close()
    nft("add element inet other s { 1 }")
    assert place.touching() is None
