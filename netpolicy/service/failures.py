"""What may go wrong between us and the system, and what of us: in one sentence for a person.

Never decides what becomes of it. From exceptions of nft, netlink and files; anything else is a bug of ours.
"""

from __future__ import annotations

import os

from netpolicy.dataplane.kernel import ApplyError
from netpolicy.dataplane.listing import UnreadableListing
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.state import NetlinkError

# Anything else is a bug and ends in the log with its place.
SYSTEM_ERRORS = (NftError, NetlinkError, UnreadableListing, ApplyError, OSError)


def in_words(error: BaseException) -> str:
    """What the system refused."""
    if isinstance(error, OSError) and error.filename:
        return f"cannot write {error.filename}: {error.strerror}"
    return str(error)


def fault_in_words(fault: BaseException) -> str:
    """A bug of ours, with its place in the source."""
    place = fault.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else ""
    return f"a fault in netpolicy{where}, please report it: {type(fault).__name__}: {fault}"
