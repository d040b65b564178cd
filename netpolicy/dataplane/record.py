"""What a value is in this room where it has to run on MicroPython too: a frozen record without dataclasses.

Equality, hash and text follow the slots, in the order in which the constructor takes them. Nobody
assigns to a record after it was made. Never sorts its slots: the order is that of the arguments.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Made = TypeVar("Made", bound="Record")


class Record:
    """Two of one class are equal when their values are. A subclass names its slots and gives its values."""

    __slots__: "tuple[str, ...]" = ()

    def values(self) -> "tuple[object, ...]":
        """The values of the slots, in their order. Written out in each class: sets of records live by it."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(self.values())

    def __repr__(self) -> str:
        parts = [f"{name}={value!r}" for name, value in zip(self.__slots__, self.values())]  # noqa: B905
        return f"{type(self).__name__}({', '.join(parts)})"


def replace(record: "Made", **changes: "Any") -> "Made":
    """A copy with some values changed."""
    values = dict(zip(record.__slots__, record.values()))  # noqa: B905 - MicroPython's zip knows no strict
    values.update(changes)
    return type(record)(**values)
