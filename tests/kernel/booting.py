"""A router that loses its power, and boots: the guard's boot hook under the shell of this machine, and what leaks then.

RAM and what is ours in the kernel go, the flash stays. Never the object under test: it is seen by what comes to the far
side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys

from tests.acceptance.leaks import Cables, end_all_of
from tests.daemon.running import ROOT, Netpolicyd, until
from tests.kernel.guarded import GUARD
from tests.kernel.streams import FAMILY, SERVER, Place, steady_datagrams
from tests.netns import run
from tests.own_process import one_processor

BLOCKED, PASSED = 4888, 4889


class Booting:
    """A router that lost its power."""

    def __init__(self, where: Place | None, daemon: Netpolicyd) -> None:
        """Without a place nobody sends through it."""
        self.daemon = daemon
        if where is not None:
            self.where = where
        self.lock = daemon.store / "generations/000001/lock"
        self.programs = daemon.config.with_name("programs")

    def lose_power(self) -> None:
        until(lambda: (self.daemon.store / "generations/current").exists())  # it is taken over, its lock before it
        assert (self.lock / "table.nft").exists()
        end_all_of(self.daemon)
        self.forget()

    def forget(self) -> None:
        """What is in RAM and in the kernel is gone."""
        shutil.rmtree(self.daemon.state)
        run("nft", "flush", "ruleset")
        for family in ("-4", "-6"):
            run("ip", family, "rule", "flush", "protocol", "78")
            with contextlib.suppress(AssertionError):  # nothing is there in one family
                run("ip", family, "route", "flush", "table", "all", "protocol", "78")

    def guard(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The boot hook, under the shell of this machine."""
        places = ("--store", self.daemon.store, "--run", self.daemon.state, "--config", self.daemon.config)
        self.programs.mkdir(exist_ok=True)
        program = self.programs / "netpolicyd"
        if not program.exists():  # a test may have put another one there
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m netpolicy.daemon.main "$@"\n')
            program.chmod(0o755)
        surroundings = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        command = ["sh", GUARD, *places, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)

    def arrived(self, family: int) -> list[int]:
        """To which ports of the far side datagrams came, of ten to one that is blocked and then one to another."""
        with contextlib.ExitStack() as stack:
            with self.where.server.entered():
                far = [stack.enter_context(socket.socket(FAMILY[family], socket.SOCK_DGRAM)) for _ in range(2)]
            with self.where.client.entered():
                near = stack.enter_context(socket.socket(FAMILY[family], socket.SOCK_DGRAM))
            for one, port in zip(far, (BLOCKED, PASSED), strict=True):
                one.bind((SERVER[family], port))
                one.settimeout(20 if port == PASSED else 0)
            with one_processor():  # each has a queue of its own
                for port in [BLOCKED] * 10 + [PASSED]:
                    near.sendto(b"?", (SERVER[family], port))
            far[1].recv(1)  # on the same way, so those before it are there or nowhere
            with contextlib.suppress(BlockingIOError):
                return [BLOCKED] if far[0].recv(1) else []
            return []

    def leaks(self, cables: Cables) -> list[str]:
        """What leaves by line B while 300 datagrams do that no rule seals."""

        async def pass_by() -> None:
            with steady_datagrams(self.where, 4999) as arrived:
                while arrived["eth1"] < 300:  # what is sealed is counted too, where it should be
                    await arrived.more(50)

        asyncio.run(pass_by())
        return list(cables.leaks)


def often(cables: Cables) -> set[str]:
    """What came by which cable, where it was more than a few packets; another thread counts."""
    return {what for what, count in dict(cables.seen).items() if count > 5}
