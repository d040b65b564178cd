"""The nft tool: its refusals in words, its time limit, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from netpolicy.dataplane.nft import Nft, NftError, NoRehearsal
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]

TEXT = "add table inet netpolicy\nadd chain inet netpolicy np_schema_2\n"


@pytest.fixture(autouse=True)
def here():
    with private_netns() as namespace:
        yield namespace


def script(folder: Path, text: str) -> str:
    path = folder / "nft"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def test_what_was_loaded_is_listed():
    assert await Nft().list_table() is None
    await Nft().load(TEXT)
    table = await Nft().list_table()
    assert table is not None and table.is_ours


async def test_a_listing_tells_sets_without_their_elements():
    elements = ", ".join(f"{number} : goto to" for number in range(1000))
    await Nft().load(TEXT + "add chain inet netpolicy to\n"
                     f"add map inet netpolicy m {{ type mark : verdict; elements = {{ {elements} }}; }}\n")  # fmt: skip
    table = await Nft().list_table()
    assert table is not None and list(table.sets) == ["m"] and len(table.sets["m"]) < 100


async def test_a_table_that_is_switched_off_is_listed_with_its_flag():
    """Some versions of nft end their JSON in the middle there, or name the wrong flag."""
    await Nft().load(TEXT)
    await Nft().load("add table inet netpolicy { flags dormant; }\n")
    table = await Nft().list_table()
    assert table is not None and table.is_ours and table.flags


async def test_a_refused_text_changes_nothing_and_says_why():
    with pytest.raises(NftError, match=r"Error: .*syntax error"):
        await Nft().load(TEXT + "add nonsense\n")
    assert await Nft().list_table() is None


async def test_our_table_is_listed_alone_whatever_others_have():
    run(
        "nft",
        "-f",
        "-",
        text="add table inet other\nadd chain inet other np_schema\nadd set inet other s { type mark; }",
    )
    assert await Nft().list_table() is None
    await Nft().load(TEXT)
    alone = await Nft().list_table()
    assert alone is not None and alone.is_ours
    assert "np_schema" not in alone.chains and "s" not in alone.sets
    run("nft", "add table inet sleeping { flags dormant; }")  # nft 1.0.6 prints that as JSON that ends in the middle
    assert await Nft().list_table() == alone


async def test_a_check_loads_nothing():
    await Nft().check(TEXT)
    assert run("nft", "list", "ruleset") == ""


async def test_a_rehearsal_loads_nothing_here():
    found = await Nft().rehearse(TEXT)
    assert found.is_ours
    assert run("nft", "list", "ruleset") == ""


async def test_a_missing_nft_is_named_with_what_to_do():
    with pytest.raises(NftError, match="nft-that-is-not-there is not installed: install nftables"):
        await Nft("nft-that-is-not-there").load(TEXT)


async def test_an_nft_that_cannot_be_run_is_named(tmp_path):
    (tmp_path / "nft").write_text("x")
    with pytest.raises(NftError, match="cannot start"):
        await Nft(str(tmp_path / "nft")).load(TEXT)


async def test_no_unshare_means_no_rehearsal(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoRehearsal, match="`unshare` tool is not installed"):
        await Nft().rehearse(TEXT)


@pytest.mark.parametrize(
    "complaint",
    [
        "unshare: unshare failed: Operation not permitted",  # util-linux
        "unshare: unshare(0x40000000): Operation not permitted",  # busybox
    ],
)
async def test_a_refused_namespace_means_no_rehearsal(monkeypatch, tmp_path, complaint):
    (tmp_path / "unshare").write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NoRehearsal):
        await Nft().rehearse(TEXT)


@pytest.mark.parametrize("how", ["rehearse", "rehearse_beside"])
async def test_an_nft_that_misplaces_bytes_is_refused_before_anything_is_loaded(tmp_path, how):
    """Seen of 1.0.2, 1.0.4 and 1.0.5: they load and list the same text and compile it to other bytes."""
    older = script(tmp_path, 'out=$(/usr/sbin/nft "$@") || exit\necho "$out" | sed "s/1[.][0-9.]*/1.0.5/"')
    with pytest.raises(NftError, match=r"nft 1\.0\.5 would send .* wrong ways: install nftables 1\.0\.6 or newer"):
        await getattr(Nft(older), how)(TEXT)
    assert run("nft", "list", "ruleset") == ""


async def test_a_rehearsal_beside_is_removed_also_when_listing_fails(tmp_path):
    wrapped = script(tmp_path, 'case "$1" in -t) exit 1;; esac\nexec /usr/sbin/nft "$@"')
    with pytest.raises(NftError):
        await Nft(wrapped).rehearse_beside(TEXT)
    assert run("nft", "list", "ruleset") == ""


def children(number: str) -> list[str]:
    """Who sleeps for so many seconds."""
    marker = f"sleep\0{number}\0"  # to its end: the number of another test may begin with this one
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in command:
                found.append(entry.name)
    return found


async def ended(number: str) -> bool:
    """Whether nobody sleeps so long any more. Who was killed is there until a processor has time for its end."""
    deadline = time.monotonic() + 30
    while children(number) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process, nothing to await
        await asyncio.sleep(0.01)
    return not children(number)


@pytest.mark.parametrize("how", ["load", "rehearse"])
async def test_a_hanging_nft_is_ended_together_with_its_children(tmp_path, how):
    number = f"9{os.getpid()}"
    started = time.monotonic()
    with pytest.raises(NftError, match=r"did not finish within 0\.3 s"):
        await getattr(Nft(script(tmp_path, f"sleep {number}; true"), seconds=0.3), how)(TEXT)
    assert time.monotonic() - started < 60
    assert await ended(number)


async def test_a_cancelled_run_leaves_no_child(tmp_path):
    number = f"8{os.getpid()}"
    # It reads first: what it is told is told once asyncio has finished the start of the child.
    task = asyncio.ensure_future(Nft(script(tmp_path, f"read -r _; sleep {number}; true")).load(TEXT))
    while not children(number):  # noqa: ASYNC110 - another process, nothing to await
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await ended(number)


async def test_a_flood_of_complaints_is_cut(tmp_path):
    wrapped = script(tmp_path, "head -c 100000 /dev/zero | tr '\\\\0' x >&2; exit 1")
    with pytest.raises(NftError) as caught:
        await Nft(wrapped).load(TEXT)
    assert len(str(caught.value)) <= 400
