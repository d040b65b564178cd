"""Take one word of a UCI line: bare, quoted, escaped, or several parts without a blank.

Knows characters and places, not commands. Linear in the text. Rules as in libuci's file
parser: no escape inside single quotes, a backslash keeps the next character elsewhere,
a backslash at the end of a line joins the next one, quoted text may span lines.
Runs on MicroPython.
"""

from netpolicy.config.source import spot

BLANKS = " \t\r\v\f"  # what C's isspace() knows, but the line end
ENDS_BARE = BLANKS + "\n'\"#;\\"
ENDS_WORD = BLANKS + "\n#;"
MAX_PARTS = 10_000  # quoted or escaped pieces of one word; a person writes a handful


def past(text: str, position: int, characters: str) -> int:
    """The first place from `position` on that has none of the characters."""
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def until(text: str, position: int, stops: str) -> int:
    """The first place from `position` on that has one of the characters, or the end."""
    while position < len(text) and text[position] not in stops:
        position += 1
    return position


class SyntaxFault(Exception):
    """The text cannot go on like this; reading resumes in the line after `resume` (an offset)."""

    def __init__(self, text: str, hint: str, line: int, column: int, resume: int, rule: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.line = line
        self.column = column
        self.resume = resume
        self.rule = rule


class Word:
    """One argument and where it stood (`start`, `end`: offsets); `is_plain`: written without quotes and escapes."""

    __slots__ = ("column", "end", "is_plain", "line", "start", "text")

    def __init__(self, text: str, is_plain: bool, line: int, column: int, start: int, end: int) -> None:
        self.text = text
        self.is_plain = is_plain
        self.line = line
        self.column = column
        self.start = start
        self.end = end

    @property
    def spot(self) -> int:
        """Where its first character stands: behind the opening quote."""
        return spot(self.line, self.column if self.is_plain else self.column + 1)


class Cursor:
    """A place in a text, counted in lines and columns from 1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self._starts = {1: 0}  # line: offset, for the lines that began a command
        self._line_start = 0

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.text)

    @property
    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.text[self.position : self.position + 1]

    @property
    def column(self) -> int:
        """The column of the next character."""
        return self.position - self._line_start + 1

    def line_start(self, line: int) -> int:
        """The offset at which a line begins that this cursor stopped in."""
        return self._starts.get(line, self._line_start)

    def advance(self, count: int) -> None:
        """Step over characters, counting the lines among them."""
        end = self.position + count
        lines = self.text.count("\n", self.position, end)
        if lines:
            self.line += lines
            self._line_start = self.text.rfind("\n", self.position, end) + 1
        self.position = end

    def go_to_line(self, line: int, start: int) -> None:
        """Continue at the line that begins at the offset `start`."""
        self.line = line
        self._line_start = self.position = start
        self._starts = {line: start}

    def go_after_line(self, offset: int) -> None:
        """Continue at the line after the one that `offset` is in, backwards too."""
        end = self.text.find("\n", offset)
        target = len(self.text) if end < 0 else end + 1
        self.go_to_line(self.text.count("\n", 0, target) + 1, target)

    def skip_blanks(self) -> None:
        """Step over blanks, not over the end of the line."""
        self.position = past(self.text, self.position, BLANKS)

    def take_line_end(self) -> bool:
        """Step over a comment, the end of the line and empty lines, if that is what is next."""
        if self.peek not in ("\n", "", "#"):
            return False
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end + 1
        self.advance(past(self.text, end, "\n") - self.position)
        self._starts = {self.line: self._line_start}
        return True

    def fault(self, text: str, hint: str = "") -> SyntaxFault:
        """A fault at the next character."""
        return SyntaxFault(text, hint, self.line, self.column, self.position)


def next_word(cursor: Cursor) -> Word:
    """The word that begins at the cursor. Raises SyntaxFault for a quote without an end."""
    line, column, start = cursor.line, cursor.column, cursor.position
    parts: list[str] = []
    is_plain = True
    while cursor.peek and cursor.peek not in ENDS_WORD:
        end = until(cursor.text, cursor.position, ENDS_BARE)
        if end > cursor.position:
            parts.append(cursor.text[cursor.position : end])
            cursor.position = end
            continue
        is_plain = False
        if len(parts) > MAX_PARTS:
            raise SyntaxFault("a word of too many pieces", "", line, column, cursor.position)
        try:
            TAKE[cursor.peek](cursor, parts)
        except SyntaxFault as fault:
            # Between the quotes of two lines stands what was meant to be outside: the first one was forgotten.
            unclosed = reaching(Word("".join(parts), is_plain, line, column, start, cursor.position))
            raise unclosed or fault  # noqa: B904 - not in MicroPython
    return Word("".join(parts), is_plain, line, column, start, cursor.position)


def reaching(word: Word) -> SyntaxFault | None:
    """The fault that the word's quote was not closed in its line, None for a word of one line."""
    if word.is_plain or "\n" not in word.text:
        return None
    hint = "close it in its line; as it is, its value ends at the next quote, lines below"
    return SyntaxFault("a quote that opens here is not closed in this line", hint, word.line, word.column, word.start)


def _take_single(cursor: Cursor, parts: list[str]) -> None:
    end = cursor.text.find("'", cursor.position + 1)
    if end < 0:
        raise cursor.fault("unterminated '", "close the quote")
    parts.append(cursor.text[cursor.position + 1 : end])
    cursor.advance(end + 1 - cursor.position)


def _take_double(cursor: Cursor, parts: list[str]) -> None:
    unterminated = cursor.fault('unterminated "', "close the quote, or write fewer escapes")
    begin = position = cursor.position
    position += 1
    text = cursor.text
    parts.append("")  # counts as a piece even when nothing is between the quotes
    while position < len(text) and text[position] != '"':
        end = until(text, position, '"\\')
        if end > position:
            parts.append(text[position:end])
            position = end
            continue
        if len(parts) > MAX_PARTS:
            raise unterminated
        position = _after_backslash(text, position, parts)
    if position >= len(text):
        raise unterminated
    cursor.advance(position + 1 - begin)


def _take_backslash(cursor: Cursor, parts: list[str]) -> None:
    cursor.advance(_after_backslash(cursor.text, cursor.position, parts) - cursor.position)


def _after_backslash(text: str, position: int, parts: list[str]) -> int:
    for joint in ("\\\n", "\\\r\n"):
        if text[position : position + len(joint)] == joint:
            return position + len(joint)
    parts.append(text[position + 1 : position + 2])  # nothing at the end of the text
    return min(position + 2, len(text))


TAKE = {"'": _take_single, '"': _take_double, "\\": _take_backslash}
