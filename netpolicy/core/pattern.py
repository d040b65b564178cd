"""Regular expressions of the `regex:` values: a subset of RE2's, matched in linear time.

Simulates all ways at once (Thompson 1968), so that no pattern and no name can make it slow:
CPython's `re` goes back and tries again, MicroPython's lacks most of the syntax. Never calls
itself: a pattern chooses how deep its groups are, and MicroPython's stack is small.
"""

from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    State = tuple[int, tuple[bool, str], int, int]

MAX_PATTERN = 256
MAX_STATES = 1000  # after {m,n} is written out
MAX_DEPTH = 20
MAX_REPEAT = 100

DIGITS = "0123456789"
WORD = DIGITS + "abcdefghijklmnopqrstuvwxyz_"
SPACE = " \t\n\r\f\v"
CLASSES = {"d": DIGITS, "w": WORD, "s": SPACE}
PUNCTUATION = "\\.[](){}*+?|^$-/:_@!#%&=~<>,;'\""

# A state is a tuple: its kind, what it takes, and how far from itself it goes on; SPLIT goes on in
# two places. The end of a part is just behind its last state, so that parts are put together and
# repeated as lists are. What is behind the last state of all is the match.
SPLIT, JUMP, CHARACTERS, BEGIN, END = range(5)

# What a state takes: (is_negated, characters). Only CHARACTERS takes something.
NOTHING = (False, "")


class Pattern:
    """A compiled pattern. `steps` counts the work of the last search: states looked at."""

    __slots__ = ("_states", "steps", "text")

    def __init__(self, text: str, states: "list[State]") -> None:
        self.text = text
        self._states = states
        self.steps = 0

    def search(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in the text. O(states x characters)."""
        self.steps = 0
        current = [0]
        is_begin = True
        for character in text.lower():  # an index costs MicroPython the way to it
            ready = self._ready(current, is_begin, False)
            if ready is None:
                return True
            current = self._after(character, ready)
            current.append(0)  # a match may begin anywhere
            is_begin = False
        return self._ready(current, is_begin, True) is None

    def _ready(self, current: "list[int]", is_begin: bool, is_end: bool) -> "list[int] | None":
        """The states reached without a character that wait for one; None if the match is reached."""
        seen: set[int] = set()
        ready = []
        while current:
            number = current.pop()
            if number == len(self._states):
                return None
            if number in seen:
                continue
            seen.add(number)
            self.steps += 1
            kind, _, follow, other = self._states[number]
            if kind == CHARACTERS:
                ready.append(number)
            elif (kind != BEGIN or is_begin) and (kind != END or is_end):
                current.append(number + follow)
                if kind == SPLIT:
                    current.append(number + other)
        return ready

    def _after(self, character: str, ready: "list[int]") -> "list[int]":
        found = []
        for number in ready:
            is_negated, characters = self._states[number][1]
            if (character in characters) != is_negated:
                found.append(number + 1)
        return found


def compile_pattern(text: str) -> Pattern:
    """The pattern of a text. Raises ValueProblem for what is not in the subset, with the character's number."""
    if len(text) > MAX_PATTERN:
        raise ValueProblem(
            "a regex has at most {} characters, not {}".format(MAX_PATTERN, len(text)), "write two or more of them"
        )
    if not text:
        raise ValueProblem("an empty regex would match every name", "for example regex:^ad[0-9]+\\.")
    for position, character in enumerate(text):
        if character < " " or character > "~":
            raise ValueProblem(
                "a regex is of printable ASCII, as names are: another character at character {}".format(position + 1),
                "write the xn-- form of a name",
            )
    return Pattern(text, _Parser(text).states())


def _state(kind: int, what: tuple[bool, str] = NOTHING, follow: int = 1, other: int = 0) -> "list[State]":
    """A part of one state."""
    return [(kind, what, follow, other)]


def _either(branches: "list[list[State]]") -> "list[State]":
    """One of the parts."""
    found = branches[-1]
    for branch in reversed(branches[:-1]):
        split = _state(SPLIT, NOTHING, 1, len(branch) + 2)
        found = split + branch + _state(JUMP, NOTHING, len(found) + 1) + found
    return found


def _repeat(part: "list[State]", least: int, most: int) -> "list[State]":
    """The part from `least` to `most` times; without a limit if `most` is -1."""
    if not part:
        return part
    if most >= 0:
        return part * least + (_state(SPLIT, NOTHING, 1, len(part) + 1) + part) * (most - least)
    # The part that loops is also the last one needed: a copy of it would double with each group around.
    loop = part + _state(SPLIT, NOTHING, -len(part), 1)
    if least == 0:
        return _state(SPLIT, NOTHING, 1, len(loop) + 1) + loop
    return part * (least - 1) + loop


class _Parser:
    """Reads the text once, from left to right, and puts states together as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        # What is being read: finished branches, and the one that grows. The groups around it wait, outermost first.
        self._branches: list[list[State]] = []
        self._row: list[State] = []
        self._waiting: list[tuple[int, list[list[State]], list[State]]] = []

    def states(self) -> "list[State]":
        """The states of the whole text. Raises ValueProblem."""
        while self._position < len(self._text):
            at = self._position
            character = self._take()
            if character == "(":
                self._open(at)
            elif character == "|":
                self._branches.append(self._row)
                self._row = []
            else:
                part = self._close(at) if character == ")" else self._atom(character, at)
                self._row = self._row + self._repeated(part)
            self._limit(sum([len(branch) + 2 for branch in self._branches]) + len(self._row), at)
        if self._waiting:
            raise self._fault("a ( without its )", self._waiting[-1][0])
        return _either(self._branches + [self._row])

    def _fault(self, what: str, at: int) -> ValueProblem:
        return ValueProblem(
            "regex {!r}: {} at character {}".format(self._text, what, at + 1),
            "possible: a subset of RE2: . [] () (?:) | * + ? {m,n} ^ $ \\d \\w \\s \\D \\W \\S, \\ before punctuation",
        )

    def _limit(self, states: int, at: int) -> None:
        if states > MAX_STATES:
            limit = "more than {} states (a repetition counts as often as it says)".format(MAX_STATES)
            raise self._fault(limit, at)

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self) -> str:
        self._position += 1
        return self._text[self._position - 1]

    def _open(self, at: int) -> None:
        if len(self._waiting) == MAX_DEPTH:
            raise self._fault("more than {} groups in each other".format(MAX_DEPTH), at)
        if self._peek() == "?":
            self._take()
            if self._peek() != ":":
                raise self._fault("a group other than (…) and (?:…)", at)
            self._take()
        self._waiting.append((at, self._branches, self._row))
        self._branches = []
        self._row = []

    def _close(self, at: int) -> "list[State]":
        if not self._waiting:
            raise self._fault("a ) without its (", at)
        part = _either(self._branches + [self._row])
        _, self._branches, self._row = self._waiting.pop()
        return part

    def _atom(self, character: str, at: int) -> "list[State]":
        if character in "*+?{":
            raise self._fault("nothing to repeat", at)
        if character in "]}":
            raise self._fault("a {} that is not written as \\{}".format(character, character), at)
        if character in "^$":
            if self._peek() in ("*", "+", "?", "{"):
                raise self._fault("nothing to repeat", self._position)
            return _state(BEGIN if character == "^" else END)
        if character == "[":
            return _state(CHARACTERS, self._set(at))
        if character == ".":
            return _state(CHARACTERS, (True, ""))
        if character == "\\":
            return _state(CHARACTERS, self._escape(at))
        return _state(CHARACTERS, (False, character.lower()))

    def _repeated(self, part: "list[State]") -> "list[State]":
        """The part, as often as what follows it says."""
        at = self._position
        if self._peek() not in ("*", "+", "?", "{"):
            return part
        least, most = self._times(at)
        if self._peek() == "?":
            self._take()  # lazy: whether it matches stays the same
        if self._peek() in ("*", "+", "?", "{"):
            raise self._fault("a repetition of a repetition", self._position)
        self._limit(len(part) * max(least, most), at)
        return _repeat(part, least, most)

    def _times(self, at: int) -> tuple[int, int]:
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
            raise self._fault("a repetition other than {m}, {m,} and {m,n}", at)
        self._take()
        return least, most

    def _number(self) -> int:
        at = self._position
        digits = ""
        while self._peek() and self._peek() in DIGITS and len(digits) < 4:
            digits += self._take()
        if not digits or int(digits) > MAX_REPEAT:
            raise self._fault("no number from 0 to {}".format(MAX_REPEAT), at)
        return int(digits)

    def _escape(self, at: int) -> tuple[bool, str]:
        """(is_negated, characters) of what follows a backslash."""
        character = self._peek()
        if character and character.lower() in CLASSES:
            self._take()
            return character != character.lower(), CLASSES[character.lower()]
        if not character or character not in PUNCTUATION:
            raise self._fault("\\{}, which has no meaning here,".format(character), at)
        return False, self._take()

    def _set(self, at: int) -> tuple[bool, str]:
        negated = self._peek() == "^"
        if negated:
            self._take()
        found = ""
        is_first = True
        while self._peek() != "]" or is_first:
            if not self._peek():
                raise self._fault("a [ without its ]", at)
            found += self._range()
            is_first = False
        self._take()
        # Each character once: what a search costs must not depend on how often a set says the same.
        return negated, "".join(sorted(set(found.lower())))

    def _range(self) -> str:
        at = self._position
        first = self._member()
        if self._peek() != "-" or self._text[self._position + 1 : self._position + 2] in ("]", ""):
            return first
        self._take()
        last = self._member()
        if len(first) != 1 or len(last) != 1 or last < first:
            raise self._fault("a range that does not go from a character to a later one", at)
        return "".join([chr(code) for code in range(ord(first), ord(last) + 1)])

    def _member(self) -> str:
        """As it is written: a range from 0 to Z ends before the small letters, whatever becomes of it then."""
        at = self._position
        character = self._take()
        if character == "[" and self._peek() in (":", ".", "="):
            raise self._fault("a named class like [:alpha:]", at)
        if character != "\\":
            return character
        negated, characters = self._escape(at)
        if negated:
            raise self._fault("a negated class inside []", at)
        return characters
