"""The page of the guarded apply in LuCI: real rpcd and uhttpd, a real browser, connections through a real network."""

from __future__ import annotations

import json

from tests.openwrt.browser import Browser
from tests.openwrt.userland import CONFIG, LAN, LINE_A, LINE_B, ROUTER, ROUTER_B, Userland

CHANGES = "/cgi-bin/luci/admin/services/netpolicy/changes"
BY_ITSELF = "Confirm by itself as soon as a new connection gets through"
IN_SPITE = "Apply in spite of the refusal: I know another way to this router"


def last(router: Userland) -> dict:
    """The last line of the journal."""
    return json.loads(router.inside("ubus", "-S", "call", "netpolicy", "history"))["entries"][0]


def shown(browser: Browser, address: str) -> str:
    """The page with its plan."""
    browser.log_in(f"http://{address}{CHANGES}")
    browser.open(f"http://{address}{CHANGES}")
    return browser.until("Rehearsed|Nothing was rehearsed")


def test_a_change_is_planned_applied_and_confirmed_by_itself_through_a_new_connection(
    router: Userland, desk: Browser
) -> None:
    router.config.write_text(CONFIG.replace("'25'", "'26'") + LINE_A + LINE_B)
    text = shown(desk, ROUTER)
    assert "rule mail" in text and "25 → 26" in text
    assert f"admin {LAN} -> {ROUTER} tcp/80" in text
    desk.fill("Why", "another port")
    desk.click("Apply")
    desk.until(r"confirmed Generation \d+ is in force")
    entry = last(router)
    assert (entry["outcome"], entry["why"]) == ("committed", "another port")
    assert f"HTTP from {LAN}:" in entry["notes"][0] and "opened after the change" in entry["notes"][0]


def test_where_the_connection_is_old_already_the_page_ends_it_and_comes_by_a_new_one(
    router: Userland, desk: Browser
) -> None:
    router.config.write_text(CONFIG.replace("'25'", "'27'") + LINE_A + LINE_B)
    desk.click("Plan anew")
    desk.until("26 → 27")
    desk.click("Apply")
    desk.until("Not confirmed yet: no HTTP connection to this router is younger than the change")
    desk.until(r"confirmed Generation \d+ is in force", 15)
    assert last(router)["outcome"] == "committed"


def test_a_person_takes_a_change_back(router: Userland, desk: Browser) -> None:
    before = router.config.read_text()
    router.config.write_text(CONFIG.replace("'25'", "'28'") + LINE_A + LINE_B)
    desk.click("Plan anew")
    desk.until("27 → 28")
    desk.tick(BY_ITSELF, False)
    desk.click("Apply")
    desk.until("in force, not confirmed yet")
    desk.click("Wait longer")
    desk.until(r"2[0-9][0-9] seconds until it is taken back")
    desk.click("Take back")
    desk.until("taken back aborted by root by web")
    assert router.config.read_text() == before and last(router)["outcome"] == "reverted"


def test_a_generation_is_gone_back_to(router: Userland, desk: Browser) -> None:
    assert "'27'" in router.config.read_text()
    shown(desk, ROUTER)
    desk.click("Difference", 1)
    desk.until("27 → 26")
    desk.click("Go back to it")
    desk.until(r"confirmed Generation \d+ is in force", 60)
    assert "'26'" in router.config.read_text() and last(router)["cause"].startswith("rollback")


def test_who_locks_himself_out_in_spite_of_a_refusal_reads_afterwards_that_it_was_taken_back(
    router: Userland, internet: Browser
) -> None:
    before = router.config.read_text()
    asserted = CONFIG.replace("'enforce'", "'enforce'\n\tlist assert 'lan can wan tcp/25'")
    router.config.write_text(asserted + LINE_A)
    shown(internet, ROUTER_B)
    internet.click("Apply")
    internet.until("not made the rehearsal shows")
    internet.fill("Seconds to confirm", "15")
    internet.tick(IN_SPITE)
    internet.click("Apply")
    internet.until("The router does not answer|no new connection to this address gets through")
    internet.until("taken back nobody confirmed it in time", 60)
    entry = last(router)
    assert (entry["outcome"], entry["forced"]) == ("reverted", True)
    assert router.config.read_text() == before


def test_names_with_markup_are_text_and_the_page_fits_a_small_screen(router: Userland, desk: Browser) -> None:
    title = "config rule 'mail'\n\toption title '<img src=x onerror=alert(1)>'"
    router.config.write_text(CONFIG.replace("config rule 'mail'", title) + LINE_A + LINE_B)
    assert "<img src=x onerror=alert(1)>" in shown(desk, ROUTER)
    assert desk.run("return document.querySelectorAll('#view img').length") == 0
    desk.narrow(320)
    assert desk.run("return document.documentElement.scrollWidth") <= 320
