"""Regular expressions of the `regex:` values: a subset of RE2's, matched in linear time.

Simulates all ways at once (Thompson 1968), so that no pattern and no name can make it slow:
CPython's `re` goes back and tries again, MicroPython's lacks most of the syntax. Never matches
across anything but one name; names are in lower case.
"""

from netpolicy.core.value import ValueProblem

MAX_PATTERN = 256
MAX_STATES = 1000  # after {m,n} is written out
MAX_DEPTH = 20
MAX_REPEAT = 100

DIGITS = "0123456789"
WORD = DIGITS + "abcdefghijklmnopqrstuvwxyz_"
SPACE = " \t\n\r\f\v"
CLASSES = {"d": DIGITS, "w": WORD, "s": SPACE}
PUNCTUATION = "\\.[](){}*+?|^$-/:_@!#%&=~<>,;'\""

# A state is a tuple: what it takes and where it goes on. SPLIT goes on in two places.
SPLIT, CHARACTERS, BEGIN, END, FOUND = range(5)

# What a state takes: (is_negated, characters). Only CHARACTERS takes something.
NOTHING = (False, "")


class Pattern:
    """A compiled pattern. `steps` counts the work of the last search: states looked at."""

    __slots__ = ("_start", "_states", "steps", "text")

    def __init__(self, text: str, states: "list[tuple[int, tuple[bool, str], int, int]]", start: int) -> None:
        self.text = text
        self._states = states
        self._start = start
        self.steps = 0

    def search(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in the text. O(states x characters)."""
        self.steps = 0
        text = text.lower()
        current: list[int] = []
        for position in range(len(text) + 1):
            seen: set[int] = set()
            ready: list[int] = []
            for one in current:
                self._follow(one, position, len(text), seen, ready)
            self._follow(self._start, position, len(text), seen, ready)
            if -1 in seen:
                return True
            if position == len(text):
                break
            character = text[position]
            current = []
            for number in ready:
                state = self._states[number]
                if (character in state[1][1]) != state[1][0]:
                    current.append(state[2])
        return False

    def _follow(self, state: int, position: int, length: int, seen: "set[int]", ready: "list[int]") -> None:
        """Everything that is reached from a state without a character; -1 in `seen` is the end of the pattern."""
        waiting = [state]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            self.steps += 1
            kind, _, follow, other = self._states[number]
            if kind == FOUND:
                seen.add(-1)
            elif kind == CHARACTERS:
                ready.append(number)
            elif kind == SPLIT:
                waiting.append(other)
                waiting.append(follow)
            elif (kind == BEGIN and position == 0) or (kind == END and position == length):
                waiting.append(follow)


def compile_pattern(text: str) -> Pattern:
    """The pattern of a text. Raises ValueProblem for what is not in the subset, with the character's number."""
    if len(text) > MAX_PATTERN:
        raise ValueProblem("a pattern has at most {} characters".format(MAX_PATTERN))
    if not text:
        raise ValueProblem("an empty pattern would match every name")
    if any(c < " " or c > "~" for c in text):
        raise ValueProblem("{!r}: names are seen in their ASCII form only".format(text), "write the xn-- form")
    parser = _Parser(text)
    tree = parser.alternatives(0)
    if parser.position < len(text):
        raise parser.fault("unbalanced )")
    builder = _Builder()
    return Pattern(text, builder.states, builder.build(tree, builder.add(FOUND)))


class _Parser:
    """Text to a tree of tuples: ("any of", branches), ("row", parts), ("repeat", part, least, most), a leaf."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    def fault(self, what: str) -> ValueProblem:
        return ValueProblem(
            "regex {!r}: {} at character {}".format(self._text, what, self.position + 1),
            "the subset of RE2 in docs/rules.md: . [] () | * + ? {m,n} ^ $ and \\d \\w \\s",
        )

    def _peek(self) -> str:
        return self._text[self.position : self.position + 1]

    def _take(self) -> str:
        self.position += 1
        return self._text[self.position - 1]

    def alternatives(self, depth: int) -> "tuple[object, ...]":
        if depth > MAX_DEPTH:
            raise self.fault("more than {} groups in each other".format(MAX_DEPTH))
        branches = [self._row(depth)]
        while self._peek() == "|":
            self._take()
            branches.append(self._row(depth))
        return ("any of", branches)

    def _row(self, depth: int) -> "tuple[object, ...]":
        parts = []
        while self._peek() and self._peek() not in "|)":
            parts.append(self._repeated(depth))
        return ("row", parts)

    def _repeated(self, depth: int) -> "tuple[object, ...]":
        part = self._atom(depth)
        if self._peek() in ("*", "+", "?", "{"):
            if part[0] in (BEGIN, END):
                raise self.fault("nothing to repeat")
            least, most = self._times()
            part = ("repeat", part, least, most)
            if self._peek() == "?":
                self._take()  # lazy: whether it matches stays the same
            if self._peek() in ("*", "+", "{"):
                raise self.fault("a repetition of a repetition")
        return part

    def _times(self) -> tuple[int, int]:
        """Least and most; most is -1 without a limit."""
        character = self._take()
        if character != "{":
            return {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[character]
        least = self._number()
        most = least
        if self._peek() == ",":
            self._take()
            most = -1 if self._peek() == "}" else self._number()
        if self._peek() != "}" or (most >= 0 and most < least):
            raise self.fault("a repetition is {m}, {m,} or {m,n}")
        self._take()
        return least, most

    def _number(self) -> int:
        digits = ""
        while self._peek() and self._peek() in DIGITS and len(digits) < 4:
            digits += self._take()
        if not digits or int(digits) > MAX_REPEAT:
            raise self.fault("a number from 0 to {} is needed".format(MAX_REPEAT))
        return int(digits)

    def _atom(self, depth: int) -> "tuple[object, ...]":
        character = self._peek()
        if character in "*+?{":
            raise self.fault("nothing to repeat")
        if character == "]" or character == "}":
            raise self.fault("{} must be written as \\{}".format(character, character))
        self._take()
        if character == "(":
            return self._group(depth)
        if character == "[":
            return (CHARACTERS, self._set())
        if character == ".":
            return (CHARACTERS, (True, ""))
        if character == "^":
            return (BEGIN,)
        if character == "$":
            return (END,)
        if character == "\\":
            return (CHARACTERS, self._escape())
        return (CHARACTERS, (False, character.lower()))

    def _group(self, depth: int) -> "tuple[object, ...]":
        if self._peek() == "?":
            self._take()
            if self._peek() != ":":
                raise self.fault("only (…) and (?:…) groups are possible")
            self._take()
        inner = self.alternatives(depth + 1)
        if self._peek() != ")":
            raise self.fault("a ( without its )")
        self._take()
        return inner

    def _escape(self) -> tuple[bool, str]:
        """(is_negated, characters) of what follows a backslash."""
        character = self._peek()
        if character and character.lower() in CLASSES:
            self._take()
            return character != character.lower(), CLASSES[character.lower()]
        if not character or character not in PUNCTUATION:
            raise self.fault("an escape that is not known")
        return False, self._take()

    def _set(self) -> tuple[bool, str]:
        negated = self._peek() == "^"
        if negated:
            self._take()
        found = ""
        is_first = True
        while self._peek() != "]" or is_first:
            if not self._peek():
                raise self.fault("a [ without its ]")
            found += self._range()
            is_first = False
        self._take()
        return negated, found

    def _range(self) -> str:
        first = self._member()
        if self._peek() != "-" or self._text[self.position + 1 : self.position + 2] in ("]", ""):
            return first
        self._take()
        last = self._member()
        if len(first) != 1 or len(last) != 1 or last < first:
            raise self.fault("a range goes from a character to a later one")
        return "".join([chr(code) for code in range(ord(first), ord(last) + 1)]).lower()

    def _member(self) -> str:
        character = self._take()
        if character == "[" and self._peek() in (":", ".", "="):
            raise self.fault("named classes are not possible")
        if character != "\\":
            return character.lower()
        negated, characters = self._escape()
        if negated:
            raise self.fault("a negated class inside []")
        return characters


class _Builder:
    """A tree to states, from its end to its beginning."""

    def __init__(self) -> None:
        self.states: list[tuple[int, tuple[bool, str], int, int]] = []

    def add(self, kind: int, what: tuple[bool, str] = NOTHING, follow: int = 0, other: int = 0) -> int:
        if len(self.states) >= MAX_STATES:
            raise ValueProblem("the pattern is too large: repetitions count as often as they are written out")
        self.states.append((kind, what, follow, other))
        return len(self.states) - 1

    def build(self, tree: "tuple[object, ...]", follow: int) -> int:
        """The state in which the tree begins that goes on at `follow`."""
        kind = tree[0]
        if kind == "row":
            for part in reversed(tree[1]):  # type: ignore[call-overload]
                follow = self.build(part, follow)
            return follow
        if kind == "any of":
            return self._any_of(tree[1], follow)  # type: ignore[arg-type]
        if kind == "repeat":
            return self._repeat(tree[1], tree[2], tree[3], follow)  # type: ignore[arg-type]
        return self.add(kind, tree[1] if len(tree) > 1 else NOTHING, follow)  # type: ignore[arg-type]

    def _any_of(self, branches: "list[tuple[object, ...]]", follow: int) -> int:
        start = self.build(branches[-1], follow)
        for branch in reversed(branches[:-1]):
            start = self.add(SPLIT, NOTHING, self.build(branch, follow), start)
        return start

    def _repeat(self, part: "tuple[object, ...]", least: int, most: int, follow: int) -> int:
        if most < 0:
            loop = self.add(SPLIT, NOTHING, 0, follow)
            start = self.build(part, loop)
            self.states[loop] = (SPLIT, NOTHING, start, follow)
            follow = loop
        else:
            out = follow
            for _ in range(most - least):
                follow = self.add(SPLIT, NOTHING, self.build(part, follow), out)
        for _ in range(least):
            follow = self.build(part, follow)
        return follow
