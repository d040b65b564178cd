"""What became of a probe, as people read it."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.rehearsal_probe import ASTRAY, FORWARDED, ONE_WAY, SILENT, UNSENT, Result


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Result(FORWARDED, "wana"), "forwarded via wana"),
        (Result(ONE_WAY, "wana"), "forwarded via wana, the answer does not come back"),
        (Result(ASTRAY, "wana"), "answered by wana"),
        (Result(ASTRAY, "lan", "192.168.1.9"), "answered by lan to 192.168.1.9"),
        (Result(UNSENT, "tun0"), "no device tun0"),
        (Result(SILENT), "silent"),
    ],
)
def test_results_in_words(result, words):
    assert result.text == words
