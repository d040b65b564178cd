"""How the masked bits of packet and conntrack marks are shared out.

The highest bit of the mask says "this flow was classified" (conntrack mark only); the
others number the class. Never touches a bit outside the mask. Layout: docs/dataplane.md.
"""

from netpolicy.core.pairs import capacity
from netpolicy.dataplane.record import Record

MINIMUM_BITS = 4  # done, and three bits of class: direct, the three reserved ones, four outbounds


class Marks(Record):
    """The bits under one mask, for example 0x77000000."""

    __slots__ = ("mask",)

    def __init__(self, mask: int) -> None:
        if not 0 < mask <= 0xFFFFFFFF or bin(mask).count("1") < MINIMUM_BITS:
            raise ValueError(f"a mark mask needs at least {MINIMUM_BITS} of 32 bits, not {mask:#x}")
        self.mask = mask

    def values(self) -> "tuple[object, ...]":
        return (self.mask,)

    @property
    def done(self) -> int:
        """The bit that says the flow was classified."""
        return 1 << (len(bin(self.mask)) - 3)

    @property
    def class_mask(self) -> int:
        """The bits that number the class."""
        return self.mask & ~self.done

    @property
    def bypass(self) -> int:
        """The class of sockets that must never be steered: all class bits set."""
        return (1 << bin(self.class_mask).count("1")) - 1

    @property
    def reject(self) -> int:
        """The class of refused flows."""
        return self.bypass - 1

    @property
    def drop(self) -> int:
        """The class of silently dropped flows."""
        return self.bypass - 2

    @property
    def capacity(self) -> int:
        """How many outbounds the mask can number: classes 1 to this."""
        return capacity(self.mask)

    def bits(self, number: int) -> int:
        """The class number spread over the class bits, lowest first."""
        result = 0
        mask = self.class_mask
        while mask:
            lowest = mask & -mask
            if number & 1:
                result |= lowest
            number >>= 1
            mask ^= lowest
        if number:
            raise ValueError(f"the mask {self.mask:#x} cannot hold that class")
        return result

    def number(self, mark: int) -> int:
        """The class number in a mark."""
        result = 0
        mask = self.class_mask
        place = 1
        while mask:
            lowest = mask & -mask
            if mark & lowest:
                result |= place
            place <<= 1
            mask ^= lowest
        return result

    def is_done(self, mark: int) -> bool:
        """Whether the flow with this conntrack mark was classified by us."""
        return bool(mark & self.done)
