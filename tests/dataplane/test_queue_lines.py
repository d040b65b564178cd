"""Queues that tc makes of our lines are those that the daemon makes by itself, for whatever speed."""

from __future__ import annotations

import random
import re
import shutil

import pytest

from netpolicy.dataplane import queue_lines, shaping
from netpolicy.dataplane.limits import Shaped
from netpolicy.dataplane.shaping import Observed
from netpolicy.dataplane.traffic_control import TrafficControl
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root, pytest.mark.skipif(not shutil.which("tc"), reason="there is no tc")]


def listed(device: str) -> list[str]:
    text = run("tc", "qdisc", "show", "dev", device) + run("tc", "-d", "class", "show", "dev", device)
    return sorted(re.sub(r"leaf \w+:|(?<=fifo) \w+:|(?<=codel) \w+:|direct_packets_stat \d+", "", text).splitlines())


def test_tc_makes_of_the_lines_what_the_daemon_makes(tmp_path):
    dice = random.Random(1)
    rates = [8000, 1_000_000, 8_000_000, 40_000_000_000, *(dice.randrange(8_000, 2_000_000_000) for _ in range(40))]
    shaped = tuple([Shaped("one", 0x100 + number, rate) for number, rate in enumerate(rates)])
    with private_netns():
        run("ip", "link", "add", "one", "type", "bridge")
        traffic = TrafficControl()
        seen = traffic.observe()
        for step in shaping.change(shaped, seen).before:
            traffic.take(step)
        wanted, seen = listed("one"), traffic.observe()
        (tmp_path / "lines").write_text(queue_lines.text(shaped, seen))
        run("tc", "qdisc", "del", "dev", "one", "root")
        run("tc", "-batch", str(tmp_path / "lines"))
        assert listed("one") == wanted and len(wanted) == 2 * len(rates) + 3
        assert shaping.change(shaped, traffic.observe()).is_empty
        run("tc", "qdisc", "replace", "dev", "one", "root", "handle", "1:", "pfifo")
        with pytest.raises(AssertionError):  # it is not ours to replace
            run("tc", "-batch", str(tmp_path / "lines"))
        assert "pfifo 1:" in run("tc", "qdisc", "show", "dev", "one")
        traffic.close()


def test_a_device_that_is_not_one_word_has_no_lines():
    with pytest.raises(ValueError, match="cannot be written"):
        queue_lines.text([Shaped("a b", 0x106, 8000)], Observed({}, {}))
