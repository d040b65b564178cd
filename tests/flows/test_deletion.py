"""Entries deleted by the hundred: those that are named, told by their ids, and none beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from netpolicy.flows import ctnetlink
from netpolicy.flows.deletion import Deletion
from netpolicy.flows.model import Flow
from tests.flows.crowd import client, fill
from tests.netns import needs_root, private_netns

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def table() -> Iterator[list[Flow]]:
    with private_netns():
        fill(client(number, 0x41000000) for number in range(450))
        yield ctnetlink.dump()


def test_exactly_what_is_named_goes(table):
    named, rest = table[:333], {flow.key for flow in table[333:]}
    deletion = Deletion()
    assert deletion.delete(named) == named
    assert {flow.key for flow in ctnetlink.dump()} == rest
    deletion.close()
    deletion.close()


def test_what_has_gone_already_is_not_told_again(table):
    deletion = Deletion()
    deletion.delete(table[10:20])
    assert deletion.delete(table[:30]) == table[:10] + table[20:30]
    assert deletion.delete(table[:250]) == table[30:250]
    assert deletion.delete([]) == []
    deletion.close()


def test_another_connection_between_the_same_ends_stays(table):
    """Its id is another one."""
    deletion = Deletion()
    assert deletion.delete([replace(table[0], id=table[0].id ^ 1), table[1]]) == [table[1]]
    assert table[0].key in {flow.key for flow in ctnetlink.dump()}
    deletion.close()
