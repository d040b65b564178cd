"""One packet or connection out of one line, and what its fate says of that line.

Sends nothing by itself. A socket here is bound to the line's device and carries its class, so that no rule leads
it elsewhere; what the router itself refuses is told apart from what the line does not answer.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.check_target import Target

Found = TypeVar("Found")

SO_MARK, SO_BINDTODEVICE = 36, 25  # <asm-generic/socket.h>; MIPS has the same numbers for these two

SECONDS = 2.0  # one check, all told
PACE_SECONDS = 0.6  # a datagram that is lost is sent again: three in the time of a check
SENDS_LIMIT = 10  # then it ends, whatever limit is around it
# A timer that goes off so late says that the processor was not ours: what came meanwhile nobody has looked at yet.
STOOD_STILL_SECONDS = 0.05
ANSWER_LIMIT = 4096
HEARD_LIMIT = 1000  # packets; its queue holds fewer

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"

# Why: about the line …
TIMEOUT, REFUSED, UNREACHABLE, WRONG = "timeout", "refused", "unreachable", "wrong"
# … and about this router. Of the last two nothing follows for the line.
NO_WAY, NO_NAME, NO_PRIVILEGE, NO_SUPPORT = "no-way", "no-name", "no-privilege", "no-support"

NO_RESOURCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
NO_FAMILY = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENOPROTOOPT, errno.ESOCKTNOSUPPORT)


@dataclass(frozen=True, slots=True)
class Line:
    """An outbound as a check needs it. Device "" and mark 0: however the router itself would go."""

    outbound: str
    device: str = ""
    mark: int = 0  # the bits of its class
    hops: tuple[Hop, ...] = ()
    targets: tuple[Target, ...] = ()
    name_servers: tuple[str, ...] = ()
    unsendable: tuple[tuple[str, str], ...] = ()  # probes that make no target: their words, and why

    @property
    def families(self) -> tuple[int, ...]:
        """In which it has a way out; both where that is not known."""
        return tuple(hop.family for hop in self.hops) or (4, 6)


@dataclass(frozen=True, slots=True)
class Answer:
    """How one check ended: passed, failed or unknown, why in a word and in words, and after how long."""

    state: str
    reason: str = ""
    text: str = ""
    milliseconds: float = 0.0


class Unsendable(Exception):
    """The question could not leave this router; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


def opened(line: Line, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A non-blocking socket that leaves by the line. Raises Unsendable, and OSError where the kind is not permitted."""
    number = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        made = socket.socket(number, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        if error.errno in NO_FAMILY or error.errno in NO_RESOURCE:
            raise Unsendable(not_sent(error)) from None
        raise
    try:
        if line.device:
            made.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, line.device.encode())
        if line.mark:
            made.setsockopt(socket.SOL_SOCKET, SO_MARK, line.mark)
    except OSError as error:
        made.close()
        raise Unsendable(not_permitted(error) if error.errno == errno.EPERM else not_sent(error)) from None
    if kind == socket.SOCK_RAW:
        _forget(made)
    return made


def _forget(made: socket.socket) -> None:
    """What it heard of other devices before it had its own: their neighbours may have the same address."""
    for _ in range(HEARD_LIMIT):
        try:
            made.recv(ANSWER_LIMIT)
        except OSError:
            return


def end_point(line: Line, address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """The address as sockets want it; a link-local one lies on the line's device. Raises Unsendable."""
    if not address.lower().startswith("fe80:"):
        return (address, port)
    try:
        return (address, port, 0, socket.if_nametoindex(line.device))
    except OSError:
        raise Unsendable(Answer(UNKNOWN, NO_WAY, f"there is no device {line.device}")) from None


def joined(line: Line, made: socket.socket, address: str, port: int = 0) -> bool:
    """Connect at once; False where that is under way. What the router itself refuses raises Unsendable."""
    try:
        made.connect(end_point(line, address, port))
    except BlockingIOError:
        return False
    except OSError as error:
        raise Unsendable(not_sent(error)) from None
    return True


async def exchange(made: socket.socket, packet: bytes, accept: Callable[[bytes], Found | None]) -> Found:
    """Send until something comes back that is accepted; TimeoutError after ten times. Put a limit around it."""
    return await repeated(made, lambda: made.send(packet), accept)


async def repeated(
    made: socket.socket,
    send: Callable[[], object],
    accept: Callable[[bytes], Found | None],
    receive: Callable[[], Awaitable[bytes]] | None = None,
) -> Found:
    """The same with a sender, and perhaps a receiver, of one's own."""
    loop = asyncio.get_running_loop()
    take = receive or (lambda: loop.sock_recv(made, ANSWER_LIMIT))
    for number in range(SENDS_LIMIT):
        try:
            send()
        except BlockingIOError:
            pass
        except OSError as error:
            # From the second on it is what the network said of the packet before.
            raise (error if number else Unsendable(not_sent(error))) from None
        again = loop.time() + PACE_SECONDS
        while (left := again - loop.time()) > 0:
            try:
                data = await _within(take(), left)
            except asyncio.TimeoutError:
                break
            found = accept(data)
            if found is not None:
                return found
    raise asyncio.TimeoutError


async def timed(work: Awaitable[Answer], seconds: float = SECONDS) -> Answer:
    """The answer in bounded time, whatever the network does: `seconds`, and as many where this process stood still."""
    start = time.monotonic()
    try:
        answer = await _within(work, seconds)
    except asyncio.TimeoutError:
        answer = Answer(FAILED, TIMEOUT, f"no answer within {seconds:g} s")
    except Unsendable as unsendable:
        answer = unsendable.answer
    except PermissionError as error:
        answer = not_permitted(error)
    except OSError as error:
        answer = not_answered(error)
    # A check that has the kernel's own stamp knows better: this process may have been late to look.
    taken = answer.milliseconds or round((time.monotonic() - start) * 1000, 1)
    return Answer(answer.state, answer.reason, answer.text, taken)


async def _within(work: Awaitable[Found], seconds: float) -> Found:
    """As asyncio.wait_for, which from Python 3.12 on throws away what came while the loop stood still.

    Before that it may swallow a cancellation (bpo-37658): then a question went on that nobody waited for.
    """
    loop = asyncio.get_running_loop()
    task, due = asyncio.ensure_future(work), loop.time() + seconds
    try:
        await asyncio.wait((task,), timeout=seconds)
        late = loop.time() - due
        if not task.done() and late > STOOD_STILL_SECONDS:
            await asyncio.wait((task,), timeout=min(late, seconds))
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif not task.cancelled():
            task.exception()  # asked for, also where we are cancelled just now: else it is reported as our mistake


def not_sent(error: OSError) -> Answer:
    """For what this router refused to send."""
    if error.errno in NO_RESOURCE or error.errno in NO_FAMILY:
        return Answer(UNKNOWN, NO_SUPPORT, f"this router cannot send it: {error.strerror}")
    return Answer(UNKNOWN, NO_WAY, f"no way to send it: {error.strerror}")


def not_permitted(error: OSError) -> Answer:
    """For what needs more rights than this process has."""
    return Answer(UNKNOWN, NO_PRIVILEGE, f"not permitted to send it: {error.strerror}; run as root")


def not_answered(error: OSError) -> Answer:
    """For what the network said instead of an answer."""
    if error.errno == errno.ECONNREFUSED:
        return Answer(FAILED, REFUSED, "refused")
    if error.errno == errno.ETIMEDOUT:
        return Answer(FAILED, TIMEOUT, "no answer")
    return Answer(FAILED, UNREACHABLE, f"not reached: {error.strerror or error}")
