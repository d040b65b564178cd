"""The doctor over the bus: its document, and a refusal in words; in a real daemon, which goes on meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from netpolicy.bus import blocking
from netpolicy.bus.doctor_methods import doctor_methods
from netpolicy.bus.method import Caller, run
from netpolicy.bus.status import INVALID_ARGUMENT, OK, UNKNOWN_ERROR
from netpolicy.service.api import Refused
from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.netns import needs_root
from tests.router import router
from tests.service.parts import CONFIG

CALLER = Caller(1, "root", "root")


class Examined:
    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal

    async def doctor(self) -> dict[str, Any]:
        if self.refusal:
            raise Refused(self.refusal)
        return {"findings": [], "summary": {}}


async def call(examined: Examined, **given: Any) -> Any:
    return await run(doctor_methods(examined)["doctor"], given, CALLER, pytest.fail)  # type: ignore[arg-type]


async def test_the_document_is_the_reply() -> None:
    assert await call(Examined()) == (OK, {"findings": [], "summary": {}})
    assert (await call(Examined(), area="kernel"))[0] == INVALID_ARGUMENT


async def test_one_that_did_not_come_to_its_end_says_so() -> None:
    assert await call(Examined("no memory")) == (UNKNOWN_ERROR, {"error": "no memory"})


def examined(daemon: Netpolicyd) -> list[dict[str, Any]]:
    """What a daemon finds; it starts a dozen programs for it, which a busy machine may take its time to do."""
    return blocking.call("netpolicy", "doctor", timeout=60.0, path=daemon.socket)["findings"]


@pytest.mark.kernel
@needs_root
def test_a_real_daemon_examines_the_box_and_finds_what_somebody_broke(tmp_path: Path) -> None:
    with router() as here, netpolicyd(tmp_path, CONFIG) as daemon:
        daemon.settled()
        quiet = {one["code"]: one["level"] for one in examined(daemon)}
        assert quiet["ND101"] == quiet["ND103"] == quiet["ND501"] == quiet["ND213"] == "ok"
        assert (tmp_path / "state" / "fw4" / "netpolicy.nft").exists() and quiet["ND303"] == "ok"
        here.run("ip", "rule", "del", "priority", "32766")
        here.run("ip", "link", "del", "wanb")
        found = examined(daemon)
        loud = {one["code"]: one for one in found if one["level"] == "error"}
        assert "ND213" in loud, [(one["code"], one["details"]) for one in found if one["level"] != "ok"]
        assert "ip -4 rule add" in loud["ND213"]["command"]
        assert "wan_b" in loud["ND951"]["details"]


@pytest.mark.kernel
@needs_root
def test_nobody_else_waits_for_the_examination(tmp_path: Path) -> None:
    """A dnsmasq that says nothing before the test lets it go."""
    slow, gate = tmp_path / "bin", tmp_path / "gate"
    slow.mkdir()
    os.mkfifo(gate)
    (slow / "dnsmasq").write_text(f"#!/bin/sh\necho asked >{tmp_path}/asked\nread -r word <{gate}\necho $word\n")
    (slow / "dnsmasq").chmod(0o755)
    answers: list[dict[str, Any]] = []
    with router(), netpolicyd(tmp_path, CONFIG, path=str(slow)) as daemon:
        daemon.settled()
        thread = threading.Thread(target=lambda: answers.append({"findings": examined(daemon)}))
        thread.start()
        until(lambda: (tmp_path / "asked").exists())
        assert daemon.call("status")["mode"] == "enforce" and not answers
        with gate.open("w") as opened:
            opened.write("Dnsmasq-of-the-test\n")
        thread.join()
    assert any("Dnsmasq-of-the-test" in one["details"] for one in answers[0]["findings"])
