"""One daemon per state folder; what a dead one leaves behind for a moment is no other daemon."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from netpolicy.daemon.state_lock import Held, StateLock


async def test_it_makes_the_folder_and_a_file_of_its_own(tmp_path):
    lock = StateLock(str(tmp_path / "a/state"))
    await lock.take()
    assert stat.S_IMODE(os.stat(lock.path).st_mode) == 0o600
    lock.give()


async def test_who_comes_second_is_refused_until_the_first_gives_it(tmp_path):
    first, second = StateLock(str(tmp_path)), StateLock(str(tmp_path))
    await first.take()
    with pytest.raises(Held, match=str(tmp_path / "lock")):
        await second.take(0.0)
    first.give()
    await second.take(0.0)
    second.give()


async def test_a_program_that_a_dead_daemon_had_just_forked_is_waited_for(tmp_path):
    """As between fork and exec: the lock is held by nobody who means to."""
    dead, fresh = StateLock(str(tmp_path)), StateLock(str(tmp_path))
    await dead.take()
    coming = asyncio.get_running_loop().create_task(fresh.take(30.0))
    await asyncio.sleep(0.1)
    assert not coming.done()
    dead.give()
    await asyncio.wait_for(coming, 30.0)
    fresh.give()
