"""Where a value stands in a sorted list: CPython's own bisect, which is written in C, or the same in Python.

MicroPython has no such module. Never changes the list. Used by the compiled index alone.
"""

try:
    from bisect import bisect_left, bisect_right
except ImportError:  # MicroPython

    def bisect_left(values, value, low=0, high=None):  # type: ignore[no-untyped-def,no-redef]
        """How many values are smaller, where it is known to be from `low` to `high`. O(log n)."""
        if high is None:
            high = len(values)
        while low < high:
            middle = (low + high) // 2
            if values[middle] < value:
                low = middle + 1
            else:
                high = middle
        return low

    def bisect_right(values, value, low=0, high=None):  # type: ignore[no-untyped-def,no-redef]
        """How many values are smaller or equal, where it is known to be from `low` to `high`. O(log n)."""
        if high is None:
            high = len(values)
        while low < high:
            middle = (low + high) // 2
            if value < values[middle]:
                high = middle
            else:
                low = middle + 1
        return low


__all__ = ("bisect_left", "bisect_right")
