"""A candidate is read, compared and bound to a hash before anything else, and refused in words."""

from __future__ import annotations

import json

import pytest

from netpolicy.service.api import Refused
from netpolicy.service.change import AWAITING, REFUSED
from netpolicy.service.loading import Loader
from tests.netns import needs_root, run
from tests.router import router
from tests.service.changing import ChangingHouse, Told, state
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]

OTHER = CONFIG.replace("443", "444")
OFF = CONFIG.replace("enabled '1'", "enabled '0'")


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path)
        assert await house.load() == ""
        yield house
        await house.end()


@pytest.fixture
async def watched(tmp_path):
    with router():
        house = ChangingHouse(tmp_path, eyes=Told())
        assert await house.load() == ""
        yield house
        await house.end()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CONFIG.replace("option block 'reject'", "option block 'rejekt'"), "rejekt"),
        ("", "main section"),
        (CONFIG.replace("enabled '1'", "enabled '1'\n\toption fwmark_mask '0x1'"), "fwmark_mask"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_refused_and_changes_nothing(house, text, says):
    before = state()
    change = house.begin(text)
    await house.guarded.ended()
    assert change.state == REFUSED and says in change.error
    assert state() == before and house.store.numbers() == (1,)
    assert house.config.read_text() == text  # the owner's draft stays
    assert house.entries()[-1]["outcome"] == REFUSED


async def test_a_plan_that_was_looked_at_binds_the_apply(house):
    house.write(OTHER)
    planned = await house.changes.plan({})
    assert planned["changes"] and not planned["drift"]
    house.write(OTHER + "\n# later\n")
    change = house.begin(plan=planned["hash"])
    await house.guarded.ended()
    assert change.state == REFUSED and "since that plan" in change.error
    house.write(OTHER)
    run("ip", "rule", "del", "priority", "7002")
    change = house.begin(plan=planned["hash"])
    await house.guarded.ended()
    assert change.state == REFUSED
    assert await house.engine.reconcile("heal") == ""
    change = await house.until(house.begin(plan=planned["hash"][:12]), AWAITING)
    assert change.state == AWAITING


async def test_a_plan_of_thousands_of_rules_fits_into_a_message_and_says_how_many_there_are(house):
    many = [
        f"config rule 'r{n}'\n\tlist dest_addr '10.{n >> 8}.{n & 255}.0/24'\n\toption route 'wan_a'\n"
        for n in range(3000)
    ]
    house.write(CONFIG + "".join(many))
    planned = await house.changes.plan({})
    assert planned["totals"]["rules"] == 0 and len(json.dumps(planned)) < 1 << 19  # these eyes see no rules
    assert 0 < len(planned["changes"]) <= planned["totals"]["changes"]
    change = await house.until(house.begin(), AWAITING)
    assert change.state == AWAITING and len(json.dumps(house.changes.job())) < 1 << 19


async def test_a_rule_that_would_be_left_out_refuses_the_change_and_a_plan_names_it(house):
    broken = CONFIG.replace("list dest_port '443'", "list dest_port '443'\n\toption prioritty '3'")
    house.write(broken)
    planned = await house.changes.plan({})
    assert "video" in planned["skipped"][0] and "--force" in planned["refused"]["hint"]
    assert f"rule video cannot be used and would be left out: {house.config}:16:" in planned["refused"]["error"]
    change = house.begin()
    await house.guarded.ended()
    assert change.state == REFUSED and "video" in change.error
    change = await house.until(house.begin(force=True), AWAITING)
    assert change.state == AWAITING


async def test_a_plan_that_an_apply_would_refuse_says_so(watched):
    watched.write(OTHER)
    assert (await watched.changes.plan({}))["refused"] is None
    watched.eyes.rows = ({"what": "assert lan can wan tcp/443", "ok": False, "because": "refused"},)
    refused = (await watched.changes.plan({}))["refused"]
    change = watched.begin()
    await watched.guarded.ended()
    assert change.state == REFUSED and refused == {"error": change.error, "hint": change.hint}
    assert "assert lan can wan tcp/443: refused" in refused["error"]


async def test_a_plan_names_the_lists_that_have_nothing_yet(house, tmp_path):
    house.engine.loader = Loader(kept=str(tmp_path / "lists"))
    house.write(CONFIG + "config list 'ads'\n\toption url 'https://me:pw@lists.example.net/ads?token=s3cret'\n"
                "config rule 'no_ads'\n\tlist dest_addr '@ads'\n\toption block '1'\n")  # fmt: skip
    (told,) = (await house.changes.plan({}))["not_enforced"]
    assert "'ads' has nothing from https://lists.example.net/ads" in told
    assert "s3cret" not in told and "pw" not in told


async def test_a_plan_names_the_change_that_waits(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    pending = (await house.changes.plan({}))["pending"]
    assert (pending["id"], pending["state"]) == (change.id, AWAITING) and pending["seconds_left"] > 0
    await house.guarded.abort(change.id, "a test")
    assert (await house.changes.plan({}))["pending"] is None


async def test_what_is_wrong_with_a_text_that_was_handed_in_is_not_told_of_the_configuration_file(house):
    rules = CONFIG[CONFIG.index("config outbound") :]
    with pytest.raises(Refused, match=r"^<text>:0:0: error\[NP210\]"):
        await house.changes.plan({"text": rules})
    with pytest.raises(Refused, match=r"^<text> as uci:0:0: error\[NP210\]"):
        await house.changes.plan({"text": "rule a:\n  match port=25\n  action block\n", "format": "dsl"})
    house.changes.apply({"text": rules}, "a test")
    await house.guarded.ended()
    assert house.guarded.find().error.startswith("<text>:0:0:")
    house.write(rules)
    with pytest.raises(Refused, match=f"^{house.config}:0:0:"):
        await house.changes.plan({})


async def test_a_plan_says_how_long_the_change_would_wait(house):
    house.write(OTHER)
    assert (await house.changes.plan({}))["window"] == 120
    house.write(CONFIG.replace("config rule 'video'", "config rule 'video'\n\toption name 'Films and such'"))
    assert (await house.changes.plan({}))["window"] == 0
