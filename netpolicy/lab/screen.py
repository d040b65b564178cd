"""Show the running lab: one picture updated in place, or plain lines where there is no terminal.

Draws what `story` made and nothing else; 80 columns and 24 lines are enough. Uses rich (full
picture only); without it the plain lines are used.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol, TextIO

from netpolicy.lab import story
from netpolicy.lab.control import COMMANDS, Lines
from netpolicy.lab.watch import Answers

WIDTH = 80
# Plain mode repeats a row only when it changed, and the counters no more often than this.
COUNTERS_EVERY_SECONDS = 10.0
KEYS = "a/b cable  s silent B  e edit  r reload  k kill daemon  ? help  q quit"


class Screen(Protocol):
    """Where the picture goes."""

    def show(self, answers: Answers, tries: list[story.Try], lines: Lines, now: float) -> None:
        """Bring it up to date."""

    def say(self, text: str) -> None:
        """Show the answer to a command, or an event of the lab."""

    def help(self) -> None:
        """Show what the keys and words do."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainScreen:
    """One line per change on `out`."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._shown: dict[Any, Any] = {}
        self._counters_at = 0.0

    def show(self, answers: Answers, tries: list[story.Try], lines: Lines, now: float) -> None:
        """Print what changed since the last time."""
        self._on_change("head", "netpolicy", story.headline(answers, now))
        if story.is_starting(answers, now):
            return  # lines that nobody looked at yet would be called down
        for name, device, up, _, remark in story.outbound_rows(answers, lines):
            self._on_change(("outbound", name), "outbound", f"{name} {device} {up} {remark}".rstrip())
        for item in tries:
            client, target, rule, outbound, outcome = story.connection_row(item)
            # The time differs every time; only another way or another error is news.
            told = f"{client} {target}: rule {rule}, outbound {outbound}, "
            self._on_change(
                ("try", client, target),
                "connection",
                told + outcome.partition(" ms")[0].rsplit(" ", 1)[0] if item.result.get("ok") else told + outcome,
            )
        if now - self._counters_at >= COUNTERS_EVERY_SECONDS:
            self._counters_at = now
            for name, _, action, hits, size, off in story.rule_rows(answers):
                self._on_change(("rule", name), "rule", f"{name} {action} hits={hits} {size} {off}".rstrip())

    def say(self, text: str) -> None:
        """Print it."""
        self._print("lab", text)

    def help(self) -> None:
        """One line per command."""
        for line in help_lines():
            self.say(line)

    def close(self) -> None:
        """Nothing to restore."""

    def _on_change(self, key: Any, kind: str, text: str) -> None:
        if self._shown.get(key) != text:
            self._shown[key] = text
            self._print(kind, text)

    def _print(self, kind: str, text: str) -> None:
        print(f"{kind:<10} {text}", file=self._out, flush=True)


class LiveScreen:
    """The picture on a terminal, through rich. `console` is given by tests only."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console()
        self._said = ""
        self._helping = False
        self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)
        self._live.start()
        self._last: tuple[Any, ...] = (Answers(), [], Lines(), 0.0)

    def show(self, answers: Answers, tries: list[story.Try], lines: Lines, now: float) -> None:
        """Draw the picture."""
        self._last = (answers, tries, lines, now)
        middle = help_table() if self._helping else connection_table(tries)
        self._live.update(picture(answers, lines, middle, self._said, self._console.height, now), refresh=True)

    def say(self, text: str) -> None:
        """Keep it among the events at the bottom."""
        self._said = text
        self.show(*self._last)

    def help(self) -> None:
        """Show the commands in place of the connections, or the connections again."""
        self._helping = not self._helping
        self.show(*self._last)

    def close(self) -> None:
        """Leave the second page of the terminal, show the cursor."""
        self._live.stop()


def picture(
    answers: Answers, lines: Lines, middle: Any, said: str, height: int, now: float = story.STARTING_SECONDS
) -> Any:
    """The whole picture as a rich renderable, not higher than `height` where that is possible."""
    from rich.console import Group
    from rich.text import Text

    outbounds = [] if story.is_starting(answers, now) else story.outbound_rows(answers, lines)
    rules = story.rule_rows(answers)
    parts: list[Any] = [
        Text("NetPolicy lab  " + story.headline(answers, now), style="bold", no_wrap=True, overflow="ellipsis"),
        _table((("way out", 8), ("device", 7), ("", 5), ("rtt", 7), ("", 46)), [_paint_outbound(r) for r in outbounds]),
        _table(
            (("rule", 14), ("matches", 30), ("does", 13), ("hits", 6), ("bytes", 7), ("", 3)),
            [_paint_rule(r) for r in rules],
        ),
        middle,
    ]
    # Three table heads, the headline, the last word and the keys.
    room = height - 6 - len(outbounds) - len(rules) - middle.row_count
    for line in story.log_lines(answers, room):
        parts.append(Text(line, style="dim", no_wrap=True, overflow="ellipsis"))
    parts.append(Text(said or " ", style="bold", no_wrap=True, overflow="ellipsis"))
    parts.append(Text(KEYS, style="reverse", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def connection_table(tries: list[story.Try]) -> Any:
    """Connection, rule, way out, and what came of it."""
    return _table(
        (("from", 7), ("connection", 22), ("rule", 14), ("way out", 10), ("the server saw it", 21)),
        [_paint_try(item) for item in tries],
    )


def help_table() -> Any:
    """The commands."""
    return _table((("key", 4), ("word", 8), ("does", 60)), [(c.key, c.word, c.says) for c in COMMANDS])


def help_lines() -> list[str]:
    """What every key does."""
    return [f"{command.key}  {command.word:<7} {command.says}" for command in COMMANDS]


def _table(columns: tuple[tuple[str, int], ...], rows: list[tuple[Any, ...]]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="underline cyan")
    for title, width in columns:
        table.add_column(
            title,
            width=width,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if title in ("hits", "bytes", "rtt") else "left",
        )
    for row in rows:
        table.add_row(*row)
    return table


def _styled(text: str, style: str) -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _paint_outbound(row: story.Row) -> tuple[Any, ...]:
    name, device, up, latency, remark = row
    return (_styled(name, _colour(name)), device, _styled(up, "green" if up == "up" else "bold red"), latency, remark)


def _paint_rule(row: story.Row) -> tuple[Any, ...]:
    name, match, action, hits, size, off = row
    return (_styled(name, "dim" if off else ""), match, _styled(action, _colour(action)), hits, size, off)


def _paint_try(item: story.Try) -> tuple[Any, ...]:
    client, target, rule, outbound, outcome = story.connection_row(item)
    style = _colour("wan_" + outcome[5:6].lower()) if outcome.startswith("from ") else "bold red"
    return (client, target, rule, _styled(outbound, _colour(outbound)), _styled(outcome, style))


def _colour(text: str) -> str:
    if "wan_a" in text:
        return "green"
    if "wan_b" in text:
        return "yellow"
    return "red" if "block" in text else ""
