"""A latency group in a latency group, and a member that nobody measures, with a real daemon and real probes.

The far side tells by which cable a new connection came. One daemon for all tests, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.leases import SEALED, USUAL, Far
from tests.kernel.streams import Place, place
from tests.netns import needs_root
from tests.outbounds.far_side import SWALLOW

pytestmark = [pytest.mark.kernel, needs_root]

# Line B is written first everywhere, and has no probe.
CONFIG = f"""
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
	option hold '0'
	list probe 'ping:203.0.113.5'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
config outbound 'inner'
	option type 'group'
	option strategy 'latency'
	list member 'wan_b'
	list member 'wan_a'
config outbound 'outer'
	option type 'group'
	option strategy 'latency'
	list member 'wan_b'
	list member 'inner'
config rule 'by_inner'
	list proto 'udp'
	list dest_port '{USUAL}'
	option route 'inner'
config rule 'by_outer'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'outer'
"""


class Scene:
    """The place, the daemon and the far side."""

    def __init__(self, where: Place, daemon: Netpolicyd, far: Far) -> None:
        self.where, self.daemon, self.far = where, daemon, far

    def goes_by(self, cable: str) -> None:
        """New connections of both rules leave by this cable, at the latest after the next probes."""
        until(lambda: all(self.far.asked(port).startswith(cable) for port in (USUAL, SEALED)), 40)

    def latency(self) -> float | None:
        found = self.daemon.call("outbounds")["outbounds"]
        return next(one for one in found if one["name"] == "wan_a")["health"]["latency_ms"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    with place() as where:
        where.server.run("ip", "route", "add", "192.168.1.0/24", "via", "198.51.100.2", "metric", "9")
        # Nothing may be measured yet when the daemon begins.
        where.server.run("nft", "-f", "-", text=SWALLOW.format(device="eth0"))
        far = Far(where.server, where.client, ("eth0", "eth1"))
        with netpolicyd(tmp_path_factory.mktemp("latency"), CONFIG) as daemon:
            daemon.settled()
            try:
                yield Scene(where, daemon, far)
            finally:
                far.close()


def test_as_long_as_nothing_is_measured_the_first_that_is_written_is_used(scene):
    scene.goes_by("eth1")
    assert scene.latency() is None


def test_the_first_answer_of_a_probe_moves_both_groups_to_what_is_measured(scene):
    scene.where.server.run("nft", "delete", "table", "inet", "swallow")
    scene.goes_by("eth0")
    assert scene.latency() is not None


@pytest.mark.slow  # three rounds lost, and three good ones of a line that failed
def test_what_nobody_measures_is_used_where_the_measured_one_died_and_left_when_it_is_back(scene):
    scene.where.server.run("nft", "-f", "-", text=SWALLOW.format(device="eth0"))
    scene.goes_by("eth1")
    scene.where.server.run("nft", "delete", "table", "inet", "swallow")
    scene.goes_by("eth0")
