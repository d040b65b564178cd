"""The doctor over the bus: its document, and a refusal in words; in a real daemon, which goes on meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netpolicy.bus.doctor_methods import doctor_methods
from netpolicy.bus.method import Caller, run
from netpolicy.bus.status import INVALID_ARGUMENT, OK, UNKNOWN_ERROR
from netpolicy.service.api import Refused
from tests.daemon.running import netpolicyd
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


@pytest.mark.kernel
@needs_root
def test_a_real_daemon_examines_the_box_and_finds_what_somebody_broke(tmp_path: Path) -> None:
    with router() as here, netpolicyd(tmp_path, CONFIG) as daemon:
        daemon.settled()
        quiet = {one["code"]: one["level"] for one in daemon.call("doctor")["findings"]}
        assert quiet["ND101"] == quiet["ND103"] == quiet["ND501"] == quiet["ND213"] == "ok"
        here.run("ip", "rule", "del", "priority", "32766")
        here.run("ip", "link", "del", "wanb")
        loud = {one["code"]: one for one in daemon.call("doctor")["findings"] if one["level"] == "error"}
        assert "ip -4 rule add" in loud["ND213"]["command"]
        assert "wan_b" in loud["ND951"]["details"]
