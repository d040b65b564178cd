"""Schedules: hours of the week in local time, and whether one is active at a given minute.

Never reads a clock and knows no time zone: who asks brings the weekday and the minute of the
day. A window that ends before it begins goes past midnight and belongs to the day it began.
"""

from netpolicy.core.value import ValueProblem

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GROUPS = {"daily": (0, 1, 2, 3, 4, 5, 6), "weekdays": (0, 1, 2, 3, 4), "weekend": (5, 6)}

MIDNIGHT = 24 * 60  # minutes


class Schedule:
    """A window on some days. `days` ascending, Monday is 0; `start` and `stop` in minutes of the day."""

    __slots__ = ("days", "name", "position", "start", "stop", "title")

    def __init__(
        self,
        name: str,
        days: tuple[int, ...] = GROUPS["daily"],
        start: int = 0,
        stop: int = MIDNIGHT,
        title: str = "",
        position: str = "",
    ) -> None:
        if start % MIDNIGHT == stop % MIDNIGHT and (start, stop) != (0, MIDNIGHT):
            raise ValueProblem("from and to are the same time: the schedule is never active", "24:00 ends a whole day")
        if start == MIDNIGHT:
            raise ValueProblem("a schedule cannot begin at 24:00", "write 00:00, which is of the day named")
        self.name = name
        self.days = days
        self.start = start
        self.stop = stop
        self.title = title or name
        self.position = position

    def is_active(self, weekday: int, minute: int) -> bool:
        """Whether the window is open at that minute of that day (Monday is 0)."""
        if self.start < self.stop:
            return weekday in self.days and self.start <= minute < self.stop
        yesterday = (weekday + 6) % 7
        return (weekday in self.days and minute >= self.start) or (yesterday in self.days and minute < self.stop)


def parse_days(texts: tuple[str, ...]) -> tuple[int, ...]:
    """Weekdays from names, ranges (mon-fri, also fri-mon) and groups. Raises ValueProblem."""
    found: set[int] = set()
    for text in texts:
        for part in text.split(","):
            found.update(_days_of(part.strip().lower()))
    return tuple(sorted(found))


def _days_of(text: str) -> tuple[int, ...]:
    if text in GROUPS:
        return GROUPS[text]
    if "-" not in text:
        return (_day(text),)
    first, last = (_day(part.strip()) for part in text.split("-", 1))
    count = (last - first) % 7 + 1
    return tuple([(first + step) % 7 for step in range(count)])


def _day(text: str) -> int:
    for names in (DAYS, LONG_DAYS):
        if text in names:
            return names.index(text)
    raise ValueProblem("{!r} is not a day of the week".format(text), "mon to sun, mon-fri, weekdays, weekend or daily")


def format_days(days: tuple[int, ...]) -> tuple[str, ...]:
    """The canonical texts of ascending weekdays: runs of three and more as ranges."""
    texts: list[str] = []
    position = 0
    while position < len(days):
        end = position
        while end + 1 < len(days) and days[end + 1] == days[end] + 1:
            end += 1
        if end - position >= 2:
            texts.append(DAYS[days[position]] + "-" + DAYS[days[end]])
        else:
            texts.extend(DAYS[day] for day in days[position : end + 1])
        position = end + 1
    return tuple(texts)


def parse_time(text: str) -> int:
    """Minutes of the day of HH:MM, 24:00 included. Raises ValueProblem."""
    hour, colon, minute = text.strip().partition(":")
    if colon and _is_pair(hour, 1) and _is_pair(minute, 2):
        minutes = int(hour) * 60 + int(minute)
        if int(minute) < 60 and minutes <= MIDNIGHT:
            return minutes
    raise ValueProblem("{!r} is not a time of day".format(text), "HH:MM, for example 18:00")


def _is_pair(text: str, least: int) -> bool:
    return least <= len(text) <= 2 and all("0" <= c <= "9" for c in text)


def format_time(minutes: int) -> str:
    """HH:MM of a minute of the day."""
    return "{:02d}:{:02d}".format(minutes // 60, minutes % 60)


def active(schedules: tuple[Schedule, ...], weekday: int, minute: int) -> tuple[str, ...]:
    """The names of the schedules whose window is open, sorted."""
    return tuple(sorted([one.name for one in schedules if one.is_active(weekday, minute)]))
