"""What dnsmasq says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.cli import name_server
from netpolicy.cli.name_server import installed_dnsmasq, parse
from netpolicy.config.analysis_name_server import Dnsmasq

FULL = """Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley
Compile time options: IPv6 GNU-getopt no-DBus no-UBus no-i18n no-IDN DHCP DHCPv6 no-Lua TFTP no-conntrack no-ipset nftset auth

This software comes with ABSOLUTELY NO WARRANTY.
"""  # noqa: E501
SMALL = FULL.replace(" nftset", " no-nftset")


def test_the_option_is_read_as_a_whole_word() -> None:
    assert parse(FULL) == Dnsmasq("2.90", True)
    assert parse(SMALL) == Dnsmasq("2.90", False)


@pytest.mark.parametrize("text", ["", "Dnsmasq", "Dnsmasq version", "dnsmasq: not found", "Dnsmasq version 1 nothing"])
def test_another_answer_is_none(text: str) -> None:
    assert parse(text) is None


def program(folder: Path, body: str) -> None:
    path = folder / "dnsmasq"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(name_server, "FOLDERS", "")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_the_program_on_the_path_is_asked(folder: Path) -> None:
    program(folder, f"[ \"$1\" = --version ] && cat <<'END'\n{SMALL}END")
    assert installed_dnsmasq() == Dnsmasq("2.90", False)


def test_a_program_that_hangs_or_fails_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_server, "SECONDS", 0.2)
    program(folder, "exec tail -f /dev/null")
    assert installed_dnsmasq() is None
    program(folder, "exit 1")
    assert installed_dnsmasq() is None
    (folder / "dnsmasq").write_bytes(b"\x00\x01 no program")
    assert installed_dnsmasq() is None


def test_without_a_program_there_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert installed_dnsmasq() is None
