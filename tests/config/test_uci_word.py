"""Words and places, without files."""

import pytest

from netpolicy.config.uci_word import Cursor, SyntaxFault, next_word


def test_a_word_knows_where_it_began_and_how_it_was_written():
    cursor = Cursor("'a\nb'c d")
    word = next_word(cursor)
    assert (word.text, word.is_plain, word.line, word.column) == ("a\nbc", False, 1, 1)
    assert (cursor.line, cursor.column) == (2, 4)
    cursor.skip_blanks()
    assert next_word(cursor).is_plain


def test_a_quote_without_an_end_is_reported_where_it_opens():
    cursor = Cursor('ab "c\nd')
    next_word(cursor)
    cursor.skip_blanks()
    with pytest.raises(SyntaxFault) as caught:
        next_word(cursor)
    assert (caught.value.line, caught.value.column) == (1, 4)
