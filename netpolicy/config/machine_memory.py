"""How much memory this machine has, by which lists are measured.

Never guesses: a kernel that does not say it has 0, which counts as little. Source: /proc/meminfo, proc(5).
"""

from __future__ import annotations

MEMINFO = "/proc/meminfo"


def memory_of_machine(path: str = MEMINFO) -> int:
    """Bytes of memory that the kernel has; 0 where it does not say."""
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words[:1] == ["MemTotal:"]:
                    return int(words[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
