"""What the doors show of throttle profiles."""

from __future__ import annotations

from netpolicy.core.model import Throttle
from netpolicy.dataplane.kernel import Counted
from netpolicy.dataplane.shaping import Way
from netpolicy.service.throttles import document


def test_each_direction_says_what_came_what_was_dropped_and_what_holds_it_where():
    profile = Throttle("slow", 8_000_000, 2_000_000, "For guests", per="all")
    ways = (
        Way("slow", "up", "wan", "policed", "wan has a queue of somebody else: cake"),
        Way("slow", "down", "lan", "shaped"),
    )
    (found,) = document([profile], ways, {"slow up": Counted(9, 900, 2)})
    assert (found["name"], found["title"], found["per"]) == ("slow", "For guests", "all")
    up, down = found["directions"]
    assert up == {
        "direction": "up", "rate": 2_000_000, "packets": 9, "bytes": 900, "dropped": 2,
        "devices": [{"device": "wan", "how": "policed", "why": "wan has a queue of somebody else: cake"}],
    }  # fmt: skip
    assert down["packets"] == 0 and down["devices"] == [{"device": "lan", "how": "shaped", "why": ""}]


def test_what_the_limits_of_several_rules_of_a_profile_counted_is_one_sum():
    ways = [Way(f"slow:{rule}", "up", "wan", "shaped") for rule in ("tv", "guests")]
    counted = {"slow:tv up": Counted(1, 10, 0), "slow:guests up": Counted(2, 20, 1), "slower up": Counted(9, 9, 9)}
    (found,) = document([Throttle("slow", 0, 8_000, per="rule")], ways, counted)
    (up,) = found["directions"]
    assert (up["packets"], up["bytes"], up["dropped"]) == (3, 30, 1)
    assert up["devices"] == [{"device": "wan", "how": "shaped", "why": ""}]


def test_a_direction_without_a_speed_is_not_shown_and_an_unused_profile_is_held_nowhere():
    (found,) = document([Throttle("upload", 0, 1_000)], (), {})
    assert [one["direction"] for one in found["directions"]] == ["up"]
    assert found["directions"][0]["devices"] == []
