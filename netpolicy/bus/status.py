"""The ubus status codes, and the one exception this room raises about the bus.

Never knows a socket or a message. The numbers and the words are those of ubus
(`enum ubus_msg_status` in ubusmsg.h, `ubus_strerror`), because scripts compare them.
"""

from __future__ import annotations

OK = 0
INVALID_COMMAND = 1
INVALID_ARGUMENT = 2
METHOD_NOT_FOUND = 3
NOT_FOUND = 4
NO_DATA = 5
PERMISSION_DENIED = 6
TIMEOUT = 7
NOT_SUPPORTED = 8
UNKNOWN_ERROR = 9
CONNECTION_FAILED = 10
NO_MEMORY = 11
PARSE_ERROR = 12
SYSTEM_ERROR = 13

TEXTS = (
    "Success",
    "Invalid command",
    "Invalid argument",
    "Method not found",
    "Not found",
    "No response",
    "Permission denied",
    "Request timed out",
    "Operation not supported",
    "Unknown error",
    "Connection failed",
    "Out of memory",
    "Parsing message data failed",
    "System error",
)


def describe(status: int) -> str:
    """What the `ubus` tool calls this status."""
    return TEXTS[status] if 0 <= status < len(TEXTS) else f"Unknown error: {status}"


class UbusError(Exception):
    """A request that ended with a status other than 0.

    `detail` is what the answering side said beyond the number, or None. A handler of our
    own object raises it to choose the status; its detail then travels in the reply as `error`.
    """

    def __init__(self, status: int, detail: str | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    @property
    def text(self) -> str:
        """One line for a person."""
        return self.detail or describe(self.status)

    def __str__(self) -> str:
        return f"{self.text} (ubus status {self.status})"
