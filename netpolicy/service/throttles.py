"""What the doors show of throttle profiles: their speeds, how and where they are held, what came and what was dropped.

Values in, values out; the keys are a public contract (docs/interfaces.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netpolicy.core.model import Throttle
from netpolicy.dataplane.kernel import Counted
from netpolicy.dataplane.limits import DIRECTIONS, UP
from netpolicy.dataplane.shaping import Way

NOTHING = Counted(0, 0, 0)


def document(profiles: Iterable[Throttle], ways: Iterable[Way], counted: Mapping[str, Counted]) -> list[dict[str, Any]]:
    """Every profile, in the order of the configuration; one that no rule names is held nowhere."""
    ways = tuple(ways)
    return [_profile(profile, ways, counted) for profile in profiles]


def _profile(profile: Throttle, ways: tuple[Way, ...], counted: Mapping[str, Counted]) -> dict[str, Any]:
    directions = []
    for direction in DIRECTIONS:
        rate = profile.up if direction == UP else profile.down
        if rate:
            seen = counted.get(f"{profile.name} {direction}", NOTHING)
            directions.append({
                "direction": direction, "rate": rate, "packets": seen.packets, "bytes": seen.bytes,
                "dropped": seen.dropped,
                "devices": [
                    {"device": way.device, "how": way.how, "why": way.why}
                    for way in ways
                    if (way.limit, way.direction) == (profile.name, direction)
                ],
            })  # fmt: skip
    return {"name": profile.name, "title": profile.title, "per": profile.per, "directions": directions}
