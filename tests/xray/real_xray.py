"""The real Xray in tests: the wheel from PyPI, in a process and a network namespace of its own.

A configuration that it refuses ends that process with 23, one that it takes is followed by the
line "started". Nothing it does reaches the machine's network.
"""

from __future__ import annotations

import importlib.util
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache

import pytest

from netpolicy.xray.config import build_config, text_of
from netpolicy.xray.node import Node

REFUSED = 23
PATIENCE_S = 60.0  # it takes 0.1 s where nothing else runs

RUN = "import sys, xray; xray.startFromJSON(sys.stdin.read())"


@dataclass(frozen=True)
class Verdict:
    accepted: bool
    log: str


@cache
def isolated() -> tuple[str, ...]:
    """The words in front of a command that runs without the machine's network."""
    words = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    done = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if done.returncode == 0 else ()


def needs_xray() -> None:
    """Skips where the program cannot be had."""
    if importlib.util.find_spec("xray") is None:
        pytest.skip("the wheel xray-core is not installed: there is one for x86-64 and arm64 only")
    if not isolated():
        pytest.skip("no network namespaces here")


def judge(config: str) -> Verdict:
    """Whether the real Xray starts with this text of a configuration."""
    needs_xray()
    command = [*isolated(), sys.executable, "-c", RUN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdin and child.stdout
        try:
            child.stdin.write(config.encode())
            child.stdin.close()
            log = _read_until_started(child)
        finally:
            child.kill()  # its ports and files are in its own namespace; nothing is left behind
        code = child.wait()
    if "] core: Xray " in log and "started" in log:
        return Verdict(True, log)
    if "panic: " in log:  # a crash is a refusal with worse manners
        return Verdict(False, log)
    assert code == REFUSED, f"the shim failed with {code}, which says nothing about the configuration: {log}"
    return Verdict(False, log)


def _read_until_started(child: subprocess.Popen[bytes]) -> str:
    assert child.stdout
    deadline = time.monotonic() + PATIENCE_S
    log = b""
    while b"started" not in log and select.select([child.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
        block = os.read(child.stdout.fileno(), 65536)
        if not block:
            child.wait(PATIENCE_S)
            break
        log += block
    return log.decode(errors="replace")


def culprits(nodes: list[Node]) -> list[Node]:
    """The nodes that Xray refuses, found by halving."""
    if judge(text_of(build_config(nodes))).accepted:
        return []
    if len(nodes) == 1:
        return nodes
    middle = len(nodes) // 2
    return culprits(nodes[:middle]) + culprits(nodes[middle:])
