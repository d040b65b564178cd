"""What is left out of a configuration because of mistakes, and why one is refused whole: in words, with the place.

Never decides what is used: assembling did (`Loaded`). Places and reasons are those of the diagnostics.
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.config.loaded import Loaded

ERROR = "error"  # config/diagnostic.py

# Names in one sentence: a file may have thousands of broken rules.
MOST_NAMES = 5


class LeftOut(NamedTuple):
    """A rule that is not used. `place` is file:line:column, "" where it is not known."""

    name: str
    why: str
    place: str

    @property
    def text(self) -> str:
        """For people: the rule, where it stands, why."""
        told = f"{self.place}, {self.why}" if self.place else self.why
        return f"{self.name} ({told})"

    def as_dict(self) -> dict[str, str]:
        """The JSON form; the keys are a public contract."""
        return {"name": self.name, "error": self.why, "place": self.place}


def left_out(loaded: Loaded | None) -> list[LeftOut]:
    """The rules that are left out, in the order in which they were found."""
    if loaded is None or not loaded.skipped:
        return []
    exact: dict[tuple[str, str], str] = {}
    of_rule: dict[str, str] = {}
    for one in loaded.diagnostics:
        if one.severity == ERROR and one.rule:
            place = f"{one.file}:{one.line}:{one.column}"
            exact.setdefault((one.rule, one.message), place)
            of_rule.setdefault(one.rule, place)
    return [LeftOut(name, why, exact.get((name, why)) or of_rule.get(name, "")) for name, why in loaded.skipped]


def refusal(loaded: Loaded) -> str:
    """Why such a configuration is not used at all, in one line."""
    wrong = [one for one in loaded.diagnostics if one.severity == ERROR]
    first = wrong[0].text().splitlines()[0] if wrong else "the configuration cannot be used"
    if loaded.fatal or not loaded.blocked_skip:
        return first
    names = [name for name, _ in loaded.skipped]
    told = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
    which = f"rule {told} blocks" if len(names) == 1 else f"of the rules that would be left out ({told}) one blocks"
    return f"{first}; {which} or has on_fail 'block': without it what it stops would pass, so nothing of this is used"
