"""Who listens: this very process is found, by name, port and address."""

from __future__ import annotations

import os
import socket

from netpolicy.flows import listening


def test_a_program_that_listens_is_told_by_name():
    with socket.create_server(("127.0.0.1", 0)) as here:
        port = here.getsockname()[1]
        (found,) = (one for one in listening.listeners() if (one.address, one.port) == ("127.0.0.1", port))
    assert found.program == listening.name_of(os.getpid()) != ""


def test_the_sockets_of_a_process_are_told_by_inode():
    with socket.socket() as mine:
        inode = os.fstat(mine.fileno()).st_ino
        assert inode in set(listening.held_by(os.getpid()))
        assert listening.owners([inode]) == {inode: listening.name_of(os.getpid())}
    assert listening.owners([inode]) == {}


def test_a_process_that_is_gone_has_no_name_and_holds_nothing():
    nobody = 2**22 + 1  # above the kernel's greatest pid
    assert listening.name_of(nobody) == ""
    assert list(listening.held_by(nobody)) == []
