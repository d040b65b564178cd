"""Decide what happens by itself in the running lab, and when.

A scenario is a list of (second, command word); commands are those of `control`.
"""

from __future__ import annotations

SCENARIOS: dict[str, tuple[tuple[float, str], ...]] = {
    "none": (),
    # Each step long enough to see the connections move, and back to the start at the end.
    "tour": (
        (8, "edit"),
        (16, "edit"),
        (24, "edit"),
        (32, "line-b"),
        (42, "line-b"),
        (50, "silent"),
        (60, "silent"),
        (66, "kill"),
    ),
}
# With the time that it takes to see the last step.
TOUR_SECONDS = SCENARIOS["tour"][-1][0] + 4
