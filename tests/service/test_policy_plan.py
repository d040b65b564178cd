"""What following rules would mean: for the kernel as it is, and without changing any of it."""

from __future__ import annotations

import pytest

from netpolicy.service import documents
from tests.netns import needs_root, run
from tests.router import everything, ours, router
from tests.service.parts import CONFIG, OFF, House, leads_to

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def house(tmp_path):
    with router():
        yield House(tmp_path)


def status(house: House) -> dict:
    return documents.status(house.engine, {})


async def test_a_kernel_without_packet_logging_enforces_all_the_same(house, tmp_path, monkeypatch):
    """An nft that refuses the log statement, as a kernel without nfnetlink_log does."""
    program = tmp_path / "nft"
    program.write_text(
        '#!/bin/sh\n[ "$1" = -t ] && exec /usr/sbin/nft "$@"\ntext=$(cat)\n'
        "case \"$text\" in *'log prefix'*) echo 'Error: Could not process rule: No such file or directory' >&2;"
        ' exit 1;; esac\nprintf \'%s\\n\' "$text" | exec /usr/sbin/nft "$@"\n'
    )
    program.chmod(0o755)
    house = House(
        tmp_path, CONFIG.replace("option block 'reject'", "option block 'reject'\n\toption log '1'"), str(program)
    )
    assert await house.load() == ""
    assert [one["code"] for one in status(house)["warnings"]] == ["NP901"]
    assert leads_to("mail") == "v_30" and "log prefix" not in ours()
    assert await house.engine.reconcile("again") == ""
    assert house.engine.in_force.revision == 1


async def test_an_nft_that_fails_once_ends_no_logging(house, tmp_path):
    program = tmp_path / "nft"
    program.write_text(
        f'#!/bin/sh\n[ "$1" != -t ] && [ ! -e {tmp_path}/failed ] && : >{tmp_path}/failed && exit 1\n'
        'exec /usr/sbin/nft "$@"\n'
    )
    program.chmod(0o755)
    house = House(
        tmp_path, CONFIG.replace("option block 'reject'", "option block 'reject'\n\toption log '1'"), str(program)
    )
    assert await house.load() == ""
    assert (tmp_path / "failed").exists() and not status(house)["warnings"]
    assert "log prefix" in ours()


async def test_exact_marks_of_others_are_left_alone(house):
    await house.load()
    assert "meta mark 0x00000001 accept" in ours()  # rule 30000 of the test router, as passwall has it
    assert "0x00000100" not in ours()


async def test_a_taken_table_name_stops_us_and_is_named(house):
    run("nft", "-f", "-", text="table inet netpolicy { chain mine { }; }")
    before = everything()
    assert "that we did not make" in await house.load()
    assert everything() == before
    assert [one["code"] for one in status(house)["warnings"]] == ["NP902"]
    run("nft", "delete", "table", "inet", "netpolicy")
    assert await house.engine.reconcile("retry") == ""


async def test_other_rules_can_be_looked_at_before_they_are_followed(house):
    assert await house.load() == ""
    before, said = everything(), status(house)
    other = CONFIG.replace("option route 'wan_b'", "option route 'wan_a'").replace("'mail'", "'post'")
    house.write(other)
    seen = await house.engine.preview((await house.engine.loader.load(str(house.config))).ruleset)
    assert seen.plan is not None and seen.compiled is not None
    assert seen.plan.changes and not seen.plan.is_empty
    assert seen.compiled.standing.keys() == {"video", "post"}
    assert (everything(), status(house)) == (before, said)
    assert await house.engine.reconcile("nothing") == "" and status(house)["kernel"]["revision"] == 1
    house.write(OFF)
    off = await house.engine.preview((await house.engine.loader.load(str(house.config))).ruleset)
    assert (off.plan, off.compiled, len(off.states)) == (None, None, 2)


async def test_asking_for_the_plan_changes_nothing_that_is_shown(house):
    await house.load(CONFIG.replace("'wanb'", "'usb9'"))
    before, shown = everything(), status(house)
    assert shown["warnings"]
    plan = await house.engine.plan()
    assert plan is not None and plan.is_empty
    assert (everything(), status(house)) == (before, shown)
