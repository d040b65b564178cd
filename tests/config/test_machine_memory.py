"""The memory of the machine as the kernel tells it, and as the C library does."""

from __future__ import annotations

import os
from pathlib import Path

from netpolicy.config.machine_memory import memory_of_machine


def test_it_is_what_the_c_library_says() -> None:
    assert memory_of_machine() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_machine_that_does_not_say_its_memory_is_a_small_one(tmp_path: Path) -> None:
    for text in ("MemTotal: much kB\n", "MemTotal:\n", "MemFree: 7 kB\n"):
        (tmp_path / "meminfo").write_text(text)
        assert memory_of_machine(str(tmp_path / "meminfo")) == 0
    assert memory_of_machine(str(tmp_path / "none")) == 0
