"""The proof: reference evaluator, compiled index and real kernel decide alike (`make prove`).

Nothing here is a copy of the product's ideas: a *scene* (rules as text, lists, state, lines that
are down) is made from a seed; the reference decides from it, the product compiles it, and real
packets through a router in an anonymous namespace say what the kernel made of it.

| module | what it does |
|--|--|
| scene | what a case is made of, as plain values; from there to a Ruleset and to DSL text |
| generate, values | random scenes: few values of each kind, nested and touching, so that rules collide |
| mutate | one change to a scene: what an incremental compiler has to get right |
| aim, packet | packets on the borders of the rules and one beyond, as facts and as bytes |
| router, witness | a router for many rule sets; a table after ours tells class and honesty of each packet |
| compare | the oracle (core/evaluate.py alone) against what the witness saw and the counters counted |
| engine | reference against compiled index |
| shrink | a smaller rule set with the same disagreement |

Repeating. A disagreement is printed with its seed and the steps that led to it:

    make prove SEEDS="17 18"                        # seed 17 alone: kernel and reloads
    python -m tests.prove shrink 17                 # the smallest rule set and packet that still differ

The shrinker repeats the steps of the seed, then leaves out rules, values, list entries, steps and
packets as long as something differs, and prints scene before, scene after as DSL text, and the
packet as words for `netpolicy decide`. What it prints belongs into a test of its own.
"""
