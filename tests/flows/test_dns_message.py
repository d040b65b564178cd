"""What an answer proves: only what belongs to the name that was asked for."""

from __future__ import annotations

import pytest

from netpolicy.flows.dns_message import Asked, Proof, is_host, proof
from netpolicy.flows.dns_wire import parse
from netpolicy.flows.names import ADDRESS, DNS_REFUSED, MALFORMED, OTHER, TRUNCATED, Refused

from .dns_build import AAAA, HTTPS, TO_QUESTION, a, answer, cname, dnsmasq, opt, parameter, question, record, service
from .seen_flows import flow, mapped
from .test_dns_service import REAL_ECH

NAME = "www.example.com"
ONE, TWO = mapped("192.0.2.1"), mapped("192.0.2.2")


def proved(data: bytes) -> Proof:
    return proof(parse(data))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        proved(data)
    return refused.value.reason


def test_the_addresses_of_the_name_with_their_lifetimes():
    found = proved(answer("WwW.eXample.COM", a("192.0.2.1", lifetime=60), a("192.0.2.2", NAME), more=opt()))
    assert found == Proof((NAME,), ((ONE, 60), (TWO, 300)))
    six = proved(answer(NAME, a("2001:db8::1"), kind=AAAA))
    assert six == Proof((NAME,), ((mapped("2001:db8::1"), 300),))


def test_a_chain_of_aliases_in_any_order():
    records = [
        cname(TO_QUESTION, "cdn.example.net", 20),
        cname("CDN.example.net", "edge.example.org", 40),
        a("192.0.2.1", "edge.example.ORG", 30),
        a("192.0.2.2", "edge.example.org", 10),
    ]
    expected = Proof((NAME, "cdn.example.net", "edge.example.org"), ((ONE, 20), (TWO, 10)))
    assert proved(answer(NAME, *records)) == expected
    backwards = proved(answer(NAME, *records[::-1]))
    assert backwards == expected._replace(addresses=((TWO, 10), (ONE, 20)))


@pytest.mark.parametrize(
    "owner", ["other.example.com", "example.com", "a.www.example.com", "www.example.com.evil.example"]
)
def test_an_address_of_another_name_proves_nothing(owner):
    assert proved(answer(NAME, a("192.0.2.1", owner))) == Proof((NAME,), ())


def test_an_address_beside_the_chain_proves_nothing():
    found = proved(answer(NAME, cname(NAME, "cdn.example.net"), a("192.0.2.1"), a("192.0.2.2", "cdn.example.net")))
    assert found.addresses == ((TWO, 300),)
    assert (
        proved(answer(NAME, cname("other.example", "cdn.example.net"), a("192.0.2.1", "cdn.example.net"))).addresses
        == ()
    )


def test_addresses_behind_the_answer_prove_nothing():
    assert proved(answer(NAME, a("192.0.2.1"), more=a("192.0.2.2"))).addresses == ((ONE, 300),)


@pytest.mark.parametrize(
    "records",
    [
        [cname(NAME, NAME)],
        [cname(NAME, "b.example"), cname("b.example", NAME)],
        [cname(NAME, "b.example"), cname(NAME, "c.example"), a("192.0.2.1", "b.example")],
        [cname(NAME if not n else f"n{n}.example", f"n{n + 1}.example") for n in range(20)],
        [record(NAME, 5, b"\1b\0x")],
        [record(NAME, 1, bytes(5))],
        [record(NAME, 28, bytes(4))],
    ],
)
def test_records_that_break_the_rules_are_refused(records):
    assert refusal(answer(NAME, *records)) == MALFORMED


def test_an_alias_that_is_no_name_of_a_host_is_passed_over():
    odd = record(NAME, 5, b"\5a b.c\0")
    found = proved(answer(NAME, odd, a("192.0.2.1", b"\5A B.c\0")))
    assert found == Proof((NAME,), ((ONE, 300),))


def test_the_same_address_twice_has_the_shorter_life():
    assert proved(answer(NAME, a("192.0.2.1", lifetime=60), a("192.0.2.1", lifetime=30))).addresses == ((ONE, 30),)


def test_what_says_that_there_is_no_answer_proves_nothing():
    assert refusal(answer(NAME, flags=0x8183)) == DNS_REFUSED
    assert refusal(answer(NAME, cname(NAME, "b.example"), a("192.0.2.1", "b.example"), flags=0x8183)) == DNS_REFUSED
    assert refusal(answer(NAME, a("192.0.2.1"), more=opt(1))) == DNS_REFUSED
    assert refusal(answer(NAME, a("192.0.2.1"), flags=0x8380)) == TRUNCATED
    assert proved(answer(NAME)) == Proof((NAME,), ())


def test_questions_and_other_kinds_are_other():
    assert refusal(question(NAME)) == OTHER
    assert refusal(answer("1.2.0.192.in-addr.arpa", kind=12)) == OTHER
    assert refusal(answer(NAME, a("192.0.2.1"), kind=255)) == OTHER


def test_a_question_for_an_address_proves_no_name():
    assert refusal(answer("192.0.2.1", a("192.0.2.1"))) == ADDRESS


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"])
def test_what_filters_answer_is_no_host(address):
    assert not is_host(mapped(address))
    kind = AAAA if ":" in address else 1
    assert proved(answer(NAME, a(address), kind=kind)).addresses == ()


@pytest.mark.parametrize("address", ["192.168.1.1", "10.0.0.1", "1.1.1.1", "fd00::1", "2001:db8::1", "fe80::1"])
def test_what_one_host_can_have(address):
    assert is_host(mapped(address))


def test_services_with_hints_and_encrypted_hellos():
    hints = parameter(4, ONE[12:] + b"\0\0\0\0")
    records = [
        cname(NAME, "cdn.example.net", 100),
        record("cdn.example.net", HTTPS, service(hints, parameter(5, REAL_ECH)), 200),
        record("cdn.example.net", HTTPS, service(parameter(6, mapped("2001:db8::1")), target="svc.example"), 50),
        record("other.example", HTTPS, service(parameter(4, TWO[12:]))),
    ]
    found = proved(answer(NAME, *records, kind=HTTPS))
    assert found == Proof(
        (NAME, "cdn.example.net"), (), ((ONE, 100), (mapped("2001:db8::1"), 50)), True, ("cloudflare-ech.com",)
    )
    assert proved(answer(NAME, *records, kind=1)).hints == (), "nobody asked for services"


def test_the_answers_of_a_real_server():
    options = [
        "--cname=www.example.test,cdn.example.test", "--host-record=cdn.example.test,192.0.2.1,2001:db8::1,77",
        "--address=/blocked.test/", "--dns-rr=www.service.test,65,00010000040004c0000201",
    ]  # fmt: skip
    with dnsmasq(*options) as server:
        four = proved(server.ask(question("wWw.exAmple.test", more=opt())))
        six = proved(server.ask(question("www.example.test", AAAA)))
        assert four.names == ("www.example.test", "cdn.example.test") == six.names
        assert [address for address, _ in four.addresses + six.addresses] == [ONE, mapped("2001:db8::1")]
        assert four.addresses[0][1] <= 77
        assert refusal(server.ask(question("blocked.test"))) == DNS_REFUSED
        service_answer = proved(server.ask(question("www.service.test", HTTPS)))
        assert service_answer.hints[0][0] == ONE


def test_an_answer_is_told_from_one_that_nobody_asked_for():
    asked = Asked(limit=4, seconds=10)
    dns, told = flow(1, 53, 17), parse(answer(NAME, a("192.0.2.1")))
    assert not asked.was(dns, told, 0)
    asked.note(dns, parse(question("WWW.example.com")), 0)
    assert asked.was(dns, told, 9)
    assert asked.was(dns, told, 9.9), "answers are repeated"
    assert not asked.was(dns, told, 20)
    asked.note(dns, parse(question("WWW.example.com")), 20)
    assert not asked.was(flow(2, 53, 17), told, 21)
    for other in (question(NAME, AAAA), question(NAME, identifier=8), question("b.example")):
        lonely = Asked()
        lonely.note(dns, parse(other), 0)
        assert not lonely.was(dns, told, 1)
    with pytest.raises(Refused, match=OTHER):
        asked.note(dns, told, 0)


def test_questions_are_bounded_in_number_and_age():
    asked = Asked(limit=4, seconds=10)
    for number in range(9):
        asked.note(flow(1, 53, 17), parse(question(NAME, identifier=number)), number)
    assert len(asked) <= 4
    asked.expire(100)
    assert len(asked) == 0
