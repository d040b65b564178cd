"""Read the files of lists, within the budget of this machine, and say what is wrong with them.

Never holds a whole file, never opens what is not a plain file, never gives a part of a list that is too
long: that one is refused, because a block by half a list would look like one. Data: the file, /proc/meminfo.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.list_line import AUTO
from netpolicy.config.list_reading import PIECE, ListReading
from netpolicy.config.machine_memory import memory_of_machine
from netpolicy.config.packed_text import unpacked
from netpolicy.core.address import V4, V6
from netpolicy.core.field_address import Networks
from netpolicy.core.list_budget import KERNEL_BYTES, MIB, RANGE_BYTES, Budget, budget_of
from netpolicy.core.list_content import Gathering, ListContent
from netpolicy.core.model import Rule
from netpolicy.core.named_list import NamedList
from netpolicy.core.range_table import FEW

SHORTER = "use a shorter list, or networks in place of addresses and parent domains in place of names"


class ListFiles:
    """Reads the files of one configuration's lists, and knows what they take together."""

    def __init__(self, findings: Findings, budget: Budget | None = None) -> None:
        self.findings = findings
        self.budget = budget or budget_of(memory_of_machine())
        self._memory = 0
        self._kernel = 0
        self._fields: dict[int, Networks] = {}  # those of rules that were counted; rules share them

    def read(
        self,
        path: str,
        name: str,
        place: Place,
        format: str = AUTO,
        categories: tuple[str, ...] = (),
        largest: int | None = None,
    ) -> ListContent | None:
        """What the file holds; None after an error was reported. Missing, it holds nothing: it may still come.

        `name` is how the configuration writes it, at `place`; `largest`: bytes of it, where that is not the budget's.
        """
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a FIFO would wait for ever
                return self._without(name, place, "not a plain file")
            with Path(path).open("rb") as stream:
                reading = ListReading(self.budget, format, categories, largest)
                before = _version(stream)
                content = reading.content(_pieces(stream))
                is_whole = _version(stream) == before
        except UnicodeDecodeError:
            return self._without(name, place, "not UTF-8 text")
        except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the path
            return self._without(name, place, getattr(problem, "strerror", None) or str(problem))
        if not is_whole:
            hint = "who writes lists makes a new file and renames it; load the configuration again when it is done"
            self.findings.error("NP001", Place(path), "the file was written to while it was read", hint)
            return None
        if content is None:
            place = Place(path, 0 if categories else reading.line)
            self.findings.error("NP004", place, reading.refusal, self._hint())
            return None
        self._report_bad(reading, path)
        return content if self._fits(content, path, reading.line) else None

    def fits(self, rule: Rule, lists: Iterable[NamedList]) -> bool:
        """Count in what the rule puts together of these lists, where there is room for it; False after an error.

        A list alone is kept once, however many rules name it; with other addresses it is another one for each.
        """
        for field in rule.fields:
            if not isinstance(field, Networks) or all(len(ranges) <= FEW for ranges in field.ranges.values()):
                continue
            if id(field) in self._fields or any(_is_all_of(field, one) for one in lists):
                continue
            self._fields[id(field)] = field  # kept, so that no other one gets its number
            for family, ranges in field.ranges.items():
                self._memory += len(ranges) * RANGE_BYTES[family]
                self._kernel += len(ranges) * KERNEL_BYTES[family]
            if self._memory > self.budget.process or self._kernel > self.budget.kernel:
                self._refuse_rule(rule, field.name)
                return False
        return True

    def _refuse_rule(self, rule: Rule, field: str) -> None:
        file, line = rule.place
        text = (
            f"{field} of rule {rule.name!r} makes another list of its own, and with it all lists need "
            f"{_mib(self._memory)} MiB in this process and {_mib(self._kernel)} MiB in the kernel; they may take "
            f"{_mib(self.budget.process)} and {_mib(self.budget.kernel)}"
        )
        hint = "name one list alone in a field: a rule for the list, and another one for the other addresses"
        self.findings.error("NP004", Place(file, line, 1, rule.name), text, hint)

    def _without(self, name: str, place: Place, why: str) -> ListContent:
        self.findings.warning("NP217", place, f"the list has no entries from {name}: {why}")
        return Gathering().finish()

    def _report_bad(self, reading: ListReading, path: str) -> None:
        if reading.bad:
            text = f"{reading.bad} lines are no entries of a list and are left out, this is the first"
            hint = "one address, network, range or domain pattern per line, or say what `format` the file has"
            self.findings.warning("NP217", Place(path, reading.first_bad), text, hint)

    def _fits(self, content: ListContent, path: str, line: int) -> bool:
        """Count it in, where there is still room for it beside the lists before."""
        for used, more, limit, where in (
            (self._memory, content.memory, self.budget.process, "this process"),
            (self._kernel, content.kernel, self.budget.kernel, "the kernel"),
        ):
            if used + more > limit:
                text = (
                    f"{content.count_addresses()} addresses and {content.count_names()} names, when merged, need "
                    f"{_mib(more)} MiB in {where}; all lists may take {_mib(limit)}, those before it take {_mib(used)}"
                )
                self.findings.error("NP004", Place(path, line), text, self._hint())
                return False
        self._memory += content.memory
        self._kernel += content.kernel
        return True

    def _hint(self) -> str:
        return f"{SHORTER}; the limits are those of a machine with {self.budget.machine} of memory"


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    return unpacked(_raw(stream))


def _raw(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


def _version(stream: BinaryIO) -> tuple[int, int]:
    """What another content has another of, mostly."""
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns


def _is_all_of(field: Networks, one: NamedList) -> bool:
    return all(field.ranges[family] is one.ranges[family] for family in (V4, V6))


def _mib(count: int) -> str:
    return f"{count / MIB:.1f}"
