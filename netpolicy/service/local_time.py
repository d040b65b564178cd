"""The router's local time, by which schedules open and close, also after somebody moved it to another time zone.

Never keeps a zone: the C library reads it once, and again only when it is told to look.
"""

from __future__ import annotations

import time


def local_time() -> time.struct_time:
    """Now, by TZ or else the zone's file as it is now."""
    time.tzset()  # where nothing changed it costs a look at the file
    return time.localtime()
