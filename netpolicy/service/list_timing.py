"""When a list is fetched next: after a success, after failures, and when it is told to be too old.

Pure; times are seconds, and a chance is a number from 0 up to 1. Spread, so that a thousand routers that came back
with the power do not ask one server at one moment.
"""

from __future__ import annotations

# More often than this no server of lists wants to be asked.
LEAST_SECONDS = 300.0

RETRY_FIRST_SECONDS = 15.0
RETRY_MOST_SECONDS = 3600.0

SPREAD = 0.1  # of a time, to both sides

# So many times its refresh may a copy be old before somebody is told; below that a night without a line is nothing.
STALE_TIMES = 3
STALE_LEAST_SECONDS = 2 * 86400.0

NEVER = float("inf")


def after_success(refresh: float, chance: float) -> float:
    """Seconds until the next time; NEVER where a list is fetched only when the configuration is loaded."""
    return _spread(max(refresh, LEAST_SECONDS), chance) if refresh else NEVER


def after_failure(failures: int, chance: float) -> float:
    """Seconds until the next attempt after so many failures in a row, at least one."""
    return _spread(min(RETRY_FIRST_SECONDS * 2 ** min(failures - 1, 20), RETRY_MOST_SECONDS), chance)


def at_start(refresh: float, age: float | None, chance: float) -> float:
    """Seconds until the first time, with a copy of that age; at once without one (None)."""
    if age is None or not refresh:
        return 0.0
    return min(max(_spread(max(refresh, LEAST_SECONDS), chance) - max(age, 0.0), 0.0), refresh)


def is_stale(refresh: float, age: float) -> bool:
    """Whether a copy is so old that somebody should know."""
    return bool(refresh) and age > max(STALE_TIMES * refresh, STALE_LEAST_SECONDS)


def _spread(seconds: float, chance: float) -> float:
    return seconds * (1 + SPREAD * (2 * chance - 1))
