"""The reverse path filter of a device: the stricter of the two settings, and nothing is written."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.host import STRICT, reverse_path_filter
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.mark.parametrize(("every", "own", "applies"), [(0, 0, 0), (0, 1, STRICT), (1, 0, STRICT), (2, 1, 2), (1, 2, 2)])
def test_the_higher_of_both_settings_applies(every, own, applies):
    with private_netns() as here:
        run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "far")
        here.sysctl("net/ipv4/conf/all/rp_filter", every)
        here.sysctl("net/ipv4/conf/wan/rp_filter", own)
        assert reverse_path_filter("wan") == applies


@pytest.mark.parametrize("device", ["gone0", "../../../../etc/passwd", "", "a\0b"])
def test_a_device_that_is_not_there_counts_as_the_rest(device):
    with private_netns() as here:
        here.sysctl("net/ipv4/conf/all/rp_filter", 0)
        assert reverse_path_filter(device) == 0
