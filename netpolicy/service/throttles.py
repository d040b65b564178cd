"""What the doors show of throttle profiles: their speeds, how and where they are held, what came and what was dropped.

Values in, values out; the keys are a public contract (docs/interfaces.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netpolicy.core.model import Throttle
from netpolicy.core.pairs import profile_of
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
            held = [way for way in ways if way.direction == direction and profile_of(way.limit) == profile.name]
            seen = [counted.get(f"{name} {direction}", NOTHING) for name in {way.limit for way in held}]
            directions.append({
                "direction": direction, "rate": rate,
                "packets": sum(one.packets for one in seen), "bytes": sum(one.bytes for one in seen),
                "dropped": sum(one.dropped for one in seen),
                "devices": [
                    {"device": device, "how": how, "why": why}
                    for device, how, why in sorted({(way.device, way.how, way.why) for way in held})
                ],
            })  # fmt: skip
    return {"name": profile.name, "title": profile.title, "per": profile.per, "directions": directions}
