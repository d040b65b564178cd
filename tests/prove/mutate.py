"""One change to a scene, as people and networks make them: what an incremental compiler must get right.

Each mutation is a function of (rng, scene, maker) that gives the scene after it; the same object
where nothing can be changed. Never touches the rules that it does not name.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from netpolicy.core.health import STATES
from tests.prove.generate import SCHEDULES, Maker, random_default, random_down
from tests.prove.scene import RuleText, Scene
from tests.prove.values import NAME_IN_LISTS

Mutation = Callable[[random.Random, Scene, Maker], Scene]

MUTATIONS: dict[str, Mutation] = {}

# After these the product must find that the kernel is as it should be.
UNCHANGED = ("nothing", "restarted_unchanged")
# Before these it forgets what it knows of the kernel.
RESTARTED = ("restarted", "restarted_unchanged")
NOT_AMONG_SEVERAL = ("several", "emptied", "growth", *RESTARTED)


def mutation(change: Mutation) -> Mutation:
    """Registers a mutation under its name."""
    MUTATIONS[change.__name__] = change
    return change


def _one_changed(rng: random.Random, scene: Scene, change: Callable[[RuleText], RuleText]) -> Scene:
    if not scene.rules:
        return scene
    at = rng.randrange(len(scene.rules))
    return scene.with_rules((*scene.rules[:at], change(scene.rules[at]), *scene.rules[at + 1 :]))


@mutation
def action(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return _one_changed(rng, scene, lambda rule: maker.action(rng, rule))


@mutation
def match(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return _one_changed(rng, scene, lambda rule: maker.fields(rng, rule))


@mutation
def value(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """Other values of one field; the set of fields stays."""

    def change(rule: RuleText) -> RuleText:
        if not rule.fields:
            return rule
        name = rng.choice(rule.fields)[0]
        fresh = maker.values(rng, name)
        return replace(rule, fields=tuple((one, fresh if one == name else values) for one, values in rule.fields))

    return _one_changed(rng, scene, change)


@mutation
def insertion(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    at = rng.randint(0, len(scene.rules))
    return scene.with_rules((*scene.rules[:at], maker.rule(rng), *scene.rules[at:]))


@mutation
def wedge(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """One more rule between the same two neighbours in rank: whoever numbers the ranks runs out of numbers."""
    if len(scene.rules) < 2:
        return insertion(rng, scene, maker)
    left = scene.rules[0]
    between = maker.action(rng, replace(left, name=maker.name(rng)))
    names = [name for name, _ in left.fields]
    fields = tuple((name, maker.values(rng, name)) for name in names)
    return scene.with_rules((left, replace(between, fields=fields, when=(), disable=()), *scene.rules[1:]))


@mutation
def growth(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """A hundred rules more at once, anywhere: what was sized for a few has to grow."""
    rules = [*scene.rules, *(maker.rule(rng) for _ in range(rng.choice((20, 100, 150))))]
    order = sorted(range(len(rules)), key=lambda at: (at < len(scene.rules) or rng.random() < 0.5, rng.random()))
    return scene.with_rules(tuple(rules[at] for at in order))


@mutation
def deletion(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    at = rng.randrange(len(scene.rules)) if scene.rules else 0
    return scene.with_rules(scene.rules[:at] + scene.rules[at + 1 :])


@mutation
def reorder(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """One rule moves to another place in the file."""
    if not scene.rules:
        return scene
    rules = list(scene.rules)
    moved = rules.pop(rng.randrange(len(rules)))
    rules.insert(rng.randint(0, len(rules)), moved)
    return scene.with_rules(tuple(rules))


@mutation
def shuffle(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    rules = list(scene.rules)
    rng.shuffle(rules)
    return scene.with_rules(tuple(rules))


@mutation
def priority(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """One rule gets another priority: that of another rule, one beside it, or a new one."""
    others = [rule.priority for rule in scene.rules] or [0]
    near = max(0, min(2147483647, rng.choice(others) + rng.choice((-1, 0, 0, 1))))
    wanted = rng.choice((near, near, rng.randrange(1000)))
    return _one_changed(rng, scene, lambda rule: replace(rule, priority=wanted))


@mutation
def swap(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """Two rules exchange their names: counters and actions must not follow the wrong one."""
    if len(scene.rules) < 2:
        return scene
    left, right = rng.sample(range(len(scene.rules)), 2)
    rules = list(scene.rules)
    names = rules[left].name, rules[right].name
    rules[left], rules[right] = replace(rules[left], name=names[1]), replace(rules[right], name=names[0])
    return scene.with_rules(tuple(rules))


@mutation
def rename(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return _one_changed(rng, scene, lambda rule: replace(rule, name=maker.name(rng)))


@mutation
def duplicate(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """A copy of a rule with another action, before or behind the first."""
    if not scene.rules:
        return scene
    original = rng.choice(scene.rules)
    copy = maker.action(rng, replace(original, name=maker.name(rng)))
    at = rng.randint(0, len(scene.rules))
    return scene.with_rules((*scene.rules[:at], copy, *scene.rules[at:]))


@mutation
def switch(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return _one_changed(rng, scene, lambda rule: replace(rule, enabled=not rule.enabled))


@mutation
def list_entry(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """One entry more, one less, or another one."""
    at = rng.randrange(len(scene.lists))
    name, entries = scene.lists[at]
    addresses = [entry for entry in entries if entry != NAME_IN_LISTS]
    if rng.random() < 0.6 and len(addresses) > 1:
        addresses.remove(rng.choice(addresses))
    if rng.random() < 0.6:
        addresses.insert(rng.randint(0, len(addresses)), maker.world.address(rng))
    changed = (name, (*dict.fromkeys(addresses), NAME_IN_LISTS))
    return replace(scene, lists=(*scene.lists[:at], changed, *scene.lists[at + 1 :]))


@mutation
def list_exchange(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """A whole list is another one."""
    at = rng.randrange(len(scene.lists))
    changed = maker.list_of(rng, scene.lists[at][0])
    return replace(scene, lists=(*scene.lists[:at], changed, *scene.lists[at + 1 :]))


@mutation
def health(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return replace(scene, state=rng.choice([state for state in STATES if state != scene.state]))


@mutation
def line(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """A line goes down, or comes up again."""
    return replace(scene, down=random_down(rng) if rng.random() < 0.7 else ())


@mutation
def schedule(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return replace(scene, active=tuple(sorted(rng.sample(SCHEDULES, rng.randint(0, 2)))))


@mutation
def default(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    return replace(scene, default=random_default(rng))


@mutation
def nothing(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """A reload of the same configuration: there must be nothing to do."""
    return replace(scene)


@mutation
def restarted_unchanged(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """The daemon starts anew and finds what it left: there must be nothing to do."""
    return replace(scene)


@mutation
def restarted(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """The daemon starts anew and finds the kernel as it was before something changed."""
    return several(rng, scene, maker)


@mutation
def emptied(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """All rules go, or all but one."""
    return scene.with_rules(scene.rules[: rng.randint(0, 1)])


@mutation
def several(rng: random.Random, scene: Scene, maker: Maker) -> Scene:
    """A handful of changes in one reload."""
    for _ in range(rng.randint(2, 6)):
        change = MUTATIONS[rng.choice([name for name in MUTATIONS if name not in NOT_AMONG_SEVERAL])]
        scene = change(rng, scene, maker)
    return scene
