"""What names need is in memory when a rule asks for names, or a file of an earlier daemon waits, and not before."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netpolicy.core import dns_guard
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule, Settings
from netpolicy.dataplane.policy import Entry, Policy
from netpolicy.service.naming import GIVEN, Naming

PLAIN = Rule("web", 1, (parse_field("dest_port", ("443",)),), Action("route", "direct"))
NAMED = Rule("video", 1, (parse_field("domain", ("video.example",)),), Action("route", "direct"))


def engine(state: Path, *rules: Rule) -> Any:
    policy = Policy(entries=tuple(Entry(rule, 0) for rule in rules))
    return SimpleNamespace(
        enforced=SimpleNamespace(policy=policy), in_force=SimpleNamespace(revision=1),
        settings=Settings(dnsmasq="off"),
        places=SimpleNamespace(state=str(state)), log=SimpleNamespace(add=lambda *words: None), note_fault=pytest.fail,
    )  # fmt: skip


async def test_rules_without_names_need_nothing(tmp_path: Path) -> None:
    naming = Naming(engine(tmp_path, PLAIN), lambda: (), lambda found: None)
    naming.turned()
    naming.noticed([], is_whole=False)
    naming.told("video.example", ())
    assert naming.document()["sets"] == 0 and naming.sets_of((4, 1)) is None
    await naming.close()
    await naming.close_name_server(is_over=True)


@pytest.mark.parametrize("is_left", [False, True])
async def test_a_rule_with_names_or_a_file_that_was_left_needs_it_all(tmp_path: Path, is_left: bool) -> None:
    if is_left:
        (tmp_path / GIVEN).write_text("nftset=/x/4#inet#netpolicy#d_x4\n")
    naming = Naming(engine(tmp_path, PLAIN if is_left else NAMED), lambda: (), lambda found: None)
    naming.turned()
    found = naming.document()
    assert found["sets"] == (0 if is_left else 1) and "dnsmasq" not in found["by"]
    assert naming._dnsmasq is not None and naming._dnsmasq._work is not None
    await asyncio.wait([naming._dnsmasq._work])
    await naming.close()
    await naming.close_name_server(is_over=False)
    assert not (tmp_path / GIVEN).exists()


async def test_what_was_read_and_is_not_yet_in_force_does_not_restart_dnsmasq(tmp_path: Path) -> None:
    """A turn that an event began ends between the reading of a configuration and its own turn."""
    of = engine(tmp_path, NAMED, *dns_guard.rules())
    naming = Naming(of, lambda: (), lambda found: None)
    of.settings = Settings(dnsmasq="off", dns_guard=True)
    naming.turned()
    assert naming._dnsmasq is not None
    before = naming._dnsmasq._wanted
    assert before[1] == (f"local=/{dns_guard.CANARY}/",)
    of.settings = Settings(dnsmasq="off")
    naming.turned()
    assert naming._dnsmasq._wanted == before
    of.enforced = engine(tmp_path, NAMED).enforced
    naming.turned()
    assert naming._dnsmasq._wanted[1] == ()
    await naming.close()
    await naming.close_name_server(is_over=False)


def test_the_daemon_starts_without_it() -> None:
    parts = ("name_learning", "dnsmasq_keeper", "name_prefill", "dnsmasq_text")
    look = f"[one for one in {parts} if 'netpolicy.service.' + one in sys.modules]"
    program = f"import netpolicy.daemon.process, sys; print({look})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
