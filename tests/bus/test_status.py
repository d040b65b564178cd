"""Statuses carry the words of the ubus tool."""

from netpolicy.bus import status
from netpolicy.bus.status import UbusError, describe


def test_numbers_and_words_are_those_of_ubus():
    assert describe(status.METHOD_NOT_FOUND) == "Method not found"
    assert describe(status.SYSTEM_ERROR) == "System error"
    assert describe(99) == "Unknown error: 99"


def test_an_error_says_its_own_words_first():
    assert str(UbusError(2, "argument 'x' must be a text")) == "argument 'x' must be a text (ubus status 2)"
    assert UbusError(4).text == "Not found"
