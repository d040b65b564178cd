"""python-ubus behind our interface: what is said where it is absent, and its own limits."""

from __future__ import annotations

import sys
import types

import pytest

from netpolicy.bus import library
from netpolicy.bus.blocking import BlockingClient
from netpolicy.bus.status import UbusError

from .world import LibraryCaller, need


def test_without_the_library_the_own_client_is_used(monkeypatch, demo):
    monkeypatch.setitem(sys.modules, "ubus", None)
    with library.open_client(demo.path) as client:
        assert isinstance(client, BlockingClient)
    with pytest.raises(UbusError, match="not installed"):
        library.LibraryClient(demo.path)


def test_another_package_called_ubus_does_not_count(monkeypatch):
    monkeypatch.setitem(sys.modules, "ubus", types.ModuleType("ubus"))
    assert library.load() is None


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Object 'x' was not found.", 4),
        ("ubus error occured: Method not found", 3),
        ("ubus error occured: Permission denied", 6),
        ("ubus error occured: Request timed out", 7),
        ("ubus error occured: Unknown error", 9),
        ("something new", 9),
    ],
)
def test_the_words_of_the_library_become_a_status(words, status):
    assert library._error(words).status == status


def test_no_socket_is_status_10(tmp_path):
    need("python-ubus")
    with pytest.raises(UbusError) as raised:
        LibraryCaller(str(tmp_path / "none")).call("a", "b")
    assert raised.value.status == 10
