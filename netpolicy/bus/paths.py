"""Where the bus listens.

Only looks whether the usual places exist; never connects and never creates anything.
OpenWrt moved the socket in 21.02; NETPOLICY_UBUS_SOCKET overrides both places.
"""

from __future__ import annotations

import os

ENVIRONMENT = "NETPOLICY_UBUS_SOCKET"
CURRENT = "/var/run/ubus/ubus.sock"
OLDER = "/var/run/ubus.sock"


def default_socket() -> str:
    """The socket to use when nobody named one; it need not exist yet."""
    override = os.environ.get(ENVIRONMENT)
    if override:
        return override
    if not os.path.exists(CURRENT) and os.path.exists(OLDER):
        return OLDER
    return CURRENT
