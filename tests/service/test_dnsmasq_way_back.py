"""What the guard is told of dnsmasq: our file as it stands, which processes have read it, and never another file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from netpolicy.dataplane.guard import start_of
from netpolicy.service import dnsmasq_instance, dnsmasq_way_back
from netpolicy.service.dnsmasq_instance import Instance
from netpolicy.service.dnsmasq_keeper import NAME


@pytest.mark.parametrize("is_in_ram", [True, False])
def test_files_and_readers_are_kept_and_on_flash_for_a_reboot_too(tmp_path: Path, monkeypatch, is_in_ram: bool) -> None:
    with_file, empty, odd, meant = (tmp_path / name for name in ("a", "b", "a folder", "c"))
    for folder in (with_file, empty, odd, meant):
        folder.mkdir()
    (with_file / NAME).write_text("nftset=/x/\n")
    (empty / "other.conf").write_text("of somebody else\n")
    running = (Instance(os.getpid(), "dnsmasq", (str(with_file), str(empty), str(odd)), 1.0),
               Instance(1 << 30, "dnsmasq", (), 1.0))  # fmt: skip
    monkeypatch.setattr(dnsmasq_instance, "instances", lambda: running)
    monkeypatch.setattr(dnsmasq_instance, "is_in_ram", lambda folder: is_in_ram)
    bundled, outlives = dnsmasq_way_back.kept(("auto", f"{meant}/"))
    digest = hashlib.sha256(b"nftset=/x/\n").hexdigest()
    places = f"{digest} {with_file}/{NAME}\nabsent {empty}/{NAME}\nabsent {meant}/{NAME}\n"
    assert bundled == {
        "names/places": places,
        f"names/{digest}": "nftset=/x/\n",
        "names/read": f"{os.getpid()} {start_of(os.getpid())}\n",
    }
    assert outlives == ({} if is_in_ram else {"names/places": places, f"names/{digest}": "nftset=/x/\n"})


def test_without_a_name_server_there_is_nothing_to_lead_back(monkeypatch) -> None:
    monkeypatch.setattr(dnsmasq_instance, "instances", lambda: ())
    assert dnsmasq_way_back.kept(("auto", "off")) == ({}, {})
