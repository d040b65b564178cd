"""From a disagreement to the smallest scene and packet that still disagree.

Leaves out steps, packets, rules, fields, values and list entries, one half, quarter, … at a time,
and keeps every omission after which anything still differs. Never adds anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.prove.chain import Journey
from tests.prove.compare import attempt, words
from tests.prove.router import Router
from tests.prove.scene import RuleText, Scene, dsl
from tests.prove.values import NAME_IN_LISTS

Item = TypeVar("Item")


def reduced(items: Sequence[Item], still_fails: Callable[[Sequence[Item]], bool]) -> list[Item]:
    """The items without those that the failure does not need. O(n log n) trials where few are needed."""
    kept = list(items)
    part = len(kept)
    while part >= 1:
        start = 0
        while start < len(kept):
            without = kept[:start] + kept[start + part :]
            if still_fails(without):
                kept = without
            else:
                start += part
        part //= 2
    return kept


class Shrinker:
    """Shrinks one journey; `journey` is the smallest so far."""

    def __init__(self, router: Router, journey: Journey) -> None:
        self._router = router
        self.journey = journey
        self.trials = 0

    def run(self) -> list[str]:
        """Shrinks as far as it goes; the differences that are left, empty where there never was one."""
        found = attempt(self._router, self.journey)
        if not found.differences:
            return []
        self._steps()
        self._packets(found.wrong)
        self._rules()
        self._lists()
        self._surroundings()
        self._inside_rules()
        self._rules()
        return attempt(self._router, self.journey).differences

    def text(self) -> str:
        """What is left, for people."""
        parts = [f"## {name}\n{dsl(scene)}" for name, scene, _ in self.journey]
        packets = [f"# packet {sample.number}: {words(sample.facts)}" for sample in self.journey[-1][2]]
        return "\n".join(parts + packets)

    def _fails(self, journey: Journey) -> bool:
        self.trials += 1
        if journey and attempt(self._router, journey).differences:
            self.journey = journey
            return True
        return False

    def _steps(self) -> None:
        for count in range(1, len(self.journey)):
            if self._fails(self.journey[:count]):
                break
        reduced(self.journey, self._fails)

    def _packets(self, wrong: set[int]) -> None:
        whole = self.journey

        def fails(numbers: Sequence[int]) -> bool:
            kept = set(numbers)
            return self._fails(
                [(name, scene, [one for one in samples if one.number in kept]) for name, scene, samples in whole]
            )

        everything = sorted({sample.number for _, _, samples in whole for sample in samples})
        # Most often the packets that went wrong are enough, and then one of them is.
        reduced(sorted(wrong) if wrong and fails(sorted(wrong)) else everything, fails)

    def _each_scene(self, change: Callable[[Scene], Scene]) -> bool:
        changed = [(name, change(scene), samples) for name, scene, samples in self.journey]
        return changed != self.journey and self._fails(changed)

    def _rules(self) -> None:
        whole = self.journey
        names = sorted({rule.name for _, scene, _ in whole for rule in scene.rules})

        def fails(kept: Sequence[str]) -> bool:
            return self._fails(
                [
                    (name, scene.with_rules(tuple(rule for rule in scene.rules if rule.name in kept)), samples)
                    for name, scene, samples in whole
                ]
            )

        reduced(names, fails)

    def _lists(self) -> None:
        for at in range(len(self.journey[0][1].lists)):
            whole = self.journey
            entries = sorted({entry for _, scene, _ in whole for entry in scene.lists[at][1]} - {NAME_IN_LISTS})

            def fails(kept: Sequence[str], at: int = at, whole: Journey = whole) -> bool:
                wanted = {*kept, NAME_IN_LISTS}
                changed = []
                for name, scene, samples in whole:
                    title, found = scene.lists[at]
                    rest = tuple(entry for entry in found if entry in wanted)
                    if len(rest) < 2:
                        return False  # a list without addresses is not one that a rule may name
                    lists = (*scene.lists[:at], (title, rest), *scene.lists[at + 1 :])
                    changed.append((name, replace(scene, lists=lists), samples))
                return self._fails(changed)

            reduced(entries, fails)

    def _surroundings(self) -> None:
        self._each_scene(lambda scene: replace(scene, default="direct"))
        self._each_scene(lambda scene: replace(scene, down=()))
        self._each_scene(lambda scene: replace(scene, state="NORMAL"))

    def _inside_rules(self) -> None:
        for name in sorted({rule.name for _, scene, _ in self.journey for rule in scene.rules}):
            for change in _simpler():
                while self._each_scene(lambda scene, name=name, change=change: _with(scene, name, change)):
                    pass


def _with(scene: Scene, name: str, change: Callable[[RuleText], RuleText]) -> Scene:
    return scene.with_rules(tuple(change(rule) if rule.name == name else rule for rule in scene.rules))


def _simpler() -> list[Callable[[RuleText], RuleText]]:
    """Ways to make a rule say less; each gives the rule itself where it has nothing to leave out."""
    ways = [
        lambda rule: replace(rule, when=(), disable=()),
        lambda rule: replace(rule, action=("route", "wan_b"), targets=(), on_fail="next"),
    ]
    for at in range(6):
        ways.append(lambda rule, at=at: replace(rule, fields=rule.fields[:at] + rule.fields[at + 1 :]))
        for value in range(3):
            ways.append(lambda rule, at=at, value=value: _without_value(rule, at, value))
    return ways


def _without_value(rule: RuleText, at: int, value: int) -> RuleText:
    if at >= len(rule.fields) or len(rule.fields[at][1]) < 2:
        return rule
    name, values = rule.fields[at]
    fields = (*rule.fields[:at], (name, values[:value] + values[value + 1 :]), *rule.fields[at + 1 :])
    return replace(rule, fields=fields)
