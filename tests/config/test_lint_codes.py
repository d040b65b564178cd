"""Every code is explained, in words that somebody can use."""

from __future__ import annotations

import pytest

from netpolicy.config.diagnostic import CODES, SEVERITIES
from netpolicy.config.lint_codes import Code, every_code, explained

by_code = pytest.mark.parametrize("code", every_code(), ids=lambda code: code.code)


def test_every_code_is_explained_and_no_other() -> None:
    assert {code.code for code in every_code()} == set(CODES)
    assert explained("NP999") is None


@by_code
def test_an_explanation_is_one_to_five_whole_sentences(code: Code) -> None:
    assert code.why.endswith(".") and "  " not in code.why
    assert 20 < len(code.why) < 600
    assert code.severity in SEVERITIES
