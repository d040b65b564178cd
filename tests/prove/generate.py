"""Random scenes: rule sets of every size, with everything that a packet can be matched by.

The same random.Random gives the same scene. Sizes: mostly up to some tens of rules, often some
hundreds, now and then 2 000. Priorities come from few numbers (so that specificity and file
order decide) or from many (so that rules of different fields alternate in rank).
"""

from __future__ import annotations

import random
from dataclasses import replace

from netpolicy.core.health import STATES
from tests.prove.scene import TABLES, RuleText, Scene, Values
from tests.prove.values import DEVICES, DOMAINS, DSCP, INTERFACE_WORDS, MACS, NAMES, SNI, World

LINES = ("wan_b", "wan_c", "gone", "proxy", *(f"table_{number}" for number in TABLES))
GROUPS = ("pair", "dead", "nested", "mixed")
SCHEDULES = ("night", "work")
MANY_RULES = 2000

# Ways in which the priorities of one rule set are drawn.
PRIORITIES = (
    lambda rng, _: 10,
    lambda rng, _: rng.choice((0, 10, 10, 50)),
    lambda rng, _: rng.randrange(8),
    lambda rng, index: rng.randrange(1000),
    lambda rng, index: 2147483647 - index,
    lambda rng, index: index,
)

WEIGHTS = {
    "src_addr": 5, "dest_addr": 7, "src_port": 3, "dest_port": 6, "proto": 5, "src_iface": 4, "src_mac": 2,
    "family": 2, "dscp": 1, "schedule": 1, "domain": 2, "sni": 1,
}  # fmt: skip


class Maker:
    """Makes the rules of one scene; also later, when a mutation wants another one."""

    def __init__(self, rng: random.Random) -> None:
        self.world = World(rng)
        self.priority = rng.choice(PRIORITIES)
        self.lists = ("small", "large", "host_list")
        self.large = 0
        # Few sets of fields: then the rules of one set are many. Otherwise any.
        self.shapes = [self._shape(rng) for _ in range(rng.choice((1, 2, 4, 8)))] if rng.random() < 0.5 else []
        self._next = 0
        self._serial = 0

    def list_of(self, rng: random.Random, name: str) -> tuple[str, Values]:
        count = {"small": rng.randint(1, 6), "large": rng.choice((100, 500, 900)), "host_list": 12}[name]
        return name, self.world.entries(rng, count)

    def rule(self, rng: random.Random) -> RuleText:
        self._next += 1
        bare = RuleText(self.name(rng), self.priority(rng, self._next), (), ("", ""))
        return replace(
            self.action(rng, self.fields(rng, bare)),
            when=rng.choice(((), (), (), (), _states(rng))),
            disable=rng.choice(((), (), (), (), (), _states(rng))),
            enabled=rng.random() > 0.05,
        )

    def name(self, rng: random.Random) -> str:
        """A name that no rule of the scene has had; some are longer than the kernel's may be."""
        self._serial += 1
        return f"r{self._serial}" if rng.random() < 0.9 else f"Rule_{self._serial}_with_a_name_longer_than_any_chain"

    def fields(self, rng: random.Random, rule: RuleText) -> RuleText:
        """The same rule with other fields."""
        names = rng.choice(self.shapes) if self.shapes and rng.random() < 0.9 else self._shape(rng)
        if rng.random() < 0.04:  # many values in two fields: as many boxes as their product
            names = rng.sample(sorted(_DRAW_MANY), 2)
            return replace(rule, fields=tuple((name, self._many(rng, name)) for name in sorted(names)))
        return replace(rule, fields=tuple((name, self.values(rng, name)) for name in names))

    def action(self, rng: random.Random, rule: RuleText) -> RuleText:
        """The same rule with another action."""
        kind = rng.choice(("route", "route", "route", "switch_route", "block", "fallback"))
        on_fail = rng.choice(("next", "next", "direct", "block"))
        rule = replace(rule, log=rng.random() < 0.1, throttle="")
        if kind == "block":
            return replace(rule, action=(kind, rng.choice(("drop", "reject"))), targets=(), on_fail="next")
        goals = rng.sample((*LINES, *GROUPS, "direct", "closed", "plain"), 3 if kind == "fallback" else 1)
        targets = tuple(dict.fromkeys(goals)) if kind == "fallback" else ()
        throttle = rng.choice(("slow", "each")) if rng.random() < 0.1 else ""
        return replace(rule, action=(kind, goals[0]), targets=targets, on_fail=on_fail, throttle=throttle)

    def _many(self, rng: random.Random, name: str) -> Values:
        return tuple(dict.fromkeys(_DRAW_MANY[name](self.world, rng) for _ in range(rng.choice((20, 60)))))

    def values(self, rng: random.Random, name: str) -> Values:
        """Values of one field, negated ones among them."""
        if name == "family":
            return (rng.choice(("ipv4", "ipv6", "!ipv4", "!ipv6")),)
        if name.endswith("_addr") and rng.random() < 0.15:
            return self._list_values(rng)
        draw = _DRAW[name]
        count = rng.choice((1, 1, 1, 2, 3))
        drawn = [draw(self.world, rng) for _ in range(count)]
        negated = rng.random()
        if negated < 0.15:  # everything but
            drawn = ["!" + value for value in drawn]
        elif negated < 0.25 and count > 1:  # these but not those
            drawn[-1] = "!" + drawn[-1]
        return tuple(dict.fromkeys(drawn))

    def _list_values(self, rng: random.Random) -> Values:
        name = rng.choice(self.lists)
        if name == "large":
            self.large += 1
            if self.large > 8:  # the sum of all entries is what loading costs
                name = "small"
        sign = "!" if rng.random() < 0.2 else ""
        more = (rng.choice(("", "!")) + self.world.address(rng),) if rng.random() < 0.3 else ()
        return (f"{sign}@{name}", *more)

    def _shape(self, rng: random.Random) -> tuple[str, ...]:
        names = list(WEIGHTS)
        if rng.random() < 0.08:  # more than a key of the kernel's maps can hold
            return tuple(sorted(rng.sample(PARTS, rng.choice((5, 6)))))
        count = rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6, 9))
        found = rng.choices(names, [WEIGHTS[name] for name in names], k=count)
        return tuple(sorted(set(found)))


PARTS = ("dest_addr", "dest_port", "proto", "src_addr", "src_mac", "src_port")

_DRAW_MANY = {
    "src_addr": World.small,
    "dest_addr": World.small,
    "src_port": lambda world, rng: str(rng.randrange(65536)),
    "dest_port": lambda world, rng: str(rng.randrange(65536)),
}

_DRAW = {
    "src_addr": World.address,
    "dest_addr": World.address,
    "src_port": World.port,
    "dest_port": World.port,
    "proto": lambda world, rng: rng.choice(world.protocols),
    "src_iface": lambda world, rng: rng.choice(INTERFACE_WORDS),
    "src_mac": lambda world, rng: rng.choice(MACS),
    "dscp": lambda world, rng: rng.choice(DSCP),
    "schedule": lambda world, rng: rng.choice(SCHEDULES),
    "domain": lambda world, rng: rng.choice(DOMAINS),
    "sni": lambda world, rng: rng.choice(SNI),
}


def _states(rng: random.Random) -> Values:
    return tuple(rng.sample(STATES, rng.randint(1, 3)))


def size(rng: random.Random) -> int:
    """How many rules: of hundred sets 35 small, 40 of some tens, 24 of some hundreds, one of 2 000."""
    draw = rng.random()
    if draw < 0.35:
        return rng.randint(0, 12)
    if draw < 0.75:
        return rng.randint(13, 60)
    return rng.randint(61, 300) if draw < 0.99 else MANY_RULES


def random_scene(rng: random.Random, most_rules: int = MANY_RULES) -> tuple[Scene, Maker]:
    """A scene, and what makes further rules for it."""
    maker = Maker(rng)
    rules = tuple(maker.rule(rng) for _ in range(min(size(rng), most_rules)))
    scene = Scene(
        rules,
        tuple(maker.list_of(rng, name) for name in maker.lists),
        (
            ("pair", ("gone", "wan_c", "wan_b")), ("dead", ("gone", "proxy")),
            ("nested", ("dead", "table_121", "pair")),
            ("mixed", tuple(rng.sample((*LINES, "pair", "plain", "closed"), 3))),
        ),
        SCHEDULES,
        default=random_default(rng),
        state=rng.choice(("NORMAL", "NORMAL", *STATES)),
        down=random_down(rng),
        heard=tuple((name, maker.world.hosts(rng)) for name in NAMES),
        balanced=tuple((name, rng.choice((0, 60))) for name in GROUPS if rng.random() < 0.5),
        active=tuple(sorted(rng.sample(SCHEDULES, rng.randint(0, 2)))),
        keeps_rules=rng.random() < 0.5,
    )  # fmt: skip
    return scene, maker


def random_default(rng: random.Random) -> str:
    return rng.choice(("direct", "direct", "wan_b", "wan_c", "block", "pair", "dead", "table_122"))


def random_down(rng: random.Random) -> Values:
    """Devices and tables that lead nowhere now."""
    candidates = [name for name in DEVICES if name.startswith("wan")] + [str(number) for number in TABLES]
    return tuple(sorted(rng.sample(candidates, rng.choice((0, 0, 1, 2)))))
