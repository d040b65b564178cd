"""Take one line of DSL text apart: words, key=value pairs, quoted pieces, the comment at its end.

Knows characters and columns, not directives. Linear in the line. Runs on MicroPython.
"""

BLANKS = " \t\r\v\f"
# Nobody writes such a line; a hostile one would fill the memory of a router with small objects.
MAX_WORDS = 10_000
MAX_PIECES = 200_000  # a rule that names its addresses one by one: as many as UCI has lines

KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


class WordFault(Exception):
    """The line cannot be taken apart; `column` counts from 1."""

    def __init__(self, text: str, hint: str, column: int, code: str = "NP003") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.hint = hint
        self.column = column


class Piece:
    """One value: its text without quotes and escapes, and the column of its first character."""

    __slots__ = ("column", "quoted", "text")

    def __init__(self, text: str, column: int, quoted: bool) -> None:
        self.text = text
        self.column = column
        self.quoted = quoted


class Word:
    """`value[,value…]`, or with a key `key=value[,value…]`."""

    __slots__ = ("column", "key", "pieces")

    def __init__(self, key: str, pieces: "list[Piece]", column: int) -> None:
        self.key = key  # "" for a word without one
        self.pieces = pieces
        self.column = column

    @property
    def bare(self) -> str:
        """The text of a word that is one bare value, else ""."""
        if self.key or len(self.pieces) != 1 or self.pieces[0].quoted:
            return ""
        return self.pieces[0].text


class Line:
    """The words of a line and its comment with the #, "" without one."""

    __slots__ = ("comment", "words")

    def __init__(self, words: "list[Word]", comment: str) -> None:
        self.words = words
        self.comment = comment


def split(line: str, start: int = 0, keys: bool = True) -> Line:
    """The words from offset `start` on; without `keys` a = is a character like others. Raises WordFault."""
    scanner = _Scanner(line, start)
    words: list[Word] = []
    while True:
        scanner.skip_blanks()
        if scanner.at_end:
            return Line(words, "")
        if scanner.peek == "#":
            return Line(words, line[scanner.position :].rstrip())
        if len(words) == MAX_WORDS:
            raise _too_long(f"more than {MAX_WORDS} words", scanner.position)
        words.append(scanner.word(keys))


def quoted_name(line: str, start: int) -> "tuple[str, int]":
    """The text of the quoted piece at offset `start`, and the offset behind it. Raises WordFault."""
    scanner = _Scanner(line, start)
    piece = scanner.quoted()
    return piece.text, scanner.position


def _too_long(what: str, position: int) -> WordFault:
    return WordFault(what + " in one line", "name them in a list, in several lines", position + 1, "NP004")


class _Scanner:
    def __init__(self, line: str, position: int) -> None:
        self._line = line
        self.position = position
        self._pieces = 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self._line)

    @property
    def peek(self) -> str:
        return self._line[self.position : self.position + 1]

    def skip_blanks(self) -> None:
        while self.peek and self.peek in BLANKS:
            self.position += 1

    def word(self, keys: bool) -> Word:
        column = self.position + 1
        key = self._key() if keys else ""
        pieces = [self._piece()]
        while self.peek == ",":
            self.position += 1
            pieces.append(self._piece())
        if self.peek and self.peek not in BLANKS:
            raise WordFault("a quote ends in the middle of a value", "put the whole value between quotes", column)
        return Word(key, pieces, column)

    def _key(self) -> str:
        """The key, if a = follows it: directly, or with blanks on both sides."""
        end = self.position
        while end < len(self._line) and self._line[end] in KEY_CHARACTERS:
            end += 1
        after = end
        while after < len(self._line) and self._line[after] in BLANKS:
            after += 1
        if end == self.position or self._line[after : after + 1] != "=":
            return ""
        is_apart = after > end
        if is_apart and self._line[after + 1 : after + 2] not in ("", " ", "\t"):
            return ""
        key = self._line[self.position : end]
        self.position = after + 1
        if is_apart:
            self.skip_blanks()
        return key

    def _piece(self) -> Piece:
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            raise _too_long(f"more than {MAX_PIECES} values", self.position)
        if self.peek and self.peek in "'\"":
            return self.quoted()
        start = self.position
        while self.peek and self.peek not in BLANKS and self.peek != ",":
            if self.peek in "'\"":
                raise WordFault(
                    "a quote in the middle of a value", "put the whole value between quotes", self.position + 1
                )
            self.position += 1
        return Piece(self._line[start : self.position], start + 1, False)

    def quoted(self) -> Piece:
        quote = self.peek
        start = self.position
        self.position += 1
        parts = []
        begin = self.position
        while self.peek != quote:
            if self.at_end:
                raise WordFault("unterminated quote", "close it with " + quote, start + 1)
            if quote == '"' and self._line[self.position : self.position + 2] in ('\\"', "\\\\"):
                parts.append(self._line[begin : self.position])
                begin = self.position + 1  # the character behind the backslash begins the next part
                self.position += 1
            self.position += 1
        parts.append(self._line[begin : self.position])
        self.position += 1
        return Piece("".join(parts), start + 2, True)
