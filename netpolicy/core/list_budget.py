"""How long lists may be, and what they cost in memory: the limits that docs/operations.md states.

Numbers only. Never measures: the costs per entry were measured once, see docs/operations.md. Which of
the budgets holds depends on the memory of the machine, which somebody else reads.
"""

from netpolicy.core.address import V4, V6

# Bytes of a range in this process: its two ends; and while it is one of few, the tables of the index.
RANGE_BYTES = {V4: 8, V6: 32}
INDEXED_RANGE_BYTES = 250

# Bytes of a range in the kernel's tree of interval ends.
KERNEL_BYTES = {V4: 192, V6: 256}

# Bytes of a name in the tables of the index; in long lists it stands in a table of its own only.
INDEXED_NAME_BYTES = 300

# The index holds the entries of shorter lists itself, and asks longer ones.
MAX_INDEXED = 20_000

MIB = 1 << 20


class Budget:
    """The limits on one machine. `addresses` and `names` are counted after merging, `file` are bytes."""

    __slots__ = ("addresses", "file", "kernel", "machine", "names", "patterns", "process")

    def __init__(self, machine: str, addresses: int, names: int, file: int, process: int, kernel: int) -> None:
        self.machine = machine  # which machines, in words
        self.addresses = addresses  # of one list
        self.names = names  # of one list
        self.patterns = 200  # keyword: and regex: of one list's file: each is tried on every name
        self.file = file
        self.process = process  # bytes, all lists together
        self.kernel = kernel


# 100 000 networks and 500 000 names with some room.
LARGE = Budget("512 MB and more", 150_000, 600_000, 16 * MIB, 48 * MIB, 64 * MIB)
MIDDLE = Budget("192 to 512 MB", 50_000, 200_000, 8 * MIB, 12 * MIB, 20 * MIB)
SMALL = Budget("less than 192 MB", 20_000, 60_000, 4 * MIB, 6 * MIB, 8 * MIB)


def budget_of(memory: int) -> Budget:
    """The budget of a machine with so many bytes of memory; 0 is not known, and taken for a small one."""
    # A machine sold with 512 MB tells the kernel of a tenth less.
    if memory >= 450 * MIB:
        return LARGE
    return MIDDLE if memory >= 170 * MIB else SMALL
