"""A child gets a namespace of its own, goes back into another, and dies with its parent."""

from __future__ import annotations

import os
import pathlib
import select
import signal

import pytest

from netpolicy.dataplane import namespace
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]


def in_fork(work):
    """What `work` says in a child, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as told:
        return told.read()


def test_a_new_namespace_has_a_loopback_alone_and_the_old_one_is_entered_again():
    def work():
        before = os.open("/proc/self/ns/net", os.O_RDONLY)
        here = os.readlink("/proc/self/ns/net")
        made = namespace.new()
        links = [line.split(":")[0].strip() for line in pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]]
        is_other = os.readlink("/proc/self/ns/net") != here
        namespace.enter(before)
        is_back = os.readlink("/proc/self/ns/net") == here
        namespace.enter(made)
        return links[:1], is_other, is_back, os.readlink("/proc/self/ns/net") != here

    assert in_fork(work) == "(['lo'], True, True, True)"


def test_where_the_kernel_says_no_the_reason_is_told():
    def work():
        os.setuid(65534)
        try:
            namespace.new()
        except namespace.NoNamespaces as error:
            return error

    assert in_fork(work) == "no network namespace can be made: Operation not permitted"


def test_a_child_dies_when_its_parent_is_killed():
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            namespace.die_with_parent()
            os.write(writing, b"ready")
            signal.pause()
        signal.pause()
    os.close(writing)
    assert os.read(reading, 5) == b"ready"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert select.select([reading], [], [], 20)[0]
    assert os.read(reading, 1) == b""  # the grandchild held the other end
    os.close(reading)
