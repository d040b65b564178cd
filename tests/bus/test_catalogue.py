"""What the embedded broker keeps and how it is found."""

from netpolicy.bus.catalogue import Catalogue, Peer


def some_peer() -> Peer:
    return Peer(5000, True, "root", "root", lambda data: None, lambda: 0)


def test_lookup_is_in_order_of_names_and_a_star_matches_the_rest():
    catalogue, peer = Catalogue(), some_peer()
    for path in ("network.interface.wan", "uci", "network", "network.interface"):
        catalogue.add(peer, path, None)
    assert [e.path for e in catalogue.named(None)] == ["network", "network.interface", "network.interface.wan", "uci"]
    assert [e.path for e in catalogue.named("network.*")] == ["network.interface", "network.interface.wan"]
    assert [e.path for e in catalogue.named("uci")] == ["uci"]
    assert list(catalogue.named("uc")) == []


def test_a_signature_lives_as_long_as_its_last_object():
    catalogue, peer = Catalogue(), some_peer()
    signature = catalogue.add_signature(b"")
    first, second = catalogue.add(peer, "a", signature), catalogue.add(peer, "b", signature)
    catalogue.remove(first)
    assert signature.number in catalogue.signatures
    catalogue.remove(second)
    assert catalogue.signatures == {}
