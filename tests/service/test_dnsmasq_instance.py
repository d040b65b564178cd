"""Which dnsmasq runs, and where it reads lines of others: from arguments and files as they are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netpolicy.service.dnsmasq_instance import instances, is_in_ram


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    made = tmp_path / "proc"
    add(made, "self", "python3", [], "net:[1]")
    return made


def add(proc: Path, pid: str, comm: str, words: list[str], namespace: str) -> None:
    folder = proc / pid
    (folder / "ns").mkdir(parents=True)
    (folder / "comm").write_text(comm + "\n")
    (folder / "cmdline").write_text("\0".join([*words, ""]) if words else "")
    (folder / "stat").write_text(f"1 ({comm}) S " + "0 " * 18 + "1500 0\n")
    os.symlink(namespace, folder / "ns/net")


def test_a_file_that_is_named_says_which_folders_are_read(proc: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.conf"
    more.write_text("conf-dir = /run/second/,.bak\nconf-dir=/run/not,*.txt\nconf-file=" + str(more) + "\n")
    file = tmp_path / "dnsmasq.conf"
    file.write_text(f"# x\nconf-dir=/tmp/dnsmasq.d\nconf-file={more}\nno-hosts\n")
    add(proc, "7", "dnsmasq", ["/usr/sbin/dnsmasq", "-C", str(file), "-k"], "net:[1]")
    add(proc, "8", "dnsmasq", ["dnsmasq", "-C", str(file)], "net:[2]")
    add(proc, "9", "dnsmasq", [], "net:[1]")  # has ended
    (found,) = instances(str(proc))
    assert (found.pid, found.program) == (7, "/usr/sbin/dnsmasq")
    assert found.folders == ("/tmp/dnsmasq.d", "/run/second")
    assert found.begun == 1500 / os.sysconf("SC_CLK_TCK")


def test_folders_may_stand_in_the_arguments(proc: Path, tmp_path: Path) -> None:
    nothing = str(tmp_path / "none")
    add(proc, "7", "dnsmasq", ["dnsmasq", "-7", "/etc/dnsmasq.d,.dpkg-dist", f"-C{nothing}", "--conf-dir=/run/x,.conf"],
        "net:[1]")  # fmt: skip
    assert [one.folders for one in instances(str(proc))] == [("/etc/dnsmasq.d",)]


def test_a_folder_in_memory_is_told_from_one_on_flash(proc: Path) -> None:
    (proc / "self/mounts").write_text(
        "/dev/root / squashfs ro 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/sda /tmp/usb ext4 rw 0 0\n"
    )
    found = [is_in_ram(folder, str(proc)) for folder in ("/tmp/dnsmasq.d", "/etc/dnsmasq.d", "/tmp/usb/d")]
    assert found == [True, False, False]


def test_a_child_that_answers_one_client_by_tcp_is_none(proc: Path) -> None:
    add(proc, "7", "dnsmasq", ["/usr/sbin/dnsmasq"], "net:[1]")
    add(proc, "8", "dnsmasq", ["/usr/sbin/dnsmasq"], "net:[1]")
    (proc / "8/stat").write_text("8 (dnsmasq) S 7 " + "0 " * 17 + "1500 0\n")
    assert [one.pid for one in instances(str(proc))] == [7]
