"""The table of codes is complete, and each of them is really given by a check."""

from __future__ import annotations

import re
from pathlib import Path

from netpolicy.service.doctor_codes import AREAS, CODES

HERE = Path(__file__).parent
SOURCES = Path(__file__).parents[2] / "netpolicy" / "service"


def test_every_code_has_all_its_words_and_an_area() -> None:
    for code in CODES.values():
        assert re.fullmatch(r"ND\d{3}", code.code)
        assert code.area in AREAS and code.fine and code.wrong and code.cure
        assert code.fine != code.wrong and len(code.wrong) <= 80 and not code.wrong.endswith(".")


def test_every_code_can_be_red_and_green() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("doctor*.py"))
    assert not [code for code in CODES if f'fine("{code}"' not in text]
    assert not [code for code in CODES if f'found("{code}"' not in text and f'_needed("{code}"' not in text]


def test_every_code_has_a_test() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_doctor*.py"))
    assert not [code for code in CODES if f'"{code}"' not in text]
