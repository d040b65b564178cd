"""When of several that would be asked in the same instant each is asked: a little sooner than it has to be.

Never reads a clock and draws no chance: seed, name and turn are arguments, and the same ones give the same. Never makes
anything later. Runs on MicroPython.
"""

SPREAD = 0.05  # of the time between two questions: enough for ten lines, and nothing that anybody notices

MASK = 0xFFFFFFFF
STEPS = 1 << 20  # exact in a float of 32 bits


def part(seed: int, name: str, turn: int) -> float:
    """From 0 to below 1, as good as chance: `seed` is of the router and its start, `name` of the line."""
    mixed = _mixed(seed ^ 0x9E3779B9)
    for one in name.encode():
        mixed = _mixed(mixed ^ one)
    return (_mixed(mixed ^ turn) >> 12) / STEPS


def sooner(seconds: float, of: float) -> float:
    """A wait of so many seconds, or up to SPREAD less of it; `of` from `part`."""
    return seconds * (1.0 - SPREAD * of)


def _mixed(number: int) -> int:
    """Each bit of a number of 32 bits on half of the others, and no two numbers on one (MurmurHash3's last step)."""
    number &= MASK
    number = (number ^ (number >> 16)) * 0x85EBCA6B & MASK
    number = (number ^ (number >> 13)) * 0xC2B2AE35 & MASK
    return number ^ (number >> 16)
