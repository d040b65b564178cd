"""Changes nf_tables elements without a process: atomic batches, dumps, single questions.

Never touches rules, chains or another table than the one it was opened for; never leaves half a batch behind.
Messages: `nft_messages`; how nfnetlink treats a batch: net/netfilter/nfnetlink.c, nfnetlink_rcv_batch.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TypeVar

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import nft_messages as messages
from netpolicy.dataplane.netlink_socket import (
    CAP_ACK,
    DUMP_TRIES,
    EXT_ACK,
    NETFILTER,
    READ_SIZE,
    SOL_NETLINK,
    KernelSocket,
    open_socket,
    set_receive_buffer,
)
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.nft_element import LIST_ELEM, Element, Malformed, decode
from netpolicy.dataplane.nft_messages import AddElements, Change, Command, SetShape
from netpolicy.dataplane.state import NetlinkError

SO_SNDBUFFORCE = 32  # ignores net.core.wmem_max, needs CAP_NET_ADMIN
# The kernel copies a batch whole; a set of 100 000 elements with everything is half of this.
LONGEST_BATCH = 32 << 20
# An interval map is copied once per transaction, so larger steps load faster: 100 000 networks take 0.9 s and no
# memory to speak of in these, 0.7 s and 30 MB at once. A step takes about 20 ms.
LOAD_STEP = 2000
# Refusals that fit: each takes about a kilobyte of the queue, and the first one is what counts.
RECEIVE_BUFFER = 4 << 20

ATTRIBUTE_OFFSET = 2  # NLMSGERR_ATTR_OFFS

# How often a dump is made again because the rule set changed: mostly in tables of others, all the time where a
# name server fills sets. Then what was read counts; somebody else's hand in our own table is heard of anyway.
STILL_TRIES = 4

# What a batch gets that the send buffer does not hold, which only root may enlarge.
TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)

REASONS = {
    errno.EPERM: "not permitted; run as root or with CAP_NET_ADMIN",
    errno.ENOENT: "there is no such table, set, element or chain",
    errno.EEXIST: "it is there already with another value, or overlaps an element that is there",
    errno.EBUSY: "it is in use",
    errno.ENFILE: "the set is full; declare it with a larger size",
    errno.EINVAL: "it does not fit the set's type, or its range is upside down",
    errno.EOPNOTSUPP: "this kernel, or this kind of set, does not support it",
    errno.ERESTART: "the ruleset was changed by another program meanwhile; read again and repeat",
    errno.ENOMEM: "the kernel has no memory left for it",
    errno.ENOBUFS: "the kernel has no memory left for it",
    errno.EMSGSIZE: "the batch is larger than the kernel takes; split it",
}

Read = TypeVar("Read")


class NftRefused(NftError):
    """The kernel said no, and nothing was changed. `change` and `element` are what it refused, where it told."""

    def __init__(self, text: str, code: int, change: Change | None = None, element: Element | None = None) -> None:
        super().__init__(text)
        self.errno = code
        self.change = change
        self.element = element


class RulesetChanged(NftRefused):
    """Somebody changed the ruleset between the generation we knew and our batch."""


class NftLink:
    """One table of family inet, in the network namespace where this was opened. Not for several threads at once.

    All calls block. In a hash set an element costs some microseconds. An interval concatenation (pipapo) is copied
    once per transaction, and each element is **deleted by a walk from the oldest one**: with 10 000 elements an
    addition takes about 1 ms, a deletion up to 70 ms, and a hundred of them a hundred times that; then a new map,
    loaded beside it, is cheaper. A range costs as many entries as it has aligned prefixes. Raises NftError.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        self._sequence = 0
        self._send_buffer = 0
        try:
            self._socket = open_socket(NETFILTER, socket.SOCK_NONBLOCK)
        except OSError as error:
            raise NftError(f"cannot open a netlink socket for nftables: {error.strerror}") from None
        set_receive_buffer(self._socket, RECEIVE_BUFFER)
        for option in (CAP_ACK, EXT_ACK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._reader: KernelSocket | None = None

    def close(self) -> None:
        """Give the sockets back; may be repeated."""
        self._socket.close()
        self._drop_reader()

    def __enter__(self) -> NftLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def commit(self, changes: Iterable[Change], generation: int | None = None) -> None:
        """Does all changes in their order, or none. Raises NftRefused; RulesetChanged where `generation` is over."""
        try:
            commands = [command for change in changes for command in change.commands(self.table)]
        except ValueError as error:
            raise NftError(f"nftables batch for {self.table}: {error}; nothing was changed") from None
        if not commands:
            return
        first = self._sequence + 1
        self._sequence = (first + len(commands) + 1) % 0x7FFFFFFF
        self._send(messages.batch(commands, first, generation))
        refusal = self._verdict(first, first + len(commands))
        if refusal is not None:
            raise self._refused(refusal, commands, refusal.sequence - first - 1)

    def load(self, set_name: str, elements: Iterable[Element], step: int = LOAD_STEP) -> int:
        """Adds elements in several transactions, for a set that no rule refers to yet; how many there were.

        Memory is bounded by `step`. Where one step is refused, the earlier ones stay: delete the set then.
        """
        return sum(self.load_steps(set_name, elements, step))

    def load_steps(self, set_name: str, elements: Iterable[Element], step: int = LOAD_STEP) -> Iterator[int]:
        """The same, giving control back after every transaction, with the number of its elements."""
        rest: Iterator[Element] = iter(elements)
        while chunk := list(islice(rest, step)):
            try:
                self.commit([AddElements(set_name, chunk)])
            except NftRefused as error:
                if error.errno not in TOO_LARGE or len(chunk) == 1:
                    raise
                step = max(1, len(chunk) // 4)
                rest = chain(chunk, rest)
                continue
            yield len(chunk)

    def generation(self) -> int:
        """The number of the ruleset, which every transaction of any program counts up."""
        return self._ask("read the generation", messages.GET_GENERATION, messages.HEADER, messages.generation)

    def elements(self, set_name: str) -> list[Element]:
        """All elements of one moment, in the kernel's order."""
        body = messages.ask_elements(self.table, set_name)
        for _ in range(DUMP_TRIES):
            found = self._dump(f"list elements of {set_name}", messages.GET_ELEMENTS, body, messages.elements)
            # A growing hash table is rearranged in the background: then some come twice, and as many not at all.
            if len({(element.key, element.key_end, element.closes) for element in found}) == len(found):
                return found
        raise NftError(f"list elements of {set_name} in table {self.table}: the kernel tells some twice; try again")

    def folded(self, set_name: str, fold: Callable[[Iterator[Element]], Read], tries: int = STILL_TRIES) -> Read:
        """What `fold` makes of all elements of one moment, one after the other: for lists too long to be kept."""
        body = messages.ask_elements(self.table, set_name)
        what = f"read elements of {set_name}"
        while True:
            before, made = self.generation(), fold(self._streamed(what, body))
            tries -= 1
            if not tries or self.generation() == before:
                return made

    def _streamed(self, what: str, body: bytes) -> Iterator[Element]:
        ended = False
        try:
            for answers, _ in self._open_reader().dump_batches(what, messages.GET_ELEMENTS, body):
                yield from messages.elements(answers)
            ended = True
        except Malformed as error:
            raise self._unreadable(what, error) from None
        except NetlinkError as error:
            raise self._reading_failed(what, error) from None
        finally:
            if not ended:  # the reader still has the rest of the answer
                self._drop_reader()

    def element(self, set_name: str, key: bytes, key_end: bytes | None = None) -> Element | None:
        """The element that a packet with this key would meet, None where there is none."""
        body = messages.ask_element(self.table, set_name, Element(key, key_end))
        return self._find(f"look up an element of {set_name}", messages.GET_ELEMENTS, body, messages.elements)

    def sets(self) -> dict[str, SetShape]:
        """The table's sets and maps by name; empty without the table."""
        body = messages.ask_sets(self.table)
        try:
            return dict(self._dump("list sets", messages.GET_SET, body, lambda found: messages.sets(found, self.table)))
        except NftRefused as error:
            if error.errno == errno.ENOENT:
                return {}
            raise

    def chains(self) -> list[str]:
        """The table's chains; empty without the table."""
        body = messages.ask_chains()
        return self._dump("list chains", messages.GET_CHAIN, body, lambda found: messages.chains(found, self.table))

    def _send(self, datagram: bytes) -> None:
        if len(datagram) > LONGEST_BATCH:
            raise NftError(f"a batch of {len(datagram) >> 20} MiB for nftables; split it, {LONGEST_BATCH >> 20} fit")
        try:
            self._make_room(len(datagram))
            self._socket.sendto(datagram, (0, 0))
        except OSError as error:
            code = error.errno or errno.EIO
            raise NftRefused(f"nftables batch for {self.table}: {_reason(code)}; nothing was changed", code) from None

    def _make_room(self, size: int) -> None:
        """A datagram must fit the send buffer whole; the kernel counts its own headers too."""
        wanted = size + 65536
        if wanted > self._send_buffer:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, wanted)
            except OSError:  # root of a user namespace only: the system's limit stands
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wanted)
            self._send_buffer = wanted

    def _verdict(self, first: int, last: int) -> wire.Message | None:
        """What the kernel said to the batch: None for done, else the first refusal.

        The kernel works a batch off before the send returns, so all answers are queued; errors may come for several
        commands and for the batch as a whole, and the acknowledgement of the last command is there in any case.
        """
        refusal: wire.Message | None = None
        done = False
        for answer in self._queued():
            if answer.kind != wire.ERROR or not first <= answer.sequence <= last:
                continue
            if wire.outcome(answer)[0]:
                refusal = refusal or answer
            elif answer.sequence == last:
                done = True
        if refusal is None and not done:
            raise NftError(f"nftables batch for {self.table}: the kernel's answer was lost; read back what is loaded")
        return refusal

    def _queued(self) -> Iterator[wire.Message]:
        """The answers that are there, of the kernel alone. So many refusals that some were dropped are no fault."""
        while True:
            try:
                data, sender = self._socket.recvfrom(READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                return
            if sender[0] == 0:
                yield from wire.messages(data)

    def _refused(self, answer: wire.Message, commands: Sequence[Command], index: int) -> NftRefused:
        """The refusal in words: which change, which element of it, and why."""
        code, words = wire.outcome(answer)
        command = commands[index] if 0 <= index < len(commands) else None
        what = command.change.what if command else "nftables batch"
        element = _element_at(command, answer) if command else None
        named = f" (element {_shown(element)})" if element is not None else ""
        said = f" (kernel: {words})" if words else ""
        text = f"{what}{named} in table {self.table}: {_reason(code)}{said}; nothing was changed"
        kind = RulesetChanged if code == errno.ERESTART else NftRefused
        return kind(text, code, command.change if command else None, element)

    def _ask(self, what: str, kind: int, body: bytes, read: Callable[[list[wire.Message]], Read]) -> Read:
        try:
            return read(self._open_reader().request(what, kind, 0, body))
        except Malformed as error:
            raise self._unreadable(what, error) from None
        except NetlinkError as error:
            self._drop_reader()
            raise self._reading_failed(what, error) from None

    def _find(
        self, what: str, kind: int, body: bytes, read: Callable[[list[wire.Message]], Iterator[Read]]
    ) -> Read | None:
        try:
            return self._ask(what, kind, body, lambda answers: next(read(answers), None))
        except NftRefused as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def _dump(
        self, what: str, kind: int, body: bytes, read: Callable[[list[wire.Message]], Iterator[Read]]
    ) -> list[Read]:
        """Datagram by datagram, so that only the values are kept; again where the ruleset changed meanwhile.

        The kernel says "interrupted" in dumps of names; in one of elements it says nothing.
        """
        for attempt in range(DUMP_TRIES):
            before = self.generation()
            found = self._read_through(what, kind, body, read)
            if found is not None and (attempt + 1 >= STILL_TRIES or self.generation() == before):
                return found
        raise NftError(f"{what} in table {self.table}: the ruleset changed during every attempt; try again later")

    def _read_through(
        self, what: str, kind: int, body: bytes, read: Callable[[list[wire.Message]], Iterator[Read]]
    ) -> list[Read] | None:
        """One dump, None where the kernel called it interrupted."""
        found: list[Read] = []
        interrupted = 0
        try:
            for answers, flags in self._open_reader().dump_batches(what, kind, body):
                interrupted |= flags & wire.F_DUMP_INTR
                found += read(answers)
        except Malformed as error:
            self._drop_reader()  # it still has the rest of the answer
            raise self._unreadable(what, error) from None
        except NetlinkError as error:
            self._drop_reader()
            raise self._reading_failed(what, error) from None
        return None if interrupted else found

    def _open_reader(self) -> KernelSocket:
        if self._reader is None:
            self._reader = KernelSocket(NETFILTER)
        return self._reader

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _unreadable(self, what: str, error: Malformed) -> NftError:
        return NftError(f"{what} in table {self.table}: cannot read the kernel's answer: {error}")

    def _reading_failed(self, what: str, error: NetlinkError) -> NftRefused:
        code = error.errno or errno.EIO
        return NftRefused(f"{what} in table {self.table}: {_reason(code)}", code)


def _reason(code: int) -> str:
    return REASONS.get(code) or os.strerror(code)


def _element_at(command: Command, answer: wire.Message) -> Element | None:
    """The element that the kernel points at, None where it points elsewhere or nowhere."""
    place = wire.attributes(answer.payload, 4 + wire.HEADER.size).get(ATTRIBUTE_OFFSET)
    offset = wire.number(place) - wire.HEADER.size
    if not isinstance(command.change, (AddElements, messages.DeleteElements)) or offset < 4:
        return None
    if offset + 4 > len(command.payload):
        return None
    length, kind = wire.ATTRIBUTE.unpack_from(command.payload, offset)
    if kind & wire.TYPE_MASK != LIST_ELEM:
        return None
    try:
        return decode(command.payload[offset + 4 : offset + length])
    except Malformed:
        return None


def _shown(element: Element) -> str:
    end = f" - {element.key_end.hex()}" if element.key_end else ""
    return (element.key.hex() or "*") + end
