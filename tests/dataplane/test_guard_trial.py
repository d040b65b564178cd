"""A bundle is really led back with, in a namespace of its own, before it is needed; a bad one is refused there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netpolicy.dataplane import script
from netpolicy.dataplane.bundle import render
from netpolicy.dataplane.guard_trial import BundleRefused, prepare
from tests.dataplane.followed import MAIL, OTHER, VIDEO, WORK
from tests.kernel.guarded import GuardedRouter, places, state
from tests.netns import needs_root, run
from tests.router import everything, policy

pytestmark = [pytest.mark.kernel, needs_root]

CANDIDATE = policy(OTHER, VIDEO)


async def prepared(router: GuardedRouter, texts: dict[str, str], keep: tuple[Path, ...] = ()) -> str:
    candidate = script.full_text((await router.kernel.plan(CANDIDATE)).table)
    where = router.places
    tried = await prepare(where.program, where.state, texts, candidate, keep)
    assert Path(tried.folder) == Path(where.guard) / "bundle"
    return tried.how


@pytest.fixture
async def router(here: object, tmp_path: Path) -> GuardedRouter:
    made = GuardedRouter(places(tmp_path))
    await made.follow(policy(VIDEO, MAIL, WORK))
    return made


async def test_a_good_bundle_is_tried_without_touching_the_kernel_that_it_is_for(router):
    before = everything()
    assert await prepared(router, render(await router.in_force())) == "namespace"
    assert everything() == before
    assert not (router.guard_folder / "trial").exists() and not (router.guard_folder / "bundle.new").exists()
    assert (router.guard_folder / "bundle").stat().st_mode & 0o777 == 0o700


async def test_its_sums_name_every_file_and_what_belongs_to_it_in_ram_is_kept_with_it(router, tmp_path):
    classes = tmp_path / "classes.json"
    classes.write_text("{}")
    await prepared(router, render(await router.in_force()), (classes, tmp_path / "none"))
    bundle = router.guard_folder / "bundle"
    listed = run("sh", "-c", 'cd "$1" && sha256sum -c sums', "sh", str(bundle))
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert {line.split(":")[0] for line in listed.splitlines()} == files - {"sums"}
    assert (bundle / "run/classes.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("table.nft", lambda text: text.replace("0x40000000 : accept, ", "", 1)),
        ("table.nft", lambda text: text + "add chain inet netpolicy more\n"),
        ("table.nft", lambda text: "no nft at all\n"),
        ("gate.nft", lambda text: text + "add rule inet nowhere pre accept\n"),
        ("rescue.nft", lambda text: "delete table inet nowhere\n"),
        ("rule4", lambda text: text.replace("fwmark 0x1000000", "fwmark 0x5000000")),
        ("rule6", lambda text: text.replace("7001", "7009", 1)),
        ("rule4", lambda text: "".join(text.splitlines(keepends=True)[1:])),
    ],
)
async def test_a_bundle_that_leads_elsewhere_is_refused_and_nothing_is_left_of_it(router, name, change):
    texts = render(await router.in_force())
    assert change(texts[name]) != texts[name]
    before = state()
    with pytest.raises(BundleRefused):
        await prepared(router, {**texts, name: change(texts[name])})
    assert state() == before
    assert not (router.guard_folder / "bundle").exists() and not (router.guard_folder / "bundle.new").exists()


async def test_what_stands_in_the_kernel_must_be_what_it_was_made_of(router):
    texts = render(await router.in_force())
    run("ip", "rule", "add", "priority", "7050", "fwmark", "0x9", "lookup", "7001", "protocol", "78")
    with pytest.raises(BundleRefused, match="9 ip rules of ours"):
        await prepared(router, texts)
    run("ip", "rule", "del", "priority", "7050")
    run("nft", "flush", "chain", "inet", "netpolicy", "k_01")
    with pytest.raises(BundleRefused, match="does not read as before"):
        await prepared(router, texts)


async def test_without_namespaces_nft_alone_is_asked(router, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "unshare").write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    (tools / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    texts = render(await router.in_force())
    assert await prepared(router, texts) == "checked"
    with pytest.raises(BundleRefused):
        await prepared(router, {**texts, "table.nft": texts["table.nft"] + "add rule inet netpolicy none accept\n"})
