"""Work in a child: its report comes back, its end is told, and nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import time

import pytest

from netpolicy.dataplane.rehearsal_child import MOST_BYTES, ChildFailed, in_child


def children():
    """Of this process; those that an earlier test left are among them."""
    return set(pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def test_what_the_work_gives_back_arrives_whole():
    assert await in_child(lambda: b"x" * 300000, 30) == b"x" * 300000


async def test_work_that_breaks_or_is_killed_or_takes_too_long_says_so_and_leaves_nobody():
    before = children()
    with pytest.raises(ChildFailed, match="status 1"):
        await in_child(lambda: 1 // 0, 30)
    with pytest.raises(ChildFailed, match="status -9"):
        await in_child(lambda: os.kill(os.getpid(), signal.SIGKILL), 30)
    with pytest.raises(ChildFailed, match=r"longer than 0\.1 s"):
        await in_child(lambda: time.sleep(60), 0.1)
    assert children() <= before


async def test_a_report_without_end_is_cut_off():
    before = children()
    with pytest.raises(ChildFailed, match="too long"):
        await in_child(lambda: b"x" * (MOST_BYTES + 1), 30)
    assert children() <= before


async def test_the_child_holds_no_descriptor_of_its_parent():
    pipe = os.pipe()
    found = await in_child(lambda: " ".join(os.listdir("/proc/self/fd")).encode(), 30)
    inside = {int(one) for one in found.split()} - {0, 1, 2}
    assert len(inside) <= 2  # the way back, and that of the listing
    for one in pipe:
        os.close(one)


async def test_who_stops_waiting_ends_the_child():
    before = children()
    waiting = asyncio.create_task(in_child(lambda: time.sleep(60), 60))
    await asyncio.sleep(0)  # its first step forks
    assert children() - before
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert children() <= before


async def test_the_loop_goes_on_meanwhile(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waiting = asyncio.create_task(in_child(gate.read_bytes, 30))
    for _ in range(10):
        await asyncio.sleep(0.01)
    assert not waiting.done()
    gate.write_bytes(b"done")
    assert await waiting == b"done"
