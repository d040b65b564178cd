"""The other blocks of the DSL: netpolicy, outbound, schedule, throttle, list.

One line (`outbound wan interface wan probe=ping:9.9.9.9`) or a block of `option value` lines.
Driven by the table in schema.py. Never checks values. Runs on MicroPython.
"""

from netpolicy.config.dsl_block import Block, after_colon, filled, rest_of
from netpolicy.config.dsl_word import Piece, Word, split
from netpolicy.config.schema import FLAG, OUTBOUND_POSITIONAL, SECTION_TYPES, OptionSpec


def list_directive(option: str, index: int) -> str:
    """What the line of the value with that index is called: a list has a line per value."""
    return f"{option}#{index}"


class SectionBlock(Block):
    """A section, but a rule, that is being read."""

    __slots__ = ()

    def begin(self, line: str, number: int, rest: int) -> str:
        has_colon, rest = after_colon(line, rest)
        if has_colon:
            return rest_of(line, rest).comment
        found = split(line, rest)
        positions: list[str] = list(self.spec.positional)
        for word in found.words:
            if word.key:
                self._take_pair(word, number)
            else:
                positions = self._take_position(word, positions, number)
        return found.comment

    def _take_pair(self, word: Word, line: int) -> None:
        spec = self.spec.option(word.key)
        if spec is None:
            text = f"unknown option {word.key} of {self.type}"
            self.unknown(text, word.key, self.spec.words, line, word.column)
        else:
            self._keep(spec, word.pieces, line, word.column)

    def _take_position(self, word: Word, positions: "list[str]", line: int) -> "list[str]":
        """Take a word without key as the option whose turn it is; the options whose turn comes after."""
        flag = self.spec.option(word.bare) if word.bare else None
        if not positions and flag is not None and flag.kind == FLAG:
            self.keep(flag, ["1"], word.pieces, line, word.column)
            return positions
        if not positions:
            known = self.spec.words
            text = f"{word.pieces[0].text[:64]!r} is not an option"
            self.unknown(text, word.pieces[0].text[:64], known, line, word.column)
            return positions
        spec = self.spec.options[positions[0]]
        if spec.name == "strategy" and word.bare not in spec.choices:
            return self._take_position(word, positions[1:], line)  # it may be left out
        pieces = filled(word.pieces) if spec.is_list else word.pieces
        if pieces:  # a comma alone is none
            self._keep(spec, pieces, line, word.column)
        if spec.name == "type":
            return list(OUTBOUND_POSITIONAL.get(word.bare, ()))
        return positions if spec.is_list else positions[1:]

    def take(self, word: str, line: str, number: int, start: int, end: int) -> "tuple[str, str]":
        found = split(line, end, False)
        spec = self.spec.option(word)
        if spec is None:
            self._unknown_line(word, number, start + 1)
            return word, found.comment
        words = found.words
        if len(words) > 1 and words[0].bare == "=":
            words = words[1:]  # option = value
        pieces: list[Piece] = []
        for one in words:
            pieces.extend(filled(one.pieces))
        directive = spec.name
        if spec.is_list:
            directive = list_directive(spec.name, self.count(spec.name))
        if spec.name == "assert" and pieces:
            text = " ".join([piece.text for piece in pieces])
            self.add(spec, [text], [pieces[0]], number, start + 1)
        elif not pieces and spec.kind == FLAG:
            self.keep(spec, ["1"], [], number, start + 1)
        elif not pieces:
            self.fault("NP105", f"{word} needs a value", number, start + 1)
        elif not spec.is_list and len(pieces) > 1:
            self.fault("NP105", f"{word} takes one value", number, start + 1, "put it between quotes")
        else:
            self.add(spec, [piece.text for piece in pieces], pieces, number, start + 1)
        return directive, found.comment

    def _unknown_line(self, word: str, line: int, column: int) -> None:
        text = f"unknown option {word[:64]} of {self.type}"
        option = word.split("=", 1)[0]
        if word in SECTION_TYPES:
            self.fault("NP101", text, line, column, "a section begins at the margin", len(word))
        elif option != word and self.spec.option(option) is not None:
            self.fault("NP101", text, line, column, f"write `{option} VALUE`, without =", len(word))
        else:
            self.unknown(text, word, self.spec.words, line, column)

    def _keep(self, spec: OptionSpec, pieces: "list[Piece]", line: int, column: int) -> None:
        if not spec.is_list and len(pieces) > 1:
            self.fault("NP105", f"{spec.word} takes one value", line, column, "put it between quotes")
            return
        self.keep(spec, [piece.text for piece in pieces], pieces, line, column)
