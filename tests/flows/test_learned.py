"""Names behind addresses: who said them, what they are worth, and for how long."""

from __future__ import annotations

from ipaddress import ip_address

from netpolicy.flows.learned import EXPIRED, LIKELY, NEVER_NAMED, POSSIBLE, Learned, Named, Unnamed


def packed(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + ip_address(text).packed


DESK, LAPTOP, WEB, OTHER = (packed(text) for text in ("192.0.2.11", "192.0.2.12", "198.51.100.1", "198.51.100.2"))


def test_an_address_that_nobody_named_is_unknown_with_the_reason() -> None:
    assert Learned().look_up(DESK, WEB, 0.0) == Unnamed(NEVER_NAMED)


def test_what_a_client_asked_for_is_likely_the_name_of_its_connection() -> None:
    learned = Learned()
    learned.note_answer(DESK, "www.example", [(WEB, 60), (OTHER, 60)], 0.0)
    assert learned.look_up(DESK, OTHER, 1.0) == Named("www.example", "dns", LIKELY)


def test_what_another_client_asked_for_is_possible_only() -> None:
    learned = Learned()
    learned.note_answer(LAPTOP, "www.example", [(WEB, 60)], 0.0)
    assert learned.look_up(DESK, WEB, 1.0) == Named("www.example", "dns", POSSIBLE)


def test_each_client_has_its_own_answer_and_the_other_names_are_counted() -> None:
    learned = Learned()
    learned.note_answer(DESK, "one.example", [(WEB, 60)], 0.0)
    learned.note_answer(LAPTOP, "two.example", [(WEB, 60)], 1.0)
    assert learned.look_up(DESK, WEB, 2.0) == Named("one.example", "dns", LIKELY, 1)
    assert learned.look_up(LAPTOP, WEB, 2.0) == Named("two.example", "dns", LIKELY, 1)
    assert learned.names(WEB, 2.0) == ("one.example", "two.example")


def test_of_several_names_of_one_client_the_latest_is_possible() -> None:
    learned = Learned()
    learned.note_answer(DESK, "one.example", [(WEB, 60)], 0.0)
    learned.note_hello(DESK, WEB, "two.example", "tls", 1.0)
    assert learned.look_up(DESK, WEB, 2.0) == Named("two.example", "tls", POSSIBLE, 1)


def test_lifetimes_have_a_floor_and_a_ceiling() -> None:
    learned = Learned()
    learned.note_answer(DESK, "short.example", [(WEB, 1)], 0.0)
    learned.note_answer(DESK, "long.example", [(OTHER, 10**9)], 0.0)
    assert isinstance(learned.look_up(DESK, WEB, 299.0), Named)
    assert learned.look_up(DESK, WEB, 301.0) == Unnamed(EXPIRED)
    assert isinstance(learned.look_up(DESK, OTHER, 86399.0), Named)
    assert learned.look_up(DESK, OTHER, 86401.0) == Unnamed(EXPIRED)


def test_saying_it_again_makes_it_last_longer_and_takes_no_more_room() -> None:
    learned = Learned(names_each=2)
    for when in (0.0, 200.0, 400.0):
        learned.note_answer(DESK, "www.example", [(WEB, 60)], when)
    assert isinstance(learned.look_up(DESK, WEB, 650.0), Named)
    assert learned.dropped == 0


def test_it_stays_bounded_and_what_was_named_longest_ago_goes_first() -> None:
    learned = Learned(addresses=2, names_each=2)
    for number in range(5):
        learned.note_answer(DESK, f"n{number}.example", [(WEB, 600)], float(number))
    assert learned.names(WEB, 5.0) == ("n3.example", "n4.example")
    learned.note_hello(DESK, OTHER, "other.example", "tls", 6.0)
    learned.note_hello(DESK, packed("198.51.100.3"), "third.example", "tls", 7.0)
    assert len(learned) == 2
    assert learned.names(WEB, 7.0) == ()
    assert learned.dropped == 4


def test_names_are_bounded_however_few_addresses_they_are_of() -> None:
    learned = Learned(addresses=16)
    for number in range(16 * 8):
        learned.note_hello(DESK, packed(f"203.0.113.{number // 8}"), f"n{number}.example", "tls", float(number // 64))
        held = sum(len(learned.names(packed(f"203.0.113.{place}"), 1.0)) for place in range(16))
        assert held == learned._count <= 32
    assert learned.names(packed("203.0.113.15"), 1.0)
    learned.note_answer(DESK, "dns.example", [(packed("203.0.113.15"), 60)], 1.0)
    before = learned._count
    learned.expire(302.0)
    assert learned._count == before - 1
    learned.expire(3602.0)
    assert (len(learned), learned._count) == (0, 0)


def test_what_is_too_old_is_forgotten() -> None:
    learned = Learned()
    learned.note_answer(DESK, "www.example", [(WEB, 60)], 0.0)
    learned.expire(299.0)
    assert len(learned) == 1
    learned.expire(301.0)
    assert len(learned) == 0


def test_names_that_encrypted_hellos_show_are_known_and_bounded() -> None:
    learned = Learned()
    learned.note_answer(DESK, "www.example", [], 0.0, ["front.example"])
    for client in (DESK, LAPTOP):
        assert learned.hides_another(client, WEB, "front.example", 1.0)
        assert not learned.hides_another(client, WEB, "www.example", 1.0)
    learned.note_answer(DESK, "www.example", [], 0.0, [f"f{number}.example" for number in range(256)])
    assert not learned.hides_another(DESK, WEB, "front.example", 1.0)
    assert learned.hides_another(DESK, WEB, "f255.example", 1.0)


def test_the_name_in_front_of_the_largest_provider_is_known_without_any_answer() -> None:
    assert Learned().hides_another(DESK, WEB, "cloudflare-ech.com", 0.0)


def test_a_liars_answer_hides_no_name_that_a_client_asked_for_itself() -> None:
    learned = Learned()
    learned.note_answer(LAPTOP, "liar.example", [], 0.0, ["bank.example"])
    learned.note_answer(DESK, "bank.example", [(WEB, 600)], 0.0)
    assert not learned.hides_another(DESK, WEB, "bank.example", 1.0)
    assert learned.hides_another(DESK, OTHER, "bank.example", 1.0)  # that address it was not told
    assert learned.hides_another(DESK, WEB, "bank.example", 601.0)
    assert learned.hides_another(LAPTOP, WEB, "bank.example", 1.0)


def test_a_client_who_tells_much_has_his_own_words_thrown_out() -> None:
    learned = Learned(addresses=64)
    learned.note_hello(DESK, WEB, "www.example", "tls", 0.0)
    learned.note_answer(DESK, "front.user", [], 0.0, ["front.example"])
    for number in range(500):
        learned.note_hello(LAPTOP, packed(f"203.0.113.{number % 256}"), f"n{number}.example", "tls", 1.0)
        learned.note_hello(LAPTOP, WEB, f"n{number}.example", "tls", 1.0)
        learned.note_answer(LAPTOP, "liar.example", [], 1.0, [f"n{number}.example"])
    assert len(learned) <= 64 and len(learned.names(WEB, 2.0)) == 8
    assert learned.look_up(DESK, WEB, 2.0) == Named("www.example", "tls", LIKELY, 7)
    assert learned.hides_another(DESK, WEB, "front.example", 2.0)
