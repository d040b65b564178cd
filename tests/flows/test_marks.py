"""Our bits in conntrack marks: cleared or forgotten where they are, and nowhere else."""

from __future__ import annotations

import pytest

from netpolicy.flows.marks import Conntrack
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]

MASK = 0x77000000


@pytest.fixture(autouse=True)
def connections():
    """Three of ours (classes 1, 2 and direct) with bits of others, and one that is not ours."""
    with private_netns():
        for number, mark in enumerate((0x41000001, 0x42000100, 0x40000000, 0x88FFFFFF), 1):
            run(
                "conntrack",
                "-I",
                "-p",
                "udp",
                "-s",
                "10.0.0.1",
                "-d",
                f"10.0.1.{number}",
                "--sport",
                "5",
                "--dport",
                "6",
                "-t",
                "600",
                "-m",
                hex(mark),
            )
        run(
            "conntrack",
            "-I",
            "-p",
            "tcp",
            "-s",
            "fd00::1",
            "-d",
            "fd01::1",
            "--sport",
            "5",
            "--dport",
            "6",
            "-t",
            "600",
            "--state",
            "ESTABLISHED",
            "-m",
            hex(0x41000000),
        )
        yield


def marks() -> list[str]:
    told = run("conntrack", "-L")
    return sorted(hex(int(word[5:])) for line in told.splitlines() for word in line.split() if word.startswith("mark="))


def test_clearing_keeps_every_entry_and_every_foreign_bit():
    assert Conntrack().clear_marks(MASK) == 4
    assert marks() == ["0x0", "0x0", "0x1", "0x100", "0x88ffffff"]
    assert Conntrack().clear_marks(MASK) == 0


def test_forgetting_a_class_deletes_its_entries_and_no_other():
    Conntrack().forget(0x01000000, 0x37000000)
    assert marks() == ["0x40000000", "0x42000100", "0x88ffffff"]
    Conntrack().forget(0x01000000, 0x37000000)
    assert marks() == ["0x40000000", "0x42000100", "0x88ffffff"]


def test_without_a_mask_nothing_is_forgotten():
    with pytest.raises(ValueError, match="everybody"):
        Conntrack().forget(0, 0)
    assert len(marks()) == 5


def test_an_empty_table_is_fine():
    run("conntrack", "-F")
    Conntrack().forget(0x01000000, MASK)
    assert Conntrack().clear_marks(MASK) == 0
