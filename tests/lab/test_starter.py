"""What the starter needs from the machine, and how it asks for it."""

from __future__ import annotations

import os
import subprocess

import pytest

from netpolicy.lab import starter


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "search_path", lambda: "/nowhere")
    with pytest.raises(starter.LabError, match=r"missing ip, mount, nft.* apt-get install iproute2 mount nftables"):
        starter.check_tools()


def test_only_an_ordinary_user_gets_a_user_namespace() -> None:
    assert "--user" not in starter.unshare_command(user_namespace=False)
    assert {"--user", "--map-root-user"} <= set(starter.unshare_command(user_namespace=True))


def test_the_installed_unshare_knows_every_flag() -> None:
    known = subprocess.run(["unshare", "--help"], capture_output=True, text=True, check=True).stdout
    assert not [flag for flag in starter.unshare_command(user_namespace=True)[1:] if flag not in known]


def test_children_are_found_by_the_number_of_their_parent() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert starter.first_child(child.pid) == 0
    with subprocess.Popen(["sh", "-c", "cat; true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(b"x")
        shell.stdin.flush()
        shell.stdout.read(1)  # cat runs now
        assert starter.first_child(shell.pid) > 0
        shell.stdin.close()


def test_a_process_that_is_gone_has_no_child() -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    assert starter.first_child(child.pid) == 0


def test_the_inside_is_killed_when_it_does_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "PATIENCE_SECONDS", 0.2)
    read_end, write_end = os.pipe()
    child = subprocess.Popen(["sleep", "1000"], text=True)
    inside = starter.Inside(starter.Started(child, write_end, False))
    inside.end()
    inside.end()  # asked twice is asked once
    assert inside.wait() == -9
    os.close(read_end)
