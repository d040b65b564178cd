"""One seed of the kernel proof: a scene, its packets, and a chain of mutations of it.

The same seed is the same journey on every machine. Never talks to a kernel itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.prove import aim
from tests.prove.generate import MANY_RULES, Maker, random_scene
from tests.prove.mutate import MUTATIONS
from tests.prove.packet import Sample
from tests.prove.scene import Scene

PACKETS = 200  # per scene
STEPS = 3  # mutations per seed
FRESH = 0.2  # share of packets that are aimed at what a mutation changed

# Now and then a long chain: packets, steps, rules, and the mutation of every step.
LONG = (30, 45, 40, "wedge")
LONG_EVERY = 100

# Rare, because afterwards little is left to be wrong.
RARE = ("emptied", "growth")

Journey = list[tuple[str, Scene, Sequence[Sample]]]


def journey(
    seed: int, packets: int = PACKETS, steps: int = STEPS, most_rules: int = MANY_RULES, only: str = ""
) -> Journey:
    """The scenes of a seed in their order, each with its packets and the name of what led to it.

    `only` is a mutation to use for every step, in place of random ones.
    """
    if seed % LONG_EVERY == LONG_EVERY - 1 and not only:
        packets, steps, most_rules, only = LONG
    rng = random.Random(seed)
    scene, maker = random_scene(rng, most_rules)
    samples = aim.samples(rng, scene, maker.world, packets)
    found: Journey = [("cold", scene, samples)]
    for _ in range(steps):
        name, after = _step(rng, found, maker, only)
        changed = [rule for rule in after.rules if rule not in scene.rules]
        fresh = aim.samples(rng, after, maker.world, int(packets * FRESH), packets + 1, changed)
        found.append((name, after, [*samples, *fresh]))
        scene = after
    return found


def _step(rng: random.Random, so_far: Journey, maker: Maker, only: str) -> tuple[str, Scene]:
    scene = so_far[-1][1]
    if only:
        return only, MUTATIONS[only](rng, scene, maker)
    if len(so_far) > 1 and rng.random() < 0.1:
        return "back", so_far[-2][1]
    common = [name for name in MUTATIONS if name not in RARE or rng.random() < 0.1]
    name = rng.choice(common)
    return name, MUTATIONS[name](rng, scene, maker)
