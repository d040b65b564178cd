"""The shapes of the rules that stand in a policy, in their order: a change makes only those of other rules anew.

An object for each of ten thousand rules would be more than a megabyte; here they are one row of bytes.
Never knows what a shape means. Runs on MicroPython.
"""

from netpolicy.dataplane.rows import column
from netpolicy.dataplane.shape import Shape, shapes

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netpolicy.core.model import Rule
    from netpolicy.dataplane.policy import Entries, Policy
    from netpolicy.dataplane.shape import LargeSet, LearnedSet, Signature

    # What the shapes of a rule are but for their numbers: signature, long lists, how many bytes.
    Form = tuple[tuple[Signature, tuple[LargeSet | LearnedSet, ...], int], ...]


# With more rules that are others, all shapes are gathered anew, and those of others made once.
FEW = 256


class Kept:
    """Filled by `add`, rule after rule; read once it is closed."""

    __slots__ = ("_forms", "_held", "_kinds", "_numbers", "_policy", "_starts")

    def __init__(self, policy: "Policy") -> None:
        self._policy = policy
        self._forms: list[Form] = []  # thousands of rules have few
        self._numbers: dict[object, int] = {}  # by form
        self._kinds: Sequence[int] = []  # by place: the number of a form
        self._starts: Sequence[int] = []  # and where its numbers begin
        self._held: bytes | bytearray = bytearray()

    def add(self, found: "tuple[Shape, ...]") -> None:
        """The shapes of the next rule."""
        form = tuple([(shape.signature, len(shape.held)) for shape in found])
        number = self._numbers.get(form)
        if number is None:
            number = self._numbers[form] = len(self._forms)
            self._forms.append(tuple([(shape.signature, shape.large, len(shape.held)) for shape in found]))
        self._kinds.append(number)  # type: ignore[attr-defined]
        self._starts.append(len(self._held))  # type: ignore[attr-defined]
        for shape in found:
            self._held += shape.held

    def close(self) -> None:
        """All rules were there: what is kept takes as little as it needs from now on."""
        self._kinds, self._starts = column(self._kinds), column(self._starts)
        self._held = bytes(self._held)
        self._numbers = {}

    def shapes(self, place: int) -> "tuple[Shape, ...]":
        """Those of the rule at that place of the policy."""
        at = self._starts[place]
        found = []
        for signature, large, length in self._forms[self._kinds[place]]:
            found.append(Shape(signature, bytes(self._held[at : at + length]), large))
            at += length
        return tuple(found)

    def serves(self, policy: "Policy") -> bool:
        """Whether all rules of that policy have the shapes that those at their places had; then it is the policy kept.

        As where a rule leads elsewhere. O(rules), and the shapes of those that are others.
        """
        before, now = self._policy.entries, policy.entries
        if len(now) != len(before) or now.blocks != before.blocks or policy.device_names != self._policy.device_names:
            return False
        pairs = zip(now.rules, before.rules)  # noqa: B905 - MicroPython's zip knows no strict
        others = [place for place, (rule, known) in enumerate(pairs) if rule is not known]
        if len(others) > FEW or not all([_alike(shapes(now[at], policy), self.shapes(at)) for at in others]):
            return False
        self._policy = policy
        return True

    def known_to(self, policy: "Policy") -> "dict[Rule, int]":
        """The places of rules that have the same shapes in that policy; by rule, which is compared by identity."""
        before, now = self._policy.entries, policy.entries
        if policy.device_names != self._policy.device_names:
            return {}
        known = dict(zip(before.rules, range(len(before.rules))))  # noqa: B905 - MicroPython's zip knows no strict
        for rule in _blocking(before) ^ _blocking(now):
            known.pop(rule, None)
        return known


def _alike(found: "tuple[Shape, ...]", known: "tuple[Shape, ...]") -> bool:
    return [_values(shape) for shape in found] == [_values(shape) for shape in known]


def _values(shape: Shape) -> "tuple[object, ...]":
    return shape.signature, shape.held, [one.name for one in shape.large]


def _blocking(entries: "Entries") -> "set[Rule]":
    rules = zip(entries.rules, entries.blocks)  # noqa: B905 - MicroPython's zip knows no strict
    return {rule for rule, blocks in rules if blocks} if 1 in entries.blocks else set()
