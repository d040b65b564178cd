"""What was probably meant: the known word that is closest to a written one.

Never changes anything: a suggestion is for a person. Distance is Damerau's: insert, delete,
replace or swap neighbours (Damerau 1964). Runs on MicroPython, which has no difflib.
"""

LONGEST = 64
MOST = 1000  # known words; who has more of them has no use for a comparison with each


def closest(word: str, known: tuple[str, ...]) -> str:
    """The known word with the least distance, "" when none is close. Among equals the first in the alphabet."""
    asked = word[:LONGEST].lower()
    if len(known) > MOST or len(asked) < 2:
        return ""
    allowed = 1 if len(asked) < 4 else 2 if len(asked) < 8 else 3
    best = ""
    for candidate in sorted(set(known)):
        if abs(len(candidate) - len(asked)) > allowed:
            continue
        found = distance(asked, candidate.lower())
        if found <= allowed and found < max(len(asked), 2):
            best, allowed = candidate, found - 1
    return best


def distance(one: str, other: str) -> int:
    """How many single changes make the one word the other. O(len(one) x len(other))."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        last, before, row = before, row, [i + 1]
        for j, b in enumerate(other):
            cost = min(before[j + 1] + 1, row[j] + 1, before[j] + (a != b))
            if i and j and a == other[j - 1] and one[i - 1] == b:
                cost = min(cost, last[j - 1] + 1)
            row.append(cost)
    return row[-1]
