"""The use cases: plain documents out, refusals in words, and one nft run for many readers."""

from __future__ import annotations

import asyncio
import time

import pytest

from netpolicy.flows.watch import FlowWatch
from netpolicy.service import api
from netpolicy.service.api import LINT_LIMIT, NotThere, Refused, Service
from netpolicy.service.connections import Connections
from netpolicy.service.engine import Places
from netpolicy.service.generations import Store
from tests.netns import needs_root, run
from tests.router import router
from tests.service.parts import CONFIG, House, leads_to

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
async def house(tmp_path):
    with router():
        house = House(tmp_path)
        await house.load()
        yield house


@pytest.fixture
def service(house):
    watch = FlowWatch()
    return Service(house.engine, Connections(house.engine, watch.table), watch)


async def test_many_readers_of_the_counters_cost_one_run(service, house, monkeypatch):
    monkeypatch.setattr(api, "COUNTERS_SECONDS", 3600.0)
    runs = []
    listed = type(house.engine.kernel).counters

    async def counted(kernel):
        runs.append(1)
        return await listed(kernel)

    monkeypatch.setattr(type(house.engine.kernel), "counters", counted)
    answers = await asyncio.gather(*(service.rules() for _ in range(20)))
    assert len(runs) == 1 and all(len(one["rules"]) == 2 for one in answers)


async def test_a_decision_on_paper_knows_the_lines(service, house):
    asked = {"protocol": "tcp", "port": 443}
    assert service.decide(asked)["rule"] == "video"
    run("ip", "link", "set", "wanb", "down")
    await house.engine.reconcile("link")
    assert service.decide(asked)["outbound"] == "direct"
    with pytest.raises(Refused, match="port"):
        service.decide({"port": "many"})


async def test_a_text_is_linted_without_touching_anything(service):
    assert service.lint(CONFIG)["ok"]
    broken = service.lint("config rule 'x'\n\tlist dest_port '99999'\n")
    assert not broken["ok"] and broken["diagnostics"][0]["line"]
    with pytest.raises(Refused, match="longer than"):
        service.lint("#" * (LINT_LIMIT + 1))


RULE = "rule video calls:\n  priority 5\n  match port=5060\n  action block\n"


async def test_a_text_is_linted_in_its_format_and_converted(service):
    assert service.lint(RULE, "dsl")["ok"]
    assert not service.lint(RULE)["ok"]
    made = service.convert(RULE, "dsl", "uci")
    assert made["ok"] and "config rule 'video_calls'" in made["text"]
    assert service.convert(made["text"], "uci", "dsl")["text"] == RULE.replace("video calls", '"video calls"')
    broken = service.convert("rule a:\n  match prot=1\n", "dsl", "yaml")
    assert (broken["ok"], broken["text"], bool(broken["diagnostics"])) == (False, None, True)
    for wrong in (("x", "json", "dsl"), ("x", "uci", "xml"), ("#" * (LINT_LIMIT + 1), "uci", "dsl")):
        with pytest.raises(Refused):
            service.convert(*wrong)


async def test_a_decision_on_paper_knows_the_hour(service, house):
    hours = "config schedule 'late'\n\toption from '22:00'\n\toption to '23:00'\n"
    house.write(
        CONFIG + hours + "config rule 'l'\n\toption schedule 'late'\n\toption priority '99'\n\toption block '1'\n"
    )
    await service.reload()
    assert service.decide({"at": "22:30"})["rule"] == "l"
    assert service.decide({"at": "21:30"})["rule"] != "l"
    at = time.struct_time((2026, 11, 21, 22, 30, 0, 5, 325, 0))
    for hour, stands in ((21, "waits: outside schedule late"), (22, "kernel"), (23, "waits: outside schedule late")):
        house.engine.clock = lambda hour=hour: time.struct_time((*at[:3], hour, *at[4:]))
        await house.engine.reconcile("schedule")
        assert house.engine.compiled.standing["l"] == stands
        assert leads_to("l") == ("v_29" if hour == 22 else "")
    with pytest.raises(Refused, match="at"):
        service.decide({"at": "late"})


async def test_a_reload_says_how_it_went(service, house):
    assert await service.reload() == {"ok": True, "error": None}
    house.write(CONFIG.replace("route 'wan_b'", "route 'wan_c'"))
    answer = await service.reload()
    assert answer["ok"] and answer["left_out"] == 1
    assert answer["skipped"] == service.status()["rules"]["skipped"]
    assert answer["skipped"][0]["name"] == "video" and f"{house.config}:16:" in answer["skipped"][0]["place"]
    house.write("config rule 'x")
    answer = await service.reload()
    assert not answer["ok"] and "NP003" in answer["error"] and "skipped" not in answer


async def test_the_status_names_the_generation_that_is_confirmed(service, house, tmp_path):
    house.engine.places = Places(str(house.config), str(house.state), str(tmp_path / "store"))
    assert service.status()["confirmed"] is None
    store = Store(str(tmp_path / "store"))
    store.commit(store.prepare({str(house.config): b"x"}, {}))
    assert service.status()["confirmed"] == 1


async def test_an_outbound_that_cannot_be_set_is_refused_and_one_that_is_not_there_is_not_found(service):
    with pytest.raises(NotThere, match="no outbound"):
        await service.outbound_set("direct_", "down")
    with pytest.raises(Refused, match="not one of auto, up, down"):
        await service.outbound_set("wan_b", "off")
