"""The rule blocks of the DSL: priority, title, enabled, match, when, disable, action.

The predecessor's phrases for mistakes. Never checks values: that is rule.py's, for all
spellings. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings
from netpolicy.config.dsl_block import Block, after_colon, rest_of
from netpolicy.config.dsl_word import Piece, Word, split
from netpolicy.config.schema import ACTION, FLAG, MATCH, SECTION_TYPES, WHEN, OptionSpec, meaning
from netpolicy.config.value import DIGITS, FALSE, TRUE
from netpolicy.core.model import BLOCK

EXAMPLES = {MATCH: "port=443", ACTION: "route=wan, or block alone"}

WITH_KEYS = (MATCH, ACTION, "when", "disable")
DIRECTIVES = ("action", "disable", "enabled", "match", "priority", "title", "when")


class RuleBlock(Block):
    """A rule that is being read."""

    __slots__ = ()

    def __init__(self, name: str, file: str, line: int, column: int, findings: Findings) -> None:
        super().__init__("rule", name, file, line, column, findings)

    @property
    def words(self) -> tuple[str, ...]:
        return DIRECTIVES

    def begin(self, line: str, number: int, rest: int) -> str:
        return rest_of(line, after_colon(line, rest)[1]).comment

    def take(self, word: str, line: str, number: int, start: int, end: int) -> "tuple[str, str]":
        found = split(line, end, word in WITH_KEYS)
        if word in DIRECTIVES and not found.words:
            text = f"unknown directive: {word!r} alone"  # the predecessor's phrase
            self.fault("NP101", text, number, start + 1, f"{word} needs a value", len(word))
        elif word not in DIRECTIVES:
            self._unknown_line(word, number, start + 1)
        elif word in (MATCH, ACTION):
            for one in found.words:
                self._take_pair(word, one, number)
        elif word in ("when", "disable"):
            self._take_states(word, found.words, number, start + 1)
        else:
            self._take_value(word, found.words, number, start + 1)
        return word, found.comment

    def _unknown_line(self, word: str, line: int, column: int) -> None:
        """A line that is an option, but not written as one, is the likeliest mistake."""
        text = f"unknown directive {word[:64]!r}"
        name = word.split("=", 1)[0]
        option = self.spec.option(name)
        if name != word and name in DIRECTIVES:
            hint = f"write `{name} VALUE`, without ="
        elif option is not None and option.group in (MATCH, ACTION):
            hint = f"write `{option.group} {option.word}=VALUE`"
        elif option is not None and option.group == WHEN:
            hint = "write `when state=VALUE`"
        elif word in SECTION_TYPES:
            hint = "a section begins at the margin"
        else:
            self.unknown(text, word, DIRECTIVES, line, column)
            return
        self.fault("NP101", text, line, column, hint, len(word))

    def _take_value(self, word: str, words: "list[Word]", line: int, column: int) -> None:
        """`priority`, `title`, `enabled`: one value."""
        spec = self.spec.option(word)
        assert spec is not None
        piece = words[0].pieces[0]
        is_one = len(words) == 1 and len(words[0].pieces) == 1
        if word == "priority" and not (is_one and _is_whole(piece.text)):
            self.fault(
                "NP105", "invalid priority", line, piece.column, "a whole number, the highest wins", len(piece.text)
            )
        elif not is_one:
            self.fault("NP105", f"{word} takes one value", line, column, "put it between quotes")
        else:
            self.keep(spec, [piece.text], [piece], line, column)

    def _take_pair(self, directive: str, word: Word, line: int) -> None:
        key = word.key or word.bare
        spec = self.spec.option(key)
        if spec is not None and spec.group != directive:
            spec = None
        can_stand_alone = spec is not None and (spec.kind == FLAG or spec.name == "block")
        if not word.key and not can_stand_alone:
            text = f"invalid {directive} token"
            hint = meaning(word.bare, (BLOCK,) if directive == ACTION else ())[0]
            hint = hint or f"write it as key=value, for example {EXAMPLES[directive]}"
            self.fault("NP105", text, line, word.column, hint, len(word.pieces[0].text))
        elif spec is not None and self._is_refused(spec, word):
            hint = f"leave it out, or write `{spec.word}` alone"
            self.fault("NP101", f"unknown {directive} key {key}", line, word.column, hint, len(key))
        elif spec is None:
            known = tuple([one.word for one in self.spec.options.values() if one.group == directive])
            values = tuple([piece.text for piece in word.pieces])
            self.unknown(f"unknown {directive} key {key}", key, known, line, word.column, values)
        elif not word.key:
            self.keep(spec, ["1"], word.pieces, line, word.column)
        else:
            self._keep_values(spec, word, line)

    def _is_refused(self, spec: OptionSpec, word: Word) -> bool:
        """The predecessor knew no `any=false` and no `block=false`: who writes it means something else."""
        return spec.name in ("any", "block") and bool(word.key) and word.pieces[0].text in FALSE

    def _keep_values(self, spec: OptionSpec, word: Word, line: int) -> None:
        texts = [piece.text for piece in word.pieces]
        if spec.kind == FLAG and len(texts) == 1 and texts[0] in TRUE:
            texts = ["1"]
        if not spec.is_list and len(texts) > 1:
            # A comparator has no comma, a name has none either: it is all one value, as written.
            self.fault("NP105", f"{spec.word} takes one value", line, word.column, "write it once")
            return
        self.keep(spec, texts, word.pieces, line, word.column)

    def _take_states(self, directive: str, words: "list[Word]", line: int, column: int) -> None:
        """`[state=]A,B`, with blanks wherever somebody likes them."""
        spec = self.spec.options["state" if directive == "when" else "disable"]
        pieces, has_key = _states(words)
        if has_key and not any(piece.text for piece in pieces):
            self.fault("NP203", "state value is required", line, column, "for example NORMAL")
            return
        named = [piece for piece in _split_commas(pieces) if piece.text]
        self.keep(spec, [piece.text for piece in named], named, line, column)


def _states(words: "list[Word]") -> "tuple[list[Piece], bool]":
    """The values, and whether `state` was written before them."""
    pieces: list[Piece] = []
    has_key = False
    for word in words:
        if word.key == "state":
            has_key = True
        elif word.key:  # no such key: a value that is refused as the predecessor did
            first = word.pieces[0]
            pieces.append(Piece(word.key + "=" + first.text, word.column, False))
            pieces.extend(word.pieces[1:])
            continue
        pieces.extend(word.pieces)
    if len(words) > 1 and words[0].bare == "state" and pieces[1].text.startswith("="):
        pieces = pieces[1:]  # state =NORMAL
        pieces[0] = Piece(pieces[0].text[1:], pieces[0].column + 1, False)
        has_key = True
    return pieces, has_key


def _split_commas(pieces: "list[Piece]") -> "list[Piece]":
    """Quoted states may have commas too: `when state="NORMAL,DEGRADED"`."""
    found = []
    for piece in pieces:
        offset = piece.column
        for part in piece.text.split(","):
            found.append(Piece(part.strip(), offset, piece.quoted))
            offset += len(part) + 1
    return found


def _is_whole(text: str) -> bool:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return len(digits) > 0 and all(c in DIGITS for c in digits)
