"""Whether fw4 makes a flowtable, read from its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.service.offload import is_on


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config defaults\n\toption flow_offloading '1'\n", True),
        ("config defaults\n\toption flow_offloading '0'\n", False),
        ("config defaults\n\toption input 'REJECT'\n", False),
        ("config zone\n\toption flow_offloading '1'\n", False),
        ("config defaults\n\toption flow_offloading 'perhaps'\n", False),
        ("config 'broken\n", False),
    ],
)
def test_the_option_of_the_defaults_section_decides(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "firewall").write_text(text)
    assert is_on(str(tmp_path / "firewall")) is expected


def test_without_the_file_nothing_is_offloaded(tmp_path: Path) -> None:
    assert not is_on(str(tmp_path / "firewall"))
