"""By which login this command was started: the words of the SSH server, also where sudo or su took them away.

Believes nothing and proves nothing, netpolicyd judges. From the environment of this process and of those above it.
"""

from __future__ import annotations

import os

SSH_WORDS = "SSH_CONNECTION"  # "client port server port", set by sshd and dropbear
LONGEST = 200

# Between this command and the SSH server; a longer chain is no login.
MOST_ABOVE = 32
ENVIRONMENT_LIMIT = 256 << 10


def ssh_words() -> str:
    """What the SSH server said of the connection; "" where no server did, as at the console."""
    return (os.environ.get(SSH_WORDS) or _from_above())[:LONGEST]


def told() -> str | None:
    """What is worth writing down about who sits here, None where nothing is; said, not proved."""
    peer = ssh_words().split(" ")[0]
    parts = [
        f"{os.environ['SUDO_USER']} by sudo" if os.environ.get("SUDO_USER") else "",
        f"from {peer}" if peer else "",
    ]
    return " ".join([part for part in parts if part])[:LONGEST] or None


def _from_above() -> str:
    """sudo and su clean the environment of what they start, but they themselves were started with it."""
    process = os.getppid()
    for _ in range(MOST_ABOVE):
        if process <= 1:
            break
        found = _in_environment(process)
        if found:
            return found
        process = _parent(process)
    return ""


def _in_environment(process: int) -> str:
    wanted = f"{SSH_WORDS}=".encode()
    for variable in _content(f"/proc/{process}/environ").split(b"\0"):
        if variable.startswith(wanted):
            return variable[len(wanted) :].decode("ascii", "replace")
    return ""


def _parent(process: int) -> int:
    # The name in the second field may hold blanks and brackets.
    fields = _content(f"/proc/{process}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(ENVIRONMENT_LIMIT)
    except OSError:  # it ended, or is somebody else's
        return b""
