"""Our file is where dnsmasq reads it, only when it takes it and comes back with it, and gone when nobody asks."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from netpolicy.core.field import parse_field
from netpolicy.dataplane.learned_sets import base_name
from netpolicy.service import dnsmasq_instance, dnsmasq_keeper
from netpolicy.service.dnsmasq_instance import Instance
from netpolicy.service.dnsmasq_keeper import NAME, DnsmasqKeeper

pytestmark = pytest.mark.skipif(not shutil.which("dnsmasq"), reason="there is no dnsmasq")

VIDEO = parse_field("domain", ("video.example",))
FIELDS = {base_name(VIDEO): VIDEO}


class Bench:
    """A folder, and a dnsmasq that is another process after each restart; the real one tests the file."""

    def __init__(self, folder: Path, *, comes_back: bool = True, restart: tuple[str, ...] = ("true",)) -> None:
        self.folder = folder / "dnsmasq.d"
        self.folder.mkdir()
        self.file = self.folder / NAME
        self.said: list[str] = []
        self.starts = 0
        self.comes_back = comes_back
        self.program, self.reads = "dnsmasq", ()
        self.command = restart
        self.keeper = DnsmasqKeeper(
            str(folder / "given"), lambda level, text: self.said.append(text), self.find, self.restart
        )

    def find(self) -> tuple[Instance, ...]:
        is_dead = self.starts and not self.comes_back and self.file.exists()
        return () if is_dead else (Instance(100 + self.starts, self.program, (str(self.folder),), 1e9, self.reads),)

    def restart(self) -> tuple[str, ...]:
        self.starts = self.keeper.restarts
        return self.command

    async def follow(self, fields: dict, setting: str = "", lines: tuple[str, ...] = ()) -> None:
        self.keeper.follow(fields, lines, setting or str(self.folder))
        if self.keeper._work is not None:
            await asyncio.wait([self.keeper._work])


async def test_a_restart_only_where_the_text_is_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.follow({})
    assert bench.keeper.restarts == 0 and bench.keeper.reason
    await bench.follow(FIELDS)
    assert bench.file.read_text().startswith("# Written by netpolicy") and bench.keeper.reason == ""
    assert bench.keeper.restarts == 1 and bench.keeper.filled.count == 1
    await bench.follow(dict(FIELDS), lines=())
    bench.keeper._go_on()
    await bench.follow(dict(FIELDS))
    assert bench.keeper.restarts == 1
    await bench.follow({}, lines=("local=/use-application-dns.net/",))
    assert bench.file.read_text().splitlines()[1:] == ["local=/use-application-dns.net/"] and bench.keeper.restarts == 2
    await bench.keeper.close(is_over=False)
    assert bench.file.exists()
    await bench.keeper.close(is_over=True)
    assert not bench.file.exists() and bench.keeper.restarts == 3


async def test_for_a_boot_there_is_what_a_dnsmasq_with_a_folder_in_memory_took(tmp_path: Path, monkeypatch) -> None:
    bench = Bench(tmp_path)
    await bench.follow(FIELDS)
    assert bench.keeper.at_boot() == ("", ())  # the file outlives the boot where it is
    monkeypatch.setattr(dnsmasq_instance, "is_in_ram", lambda folder: True)
    bench.keeper._go_on()
    await bench.follow(FIELDS)
    assert bench.keeper.at_boot() == (bench.file.read_text(), (str(bench.folder),))
    # What it is to read now counts, also before it is restarted.
    bench.keeper._wanted = (FIELDS, ("local=/x/",), str(bench.folder))
    assert bench.keeper.at_boot()[0].endswith("\nlocal=/x/\n")
    await bench.follow({})
    assert bench.keeper.at_boot() == ("", ())
    await bench.keeper.close(is_over=False)


async def test_a_text_that_dnsmasq_does_not_take_never_reaches_its_folder(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.follow(FIELDS, lines=("no-such-option=1",))
    assert not bench.file.exists() and bench.keeper.restarts == 0 and "does not take our file" in bench.keeper.reason
    assert "no-such-option" in bench.keeper.refused
    await bench.follow(FIELDS)
    assert bench.keeper.refused == "" and bench.file.exists()


async def test_a_dnsmasq_whose_own_files_have_a_mistake_is_left_running(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    others = bench.folder / "others.conf"
    others.write_text("no-such-option=1\n")
    bench.reads = (f"--conf-file={tmp_path / 'main.conf'}", f"--conf-dir={bench.folder}")
    (tmp_path / "main.conf").write_text("port=0\n")
    for _ in range(2):
        await bench.follow(dict(FIELDS))
        bench.keeper._go_on()
    assert not bench.file.exists() and bench.keeper.restarts == 0
    assert "its own configuration has a mistake" in bench.keeper.reason and len(bench.said) == 1
    others.unlink()
    bench.keeper._go_on()
    await bench.follow(dict(FIELDS))
    assert bench.file.exists() and bench.keeper.restarts == 1 and bench.keeper.reason == ""


async def test_a_dnsmasq_that_does_not_tell_its_version_is_asked_again(tmp_path: Path, monkeypatch) -> None:
    bench = Bench(tmp_path)
    mute = tmp_path / "dnsmasq"
    mute.write_text("#!/bin/sh\nexec sleep 9\n")
    mute.chmod(0o755)
    bench.program = str(mute)
    with monkeypatch.context() as impatient:
        impatient.setattr(dnsmasq_keeper, "PROGRAM_SECONDS", 0.2)
        await bench.follow(FIELDS)
    assert "does not say" in bench.keeper.reason and bench.keeper._timer is not None
    bench.program = "dnsmasq"
    bench.keeper._go_on()
    await bench.follow(dict(FIELDS))
    assert bench.keeper.restarts == 1


@pytest.mark.parametrize(
    "failure",
    [subprocess.TimeoutExpired("dnsmasq", 5.0), OSError(12, "Cannot allocate memory"),
     subprocess.CompletedProcess((), -9, "", "")],
)  # fmt: skip
async def test_a_test_that_did_not_come_to_its_end_is_no_refusal(tmp_path: Path, monkeypatch, failure) -> None:
    bench, run = Bench(tmp_path), subprocess.run

    def busy(words: list[str], **named: object) -> object:
        if "--test" not in words:
            return run(words, **named)
        if isinstance(failure, Exception):
            raise failure
        return failure

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(subprocess, "run", busy)
        await bench.follow(FIELDS)
    assert bench.keeper.reason and bench.keeper.refused == "" and not bench.file.exists()
    bench.keeper._go_on()
    await bench.follow(dict(FIELDS))
    assert bench.file.exists() and bench.keeper.reason == ""


async def test_a_dnsmasq_that_does_not_come_back_gets_its_folder_as_it_was(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(dnsmasq_keeper, "BACK_SECONDS", 0.2)
    bench = Bench(tmp_path, comes_back=False)
    await bench.follow(FIELDS)
    assert not bench.file.exists() and bench.keeper.reason == "it did not start with our file"
    assert any("taken away again" in text for text in bench.said)
    restarts = bench.keeper.restarts
    bench.keeper._go_on()
    await bench.follow(dict(FIELDS))
    assert bench.keeper.restarts == restarts  # that text is not tried again


@pytest.mark.parametrize(
    ("setting", "restart", "why"),
    [("off", ("true",), "option dnsmasq is off"), ("/nowhere", ("true",), "is not in memory"),
     ("", (), "nobody would start it again")],
)  # fmt: skip
async def test_why_it_is_not_dnsmasq_is_told(tmp_path: Path, setting: str, restart: tuple[str, ...], why: str) -> None:
    bench = Bench(tmp_path, restart=restart)
    await bench.follow(FIELDS, setting)
    assert why in bench.keeper.reason and not bench.file.exists()
