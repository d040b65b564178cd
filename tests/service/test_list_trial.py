"""New copies of lists and the rules in force: taken together, or not at all."""

from __future__ import annotations

import pytest

from netpolicy.config import list_file
from netpolicy.config.diagnostic import ERROR, Diagnostic
from netpolicy.config.kept_list import Head, path_of, source_of, text_of
from netpolicy.config.loaded import Loaded
from netpolicy.core.list_budget import Budget
from netpolicy.core.model import Ruleset
from netpolicy.core.named_list import NamedList
from netpolicy.service.engine import Places
from netpolicy.service.generations import Store
from netpolicy.service.list_trial import LATER, REFUSED, TAKEN, try_lists, worse
from netpolicy.service.loading import Loader
from netpolicy.service.reading import read
from tests.core.gathered import gathered
from tests.netns import needs_root
from tests.router import router
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]

URL = "https://lists.example/ads"
SOURCE = source_of(URL, "auto", ())
RULE = "\nconfig rule 'no_ads'\n\tlist dest_addr '@ads'\n\toption block '1'\n"
LISTED = f"{CONFIG}\nconfig list 'ads'\n\toption url '{URL}'\n{RULE}"


@pytest.fixture
def house(tmp_path):
    with router():
        made = House(tmp_path, LISTED)
        made.engine.places = Places(str(made.config), str(made.state), str(tmp_path / "store"))
        (tmp_path / "lists").mkdir()
        made.engine.loader = Loader(kept=str(tmp_path / "lists"))
        yield made


def put(house, *entries, is_new=True):
    path = path_of(str(house.config.parent / "lists"), "ads", SOURCE, is_new)
    with open(path, "wb") as file:
        file.writelines(text_of(Head(SOURCE), gathered(*entries)))


def ranges(house):
    (named,) = house.engine.ruleset.lists
    return len(named.ranges[4])


async def confirm(house):
    """What is on disk is in force and kept."""
    store = Store(house.engine.places.store)
    found = await read(house.engine.loader, str(house.config))
    assert house.engine.take(found.loaded) == ""
    store.commit(store.prepare(found.files, {"time": 0, "cause": "test"}))


async def test_a_new_copy_counts_once_it_was_tried(house):
    await confirm(house)
    assert ranges(house) == 0
    put(house, "192.0.2.1", "192.0.2.3")
    assert (await read(house.engine.loader, str(house.config))).loaded.ruleset.lists[0].ranges[4] == ()
    assert await try_lists(house.engine, ["ads"]) == (TAKEN, "")
    assert ranges(house) == 2
    assert await house.engine.reconcile("list") == ""
    put(house, "192.0.2.7")
    rules = house.engine.ruleset.rules
    assert await try_lists(house.engine, ["ads"]) == (TAKEN, "")
    assert ranges(house) == 1
    await house.engine.reconcile("list")
    same = [old is new for old, new in zip(rules, house.engine.ruleset.rules, strict=True)]
    assert same == [True, True, False], "only the rule that asks the list is another one"


async def test_an_edited_configuration_does_not_come_into_force_with_a_list(house):
    await confirm(house)
    house.write(LISTED.replace("443", "444"))
    put(house, "192.0.2.1")
    assert await try_lists(house.engine, ["ads"]) == (TAKEN, "")
    assert ranges(house) == 1
    assert [field.values for field in house.engine.ruleset.rules[0].fields if field.name == "dest_port"] == [("443",)]
    house.write("nonsense")
    assert await try_lists(house.engine, ["ads"]) == (TAKEN, "")


async def test_while_a_change_waits_it_waits_too(house):
    await confirm(house)
    put(house, "192.0.2.1")
    house.engine.frozen = "change r1 waits"
    assert await try_lists(house.engine, ["ads"]) == (LATER, "change r1 waits")
    assert ranges(house) == 0


async def test_a_copy_that_leaves_no_room_is_refused_and_the_rules_stay(house, monkeypatch):
    put(house, "192.0.2.1", is_new=False)
    await confirm(house)
    put(house, *[f"10.0.{number}.1" for number in range(20)])
    monkeypatch.setattr(list_file, "budget_of", lambda _: Budget("a test", 10, 10, 100_000, 4000, 4000))
    result, why = await try_lists(house.engine, ["ads"])
    assert result == REFUSED and "more than 10 addresses" in why
    assert ranges(house) == 1 and house.engine.config_error == ""


def test_what_would_leave_out_more_is_worse():
    before = Loaded(Ruleset(lists=(NamedList("ads", url=URL),)), (), skipped=(("old", "why"),))
    error = Diagnostic("NP004", ERROR, "f", 1, 1, "", "too long")
    assert worse(Loaded(before.ruleset, (), skipped=before.skipped), before) == ""
    assert "too long" in worse(Loaded(before.ruleset, (error,), skipped=(("a", ""), ("b", ""))), before)
    assert "without the list ads" in worse(Loaded(Ruleset(), (), skipped=before.skipped), before)
    assert "too long" in worse(Loaded(before.ruleset, (error,), fatal=True), before)


async def test_a_change_that_began_and_ended_while_lists_are_tried_stays(house):
    await confirm(house)
    put(house, "192.0.2.1")
    engine, real = house.engine, house.engine.loader.load

    async def load(*given, **named):
        engine.loader.load = real
        found = await real(*given, **named)
        house.write(LISTED.replace("443", "445"))
        await confirm(house)
        return found

    engine.loader.load = load
    before = engine.loaded
    assert (await try_lists(engine, ["ads"]))[0] == LATER
    assert engine.loaded is not before and "445" in str([rule.match_text for rule in engine.ruleset.rules])
    assert await try_lists(engine, ["ads"]) == (TAKEN, "")
    assert ranges(house) == 1 and "445" in str([rule.match_text for rule in engine.ruleset.rules])
