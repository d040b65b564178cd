"""The process that reads: its result is that of reading here, and it never harms the one that asked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from netpolicy.config.load import load
from netpolicy.service import loading
from netpolicy.service.loading import Loader
from tests.config.rulesets import same
from tests.service.parts import CONFIG

BROKEN = CONFIG + "config rule 'odd'\n\tlist dest_port 'x'\n\toption route 'wan_a'\n"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "netpolicy"
    path.write_text(CONFIG)
    return path


@pytest.fixture(autouse=True)
def _leaves_nothing_behind():
    gc.unfreeze()
    gc.collect()  # descriptors that earlier tests left open are closed now
    descriptors, children = open_files(), own_children()  # of other files too, whose threads may still be ending
    yield
    assert not open_files() - descriptors
    assert not own_children() - children, "neither a child nor a zombie"


def open_files() -> set[tuple[str, str]]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def own_children() -> set[str]:
    """Also those that have ended, until somebody asks how."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended in this moment
            if int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(name)
    return found


@pytest.mark.parametrize("text", [CONFIG, BROKEN, "", "\0", "config rule 'x\n"])
async def test_what_a_child_reads_is_what_is_read_here(config, text):
    config.write_text(text)
    here, found = load(str(config)), await Loader().load(str(config))
    assert same(found.ruleset) == same(here.ruleset)
    assert [one.position for one in found.ruleset.rules] == [one.position for one in here.ruleset.rules]
    assert (found.diagnostics, found.skipped, found.fatal, found.blocked_skip) == (
        here.diagnostics, here.skipped, here.fatal, here.blocked_skip,
    )  # fmt: skip


async def test_a_missing_file_is_told_as_it_is_here(tmp_path):
    path = str(tmp_path / "none")
    assert (await Loader().load(path)).diagnostics == load(path).diagnostics


async def test_a_child_reads_it(config):
    seen = config.with_name("pid")

    def read(path):
        seen.write_text(str(os.getpid()))
        return load(path)

    await Loader(read).load(str(config))
    assert int(seen.read_text()) != os.getpid()


async def test_where_there_can_be_no_child_it_is_read_here(config, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(loading.os, "fork", refuse)
    assert len((await Loader().load(str(config))).ruleset.rules) == 2


async def test_no_child_is_made_while_a_thread_imports_what_it_would_import(config, monkeypatch):
    """The import would belong to a thread that the child does not have, and never end."""
    forked = []
    fork = os.fork

    def noted():
        forked.append(True)
        return fork()

    monkeypatch.setattr(loading.os, "fork", noted)
    with loading.IMPORTING:
        reading = asyncio.create_task(Loader().load(str(config)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not forked and not reading.done()
    assert len((await reading).ruleset.rules) == 2 and forked and not loading.IMPORTING.locked()


async def test_a_child_that_is_killed_is_an_error_in_words(config):
    found = await Loader(lambda _: os.kill(os.getpid(), signal.SIGKILL)).load(str(config))
    assert found.fatal and not found.ruleset.rules
    assert "ended too early, by signal 9" in found.diagnostics[0].text() and str(config) in found.diagnostics[0].text()


async def test_a_child_that_is_killed_amid_its_answer_is_an_error_in_words(config, monkeypatch):
    pack = loading.pack

    def cut(found, before):
        yield from list(pack(found, before))[:1]
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(loading, "pack", cut)
    found = await Loader().load(str(config))
    assert found.fatal and "by signal 9" in found.diagnostics[0].text()


async def test_a_child_that_hangs_is_ended(config):
    before = time.monotonic()
    found = await Loader(lambda _: time.sleep(60), limit=0.2).load(str(config))  # never awoken: it is killed
    assert found.fatal and "longer than 0.2 s" in found.diagnostics[0].text() and time.monotonic() - before < 10


async def test_a_fault_of_ours_says_where_it_is(config):
    def read(path):
        raise ZeroDivisionError(path[:1])

    text = (await Loader(read).load(str(config))).diagnostics[0].text()
    assert "please report it: ZeroDivisionError: / at test_loading.py:" in text


async def test_too_little_memory_is_no_fault_of_ours(config):
    def read(_):
        raise MemoryError

    assert "is there enough memory?" in (await Loader(read).load(str(config))).diagnostics[0].text()


async def test_whoever_ends_waits_for_nothing(config):
    loader = Loader(lambda _: signal.pause())
    under_way = asyncio.create_task(loader.load(str(config)))
    await asyncio.sleep(0)
    assert loader._children
    loader.close()
    assert "netpolicyd is ending" in (await under_way).diagnostics[0].text()


async def test_giving_up_waiting_ends_the_child(config):
    loader = Loader(lambda _: signal.pause())
    under_way = asyncio.create_task(loader.load(str(config)))
    await asyncio.sleep(0)
    assert loader._children
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way


async def test_a_child_has_nothing_of_ours_but_its_pipe(config, tmp_path):
    """Neither sockets nor the lock of the state folder: they would outlive a daemon that was killed."""
    said = tmp_path / "said"

    def read(path):
        said.write_text("\n".join(os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")))
        return load(path)

    one, other = socket.socketpair()
    with one, other:
        await Loader(read).load(str(config))
    found = said.read_text().splitlines()
    assert len(found) == 5  # the standard three, the pipe, and the listing itself
    assert any("pipe:" in name for name in found[3:])


async def test_a_signal_to_the_child_is_no_signal_to_us(config):
    heard = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.append, "SIGTERM")

    def read(_):
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        found = await Loader(read).load(str(config))
        await asyncio.sleep(0.05)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert "by signal 15" in found.diagnostics[0].text() and heard == []


async def test_signals_of_ours_are_heard_meanwhile(config):
    heard = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.set)
    loader = Loader(lambda _: signal.pause())
    under_way = asyncio.create_task(loader.load(str(config)))
    try:
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 30)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        loader.close()
        await under_way


async def test_collecting_goes_on_as_before(config):
    await Loader().load(str(config))
    assert gc.isenabled()


async def test_the_garbage_of_reading_stays_with_the_child(config):
    """Reading a thousand rules here takes megabytes more than they are; ten times that is no test, but a leak."""
    rules = "".join(
        [
            f"config rule 'r{n}'\n\tlist dest_addr '10.0.{n >> 8}.{n & 255}'\n\toption route 'wan_a'\n"
            for n in range(2000)
        ]
    )
    config.write_text(CONFIG + rules)
    loader = Loader()
    await loader.load(str(config))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        assert len((await loader.load(str(config))).ruleset.rules) == 2002
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


async def test_rules_that_did_not_change_are_the_same_objects_with_their_new_lines(config):
    before = load(str(config)).ruleset
    config.write_text("# a line more\n" + CONFIG.replace("option block 'reject'", "option block 'drop'"))
    found = (await Loader().load(str(config), before)).ruleset
    here = load(str(config)).ruleset
    assert [one is other for one, other in zip(found.rules, before.rules, strict=True)] == [True, False]
    assert same(found) == same(here) and [one.position for one in found.rules] == [one.position for one in here.rules]


async def test_a_child_reads_what_it_is_given_instead_of_the_file(config):
    given = CONFIG.encode() + b"config rule 'further'\n\tlist dest_port '1'\n\toption block '1'\n"
    loaded = await Loader().load(str(config), instead={str(config): given})
    assert "further" in [rule.name for rule in loaded.ruleset.rules]
    assert loaded.paths == (str(config),)
    assert "further" not in [rule.name for rule in (await Loader().load(str(config))).ruleset.rules]
