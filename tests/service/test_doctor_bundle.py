"""The bundle: what is in it, what is never in it, and what becomes of its file."""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path

import pytest

from netpolicy.observe.journal import Journal
from netpolicy.service import doctor_bundle
from netpolicy.service.doctor_bundle import collect, write
from netpolicy.service.doctor_given import Given
from netpolicy.service.generations import Store
from tests.netns import needs_root
from tests.router import router
from tests.service.doctoring import Machine, Patient
from tests.service.parts import CONFIG

SECRETS = (
    "swordfish",
    "Tr0ub4dor",
    "0b5e4a4e-0f6d-4d4f-9a67-2f6f7c8d9e0f",
    "kTIoqm4mkzDEg2eFQ8t2Pq1xX9nZ0aBcDeFgHiJkLmN=",
)
PLANTED = """
config outbound 'proxy'
	option type 'xray'
	option node 'vless://0b5e4a4e-0f6d-4d4f-9a67-2f6f7c8d9e0f@203.0.113.9:443?security=tls#swordfish'
	option key 'swordfish'
	option psk "Tr0ub4dor"
	option private_key 'kTIoqm4mkzDEg2eFQ8t2Pq1xX9nZ0aBcDeFgHiJkLmN='
# the password is swordfish
"""
MINE = ("02:00:5e:10:00:01", "203.0.113.9", "2001:db8:b::2", "198.51.100.1")


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A configuration, a store, a guard's log, each with secrets in it."""
    more = tmp_path / "more.np"
    more.write_text("rule mail:  # swordfish\n  match src_mac=02:00:5e:10:00:01\n  action block=drop\n")
    config = tmp_path / "netpolicy"
    config.write_text(CONFIG.replace("'enforce'\n", "'enforce'\n\tlist ruleset 'more.np'\n") + PLANTED)
    store = tmp_path / "store"
    Journal(str(store)).append({"event": "change", "why": "password=swordfish", "who": "root from 203.0.113.9"})
    held = Store(str(store))
    held.commit(held.prepare({str(config): config.read_bytes()}, {"why": "the token is Tr0ub4dor"}))
    (tmp_path / "state" / "guard").mkdir(parents=True)
    (tmp_path / "state" / "guard" / "log").write_text("1 [2] psk=swordfish from 203.0.113.9\n")
    return Given(config=str(config), state=str(tmp_path / "state"), store=str(store))


DOCUMENTS = {
    "findings": {"findings": [{"details": "password=swordfish"}]},
    "status": {"config": {"error": f"bad key: {SECRETS[3]}"}, "psk": "Tr0ub4dor"},
    "logs": {"entries": [{"message": "added vless://0b5e4a4e-0f6d-4d4f-9a67-2f6f7c8d9e0f@203.0.113.9:443"}]},
}


@pytest.mark.kernel
@needs_root
def test_it_tells_what_helps_and_no_secret(given: Given) -> None:
    with router():
        parts = collect(Patient(), given, DOCUMENTS, is_anonymous=False)
    whole = "\n".join(parts.values())
    assert [secret for secret in SECRETS if secret in whole] == []
    assert {"findings.json", "status.json", "versions.txt", "nft-tables.txt", "journal.json", "guard-log.txt",
            "generations.json", "config-0.txt", "config-1.txt"} <= set(parts)  # fmt: skip
    assert "default via 192.0.2.1 dev wana" in parts["ip-route.txt"]
    assert "2001:db8:b::2" in parts["ip-address.txt"]
    assert "config rule 'video'" in parts["config-0.txt"] and "rule mail:" in parts["config-1.txt"]
    assert "table inet other" in parts["nft-tables.txt"] and "np_words" not in whole
    assert "nftables v" in parts["versions-nft.txt"]
    assert os.uname().nodename not in parts["versions.txt"]


@pytest.mark.kernel
@needs_root
def test_who_wishes_it_gives_no_address_away_either(given: Given) -> None:
    with router() as here:
        here.run("ip", "link", "set", "lan", "address", MINE[0])
        open_parts = "\n".join(collect(Patient(), given, DOCUMENTS, is_anonymous=False).values())
        closed = "\n".join(collect(Patient(), given, DOCUMENTS, is_anonymous=True).values())
    assert all(address in open_parts for address in MINE)
    assert [address for address in MINE if address in closed] == []
    assert "192.168.1.1" in closed and "[ipv4-1]" in closed and "[mac-1]" in closed


def test_it_is_bounded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_bundle, "MOST_OF_ONE", 1000)
    monkeypatch.setattr(doctor_bundle, "MOST_BYTES", 2000)
    machine = Machine(says={"ip rule": "7001: from all lookup 7001\n" * 1000, "ip route": "default dev x\n" * 1000})
    parts = collect(machine, given, {}, is_anonymous=False)
    assert all(len(text.encode()) <= 1000 for text in parts.values())
    assert sum(len(text.encode()) for text in parts.values()) <= 2000
    assert parts["ip-rule.txt"].endswith("… (cut)\n")


def test_a_store_and_a_configuration_that_are_not_there_are_no_fault(tmp_path: Path) -> None:
    nowhere = Given(config=str(tmp_path / "a"), state=str(tmp_path / "b"), store=str(tmp_path / "c"))
    parts = collect(Machine(), nowhere, {}, is_anonymous=False)
    assert parts["journal.json"] == "[]\n"


def test_the_file_is_new_and_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    before = os.umask(0)
    try:
        size = write(str(path), {"a.txt": "hello\n"})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size == size
    with tarfile.open(path) as archive:
        (member,) = archive.getmembers()
        assert member.name == "netpolicy-doctor/a.txt" and member.mode == 0o600
        content = archive.extractfile(member)
        assert content and content.read() == b"hello\n"


def test_what_is_there_is_never_replaced_nor_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "bundle.tar.gz", tmp_path / "target"
    path.symlink_to(target)
    with pytest.raises(FileExistsError):
        write(str(path), {"a.txt": "hello\n"})
    assert not target.exists() and path.is_symlink()


def test_where_it_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write(str(tmp_path / "none" / "bundle.tar.gz"), {"a.txt": "hello\n"})
    with pytest.raises(OSError):
        write("/dev/full/x", {"a.txt": "hello\n"})


def test_a_python_without_zlib_packs_it_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gzip", None)
    path = tmp_path / "bundle.tar.gz"
    write(str(path), {"a.txt": "hello\n"})
    with tarfile.open(path, "r:") as archive:
        assert archive.getnames() == ["netpolicy-doctor/a.txt"]
