"""What an inspector saw, put together: the name and the quality of each connection, of addresses and of outbounds.

Pure but for the parsers it owns: time comes with what is told. Bounded; payload is parsed and dropped. What is not
known stays unknown with its reason, and nothing here decides anything.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from netpolicy.core.address import V4
from netpolicy.flows import giving_way, losses
from netpolicy.flows.inside import Subnet
from netpolicy.flows.learned import CERTAIN, LIKELY, SEEN_SECONDS, Learned, Named
from netpolicy.flows.model import TCP, UDP, Flow
from netpolicy.flows.quality import Progress, Qualities
from netpolicy.flows.ration import Ration
from netpolicy.flows.reader import Answer, Name, Reader, Result, Unknown
from netpolicy.flows.seen import CLOSED, MAPPED, OPEN, QUIC, RESET, SYN, Measured, Payload, SeenKey
from netpolicy.service.bypasses import Bypasses

LIMIT = 4096
# A connection that is over is still shown as long as conntrack keeps it: two minutes after its last packet.
OVER_SECONDS = 180.0
# QUIC packets that are opened in one second, by a slow cipher and by a fast one: a tenth of a processor. Of a fast one
# half is for one client at most; a slow one is so little that it is for whoever comes.
COSTLY_EACH_SECOND, EACH_SECOND = 20, 2000

# Open connections that hear something, of which is told in a second: two milliseconds of a fast processor.
SAMPLES_EACH_SECOND = 256
# The same of what was lost, of which is told after some packets.
LOSSES_EACH_SECOND = 128

# Why there is no name, beside the words of `flows.names`.
NOT_SEEN, PROXIED, ECH = "not_seen", "proxied", "ech"
DNS_PORT = 53
UNKNOWN_MARK = -1
CLIENT_OF = itemgetter(0)  # of a key


class Seen:
    """What is known of one connection."""

    __slots__ = (
        "answered", "confidence", "failed", "has_fate", "heard", "is_in_vain", "mark", "name", "over", "packets",
        "reason", "repeated", "resets", "retransmits", "rtt_us", "source", "state", "told_losses", "told_packets",
        "told_retransmits", "told_rtt",
    )  # fmt: skip

    def __init__(self, mark: int = UNKNOWN_MARK) -> None:
        self.name = self.source = self.confidence = ""
        self.reason = NOT_SEEN
        self.state = ""
        self.rtt_us = 0
        self.packets = self.retransmits = self.resets = 0
        self.told_packets = self.told_retransmits = 0  # what the qualities know already
        self.told_rtt = self.answered = self.failed = False
        self.heard = self.repeated = 0  # packets of the remote; what the client had repeated when the last one came
        self.is_in_vain = False  # and it repeated more since
        self.told_losses = losses.NOTHING  # what was lost until then was told
        self.has_fate = False  # and so was whether it was answered or cut
        self.mark = mark
        self.over = 0.0


class Feed:
    """One inspector's. `outbound` says where connections with a mark go, "" for nowhere."""

    def __init__(self, outbound: Callable[[int], str], limit: int = LIMIT, cipher: Any = None) -> None:
        self._outbound = outbound
        self._limit = limit
        self._cipher = LazyCipher() if cipher is None else cipher
        self.reader = Reader(self._cipher)
        self.learned = Learned()
        self.remotes: Qualities[bytes] = Qualities()
        self.outbounds: Qualities[str] = Qualities()
        self.seen: dict[SeenKey, Seen] = {}
        self.counters = {"events": 0, "names": 0, "unknown": 0, "answers": 0, "skipped": 0, "faults": 0, "forgotten": 0}
        self.reasons: dict[str, int] = {}
        self._inside: list[tuple[bytes, bytes]] = []  # the networks of clients: first and last address
        self._marks: dict[SeenKey, int] = {}  # of connections that conntrack told and no device showed yet
        self.bypasses = Bypasses()
        self.tell_name: Callable[[str, Iterable[tuple[bytes, float]]], None] | None = None  # who wants to hear of names
        # Who wants to hear how long a handshake took: outbound, client, remote, milliseconds.
        self.tell_round_trip: Callable[[str, str, str, float], None] | None = None
        # Who wants to hear how open connections go on: outbound, client, remote, what was measured, and how often the
        # client repeated itself since something came back; 0: something did. Of what is over, where that was in vain.
        self.tell_course: Callable[[str, str, str, Measured, int], None] | None = None
        # Who wants to hear what was lost: mark, client, remote, what was measured, what of that is new.
        self.tell_losses: Callable[[int, str, str, Measured, losses.News], None] | None = None
        self.by_ports = False  # ports of bridges are watched, which show what never reaches the router
        self._costly = Ration(COSTLY_EACH_SECOND, COSTLY_EACH_SECOND)
        self._ration = Ration(EACH_SECOND, EACH_SECOND // 2)
        self._samples = Ration(SAMPLES_EACH_SECOND, SAMPLES_EACH_SECOND // 8)
        self._losses = Ration(LOSSES_EACH_SECOND, LOSSES_EACH_SECOND // 8)

    def live_in(self, inside: Iterable[Subnet]) -> None:
        """These are the networks of clients."""
        self._inside = [(bytes_of(one.family, one.low), bytes_of(one.family, one.high)) for one in inside]

    # -- from the tiers --------------------------------------------------------------------

    def payload(self, piece: Payload) -> None:
        """The first bytes of a connection, or a message of DNS."""
        self.counters["events"] += 1
        if self.by_ports and self._stays_inside(piece.key):
            return  # conntrack never tells of its end, so it would stay
        if piece.kind == QUIC and not self._may_open(piece):
            self.counters["skipped"] += 1
            return
        try:
            found = self.reader.read(piece)
        except Exception:  # noqa: BLE001 - a stranger's bytes must not cost everybody the tier; nor may an error show them
            self.counters["faults"] += 1
            return
        if found is not None:
            self._take(found, piece.when)
            if self.reader.more:
                for another in self.reader.more:
                    self._take(another, piece.when)
                self.reader.more.clear()

    def measured(self, told: Measured, now: float) -> None:
        """How a connection goes."""
        self.counters["events"] += 1
        if self.by_ports and self._stays_inside(told.key):
            return
        seen = self.seen.get(told.key)
        if seen is None:
            # A short connection may be over before conntrack's own word of its beginning is read here.
            is_known = told.key in self._marks or told.key[4] == TCP
            seen = self._entry(told.key) if not told.final or is_known else Seen()
        seen.state = told.state
        seen.packets = told.up.packets + told.down.packets
        seen.retransmits = told.up.retransmits + told.down.retransmits
        seen.resets = told.up.resets + told.down.resets
        handshake = told.rtt_client_us if told.inbound else told.rtt_remote_us
        seen.rtt_us = told.up.srtt_us or handshake or seen.rtt_us
        if told.final:
            seen.over = now
        self._count(told, seen, handshake, now)
        if told.key[4] == TCP and not told.inbound:
            if self.tell_course is not None:
                self._follow(told, seen, now)
            if seen.packets < seen.told_losses[0]:
                seen.told_losses = losses.NOTHING  # of many connections the kernel forgets some, and counts them anew
            if seen.packets - seen.told_losses[0] >= losses.LEAST_NEWS or told.final:
                self._weigh(told, seen, now)

    def expire(self, now: float) -> None:
        """What waits in vain, or is over. To be called every few seconds."""
        for found in self.reader.expire(now):
            self._take(found, now)
        for key in [key for key, seen in self.seen.items() if seen.over and now - seen.over > OVER_SECONDS]:
            del self.seen[key]

    # -- from conntrack --------------------------------------------------------------------

    def began(self, flow: Flow, now: float = 0.0) -> None:
        """Conntrack has a new connection, or one that is not known here."""
        key = self._key(flow)
        if key is None:
            return
        self.bypasses.began(flow, now)
        seen = self.seen.get(key)
        if seen is not None and not seen.over:
            seen.mark = flow.mark
            return
        self._marks[key] = flow.mark
        if len(self._marks) > self._limit:
            del self._marks[next(iter(self._marks))]

    def is_new(self, flow: Flow) -> bool:
        """Whether it is a client's, and conntrack did not tell of it yet."""
        key = self._key(flow)
        if key is None or key in self._marks:
            return False
        seen = self.seen.get(key)
        return seen is None or seen.mark == UNKNOWN_MARK

    def ended(self, flow: Flow, now: float) -> None:
        """Conntrack forgot a connection. Of one that no device showed it knows whether it was answered."""
        key = self._key(flow)
        if key is None:
            return
        mark = self._marks.pop(key, UNKNOWN_MARK)
        seen = self.seen.pop(key, None)
        if (seen is None or not seen.state) and flow.protocol == TCP and mark != UNKNOWN_MARK:
            self._tell(key, mark, Progress(ended=True, failed=not flow.is_answered), now)

    # -- for doors -------------------------------------------------------------------------

    def of(self, flow: Flow) -> Seen | None:
        """What is known of a connection of conntrack; None where it passes no device that is watched."""
        key = self._key(flow)
        return self.seen.get(key) if key is not None else None

    def name_of(self, flow: Flow, now: float) -> tuple[str, str, str, str]:
        """Name, source, confidence, and why there is none: by its own handshake, else by what its address is."""
        key = self._key(flow)
        if key is None:
            return "", "", "", NOT_SEEN
        seen = self.seen.get(key)
        if seen is not None and seen.name:
            return seen.name, seen.source, seen.confidence, ""
        reason = seen.reason if seen is not None else NOT_SEEN
        if reason in (ECH, PROXIED):  # what the address is known for is another name, or nobody's
            return "", "", "", reason
        found = self.learned.look_up(key[0], key[1], now)
        if isinstance(found, Named):
            return found.name, found.source, found.confidence, ""
        return "", "", "", reason

    # -- inside ----------------------------------------------------------------------------

    def _take(self, found: Result, now: float) -> None:
        if isinstance(found, Answer):
            self.counters["answers"] += 1
            if found.asked:  # what nobody asked for is no proof
                both = (*found.addresses, *found.hints)
                self.learned.note_answer(found.key[0], found.name, both, now, found.public_names)
                if self.tell_name is not None:
                    self.tell_name(found.name, both)
        elif isinstance(found, Name):
            self._named(found, now)
        elif found.source != "dns":
            self._unknown(found)

    def _named(self, found: Name, now: float) -> None:
        if not found.of_remote:
            self._unknown(Unknown(found.key, found.source, PROXIED))
            return
        client, remote = found.key[0], found.key[1]
        may_hide = found.ech or not found.whole  # what did not come may say that it is encrypted
        if may_hide and self.learned.hides_another(client, remote, found.name, now):
            self._unknown(Unknown(found.key, found.source, ECH))
            return
        seen = self._entry(found.key)
        seen.name, seen.source, seen.reason = found.name, found.source, ""
        seen.confidence = LIKELY if may_hide else CERTAIN  # most hellos with that extension hide nothing
        self.counters["names"] += 1
        self.learned.note_hello(client, remote, found.name, found.source, now)
        self.bypasses.named(text_of(client), found.name, now)
        if self.tell_name is not None:
            self.tell_name(found.name, ((remote, SEEN_SECONDS),))

    def _unknown(self, found: Unknown) -> None:
        seen = self._entry(found.key)
        if not seen.name:
            seen.reason, seen.source = found.reason, found.source
        self.counters["unknown"] += 1
        self.reasons[found.reason] = self.reasons.get(found.reason, 0) + 1

    def _count(self, told: Measured, seen: Seen, handshake: int, now: float) -> None:
        is_tcp = told.key[4] == TCP
        answered = is_tcp and not told.mid and (told.state in (OPEN, CLOSED, RESET) or told.final)
        failed = is_tcp and not told.mid and (
            (told.state == SYN and told.final) or (told.state == RESET and told.down.resets > 0)
        )  # fmt: skip
        new = Progress(
            max(seen.packets - seen.told_packets, 0),
            max(seen.retransmits - seen.told_retransmits, 0),
            handshake if not seen.told_rtt else 0,
            answered and not seen.answered,
            failed and not seen.failed,
            failed and not seen.failed and told.was_cut,
        )
        seen.told_packets, seen.told_retransmits = seen.packets, seen.retransmits
        seen.told_rtt = seen.told_rtt or bool(handshake)
        seen.answered, seen.failed = seen.answered or answered, seen.failed or failed
        if any(new):
            self._tell(told.key, seen.mark, new, now, told.inbound)

    def _follow(self, told: Measured, seen: Seen, now: float) -> None:
        was_in_vain = seen.is_in_vain
        if told.final and told.state != RESET and not was_in_vain:
            return  # of the many that end in good order the handshake said it already
        heard = told.down.packets - told.down.retransmits  # one that repeats itself does not hear us
        is_heard = heard > seen.heard
        if is_heard:
            seen.heard, seen.repeated = heard, told.up.retransmits
        count = told.up.retransmits - seen.repeated
        if not seen.heard or seen.mark == UNKNOWN_MARK:
            return  # who never answered need not be there
        seen.is_in_vain = count > 0
        # That something is heard, of thousands a sample says too.
        is_news = told.was_cut if told.final else is_heard and self._samples.is_granted(told.key[0], now)
        outbound = self._outbound(seen.mark) if was_in_vain or count > 0 or is_news else ""
        if outbound and self.tell_course is not None:
            self.tell_course(outbound, text_of(told.key[0]), text_of(told.key[1]), told, count)

    def _weigh(self, told: Measured, seen: Seen, now: float) -> None:
        """Tells what was lost since that was told last; once, whether it was answered or cut."""
        if self.tell_losses is None or seen.mark == UNKNOWN_MARK:
            return
        if not self._losses.is_granted(told.mac or told.key[0], now):  # whoever has many addresses is one
            return
        fate = "" if seen.has_fate else losses.fate(told)
        before, seen.told_losses = seen.told_losses, losses.told_of(told)
        seen.has_fate = seen.has_fate or bool(fate)
        new = losses.news(before, seen.told_losses, fate)
        if any(new):
            self.tell_losses(seen.mark, text_of(told.key[0]), text_of(told.key[1]), told, new)

    def _tell(self, key: SeenKey, mark: int, new: Progress, now: float, inbound: bool = False) -> None:
        self.remotes.note(key[1], new, now)
        outbound = self._outbound(mark) if mark != UNKNOWN_MARK else ""
        if outbound:
            self.outbounds.note(outbound, new, now)
            # Of one that came in, the handshake's time is the client's own.
            if new.rtt_us and not inbound and self.tell_round_trip is not None:
                self.tell_round_trip(outbound, text_of(key[0]), text_of(key[1]), new.rtt_us / 1000)

    def _entry(self, key: SeenKey) -> Seen:
        seen = self.seen.get(key)
        if seen is None or seen.over:
            self.seen.pop(key, None)
            seen = self.seen[key] = Seen(self._marks.pop(key, UNKNOWN_MARK))
            if len(self.seen) > self._limit:
                self._make_room(key)
        return seen

    def _make_room(self, newest: SeenKey) -> None:
        """Of one client's what is over goes first: who has a connection open for hours is in here longest."""
        whose = giving_way.crowd(map(CLIENT_OF, self.seen))
        theirs = [(key, seen) for key, seen in self.seen.items() if whose is None or key[0] == whose]
        over = (key for key, seen in theirs if seen.over)
        still_open = (key for key, seen in theirs if not seen.over)
        for key in [*islice(chain(over, still_open), giving_way.number(self._limit))]:
            if key != newest:
                del self.seen[key]
                self.counters["forgotten"] += 1

    def _key(self, flow: Flow) -> SeenKey | None:
        """The key under which a device of clients shows it; None for what no client has to do with."""
        if flow.protocol not in (TCP, UDP):
            return None
        source, remote = packed(flow.source), packed(flow.destination)
        if self._is_inside(source):
            return source, remote, flow.source_port, flow.destination_port, flow.protocol
        answering = packed(flow.reply_source)  # the remote opened it: who answers is the client
        if self._is_inside(answering):
            return answering, source, flow.reply_source_port, flow.source_port, flow.protocol
        return None

    def _is_inside(self, address: bytes) -> bool:
        for low, high in self._inside:  # noqa: SIM110 - each new connection asks, and a generator takes longer
            if low <= address <= high:
                return True
        return False

    def _stays_inside(self, key: SeenKey) -> bool:
        """From one port of a bridge to another: the router has nothing to do with it. DNS may be its own."""
        client, remote = key[0], key[1]
        is_near = any(low <= client <= high and low <= remote <= high for low, high in self._inside)
        return is_near and key[3] != DNS_PORT

    def _may_open(self, piece: Payload) -> bool:
        ration = self._costly if self._cipher.is_costly else self._ration
        return ration.is_granted(piece.key[0], piece.when)


class LazyCipher:
    """The cipher for QUIC, chosen when the first packet comes: a library of four megabytes waits until then.

    The kernel's own costs no memory, so it is asked first here.
    """

    ORDER = ("kernel", "libcrypto", "own")

    def __init__(self) -> None:
        self._chosen: Any = None

    def _cipher(self) -> Any:
        if self._chosen is None:
            from netpolicy.flows.quic_crypto import choose

            self._chosen, _ = choose(self.ORDER)
        return self._chosen

    @property
    def name(self) -> str:
        """Whose it is; "" before the first packet."""
        return self._chosen.name if self._chosen is not None else ""

    @property
    def is_costly(self) -> bool:
        """Whether packets are to be rationed."""
        return bool(self._cipher().is_costly)

    def block(self, key: bytes, data: bytes) -> bytes:
        """One block, encrypted."""
        return bytes(self._cipher().block(key, data))

    def open(self, key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
        """What was sealed, or None."""
        opened: bytes | None = self._cipher().open(key, nonce, header, sealed)
        return opened


def packed(text: str) -> bytes:
    """An address as keys have it."""
    return socket.inet_pton(socket.AF_INET6, text) if ":" in text else MAPPED + socket.inet_aton(text)


def text_of(address: bytes) -> str:
    """The counterpart of `packed`."""
    if address.startswith(MAPPED):
        return socket.inet_ntoa(address[12:])
    return socket.inet_ntop(socket.AF_INET6, address)


def bytes_of(family: int, number: int) -> bytes:
    """The same of an address that is a number."""
    return MAPPED + number.to_bytes(4, "big") if family == V4 else number.to_bytes(16, "big")
