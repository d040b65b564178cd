"""Whether a TCP connection out of a line is taken.

Sends no byte in it; the connection is closed at once. Connections for HTTP begin here too.
"""

from __future__ import annotations

import asyncio
import os
import socket

from netpolicy.outbounds.check_line import PASSED, Answer, Line, joined, opened


async def tcp(line: Line, address: str, port: int) -> Answer:
    """Passed when the connection is taken. Waits as long as the kernel tries: put a limit around it."""
    with await connected(line, address, port):
        pass
    return Answer(PASSED, text=f"{address} takes connections on port {port}")


async def connected(line: Line, address: str, port: int) -> socket.socket:
    """An open connection by the line. OSError: what the network said; Unsendable: what this router said."""
    made = opened(line, 6 if ":" in address else 4, socket.SOCK_STREAM)
    try:
        if not joined(line, made, address, port):
            await _completed(made)
    except BaseException:
        made.close()
        raise
    return made


async def _completed(made: socket.socket) -> None:
    """Until the connection that is under way is there; OSError where it is not to be."""
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(made, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(made)
    code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
