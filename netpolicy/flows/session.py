"""Which connection a person's command line came by: what SSH servers say in $SSH_CONNECTION, or who holds its socket.

Reads words of the user's environment, so believes nothing: what is found here is a claim, and `evidence` judges it.
Format: sshd(8), "client port server port"; dropbear writes the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from netpolicy.core.address import V6, parse_address
from netpolicy.core.value import ValueProblem
from netpolicy.flows import listening
from netpolicy.flows.lookup import Ends
from netpolicy.flows.sockets import TcpSocket, canonical

# Two addresses of 45 characters with a zone each, two ports, and what separates them.
TEXT_LIMIT = 140
ZONE_LIMIT = 15  # a device name
LINK_LOCAL = 0xFE80 >> 6

# Processes between a shell and its SSH server; a chain that is longer is a loop or a joke.
ANCESTOR_LIMIT = 64

HINT = "pass the value of SSH_CONNECTION, for example '192.168.1.5 40000 192.168.1.1 22'"


def parse_ssh_connection(text: str) -> Ends:
    """The ends that the words name: client, its port, server, its port. Raises ValueProblem.

    IPv4 mapped into IPv6 is told as IPv4. A zone (`fe80::1%br-lan`) is checked and left out, because the
    kernel's tables of sockets and connections have none.
    """
    words = text.split(" ") if len(text) <= TEXT_LIMIT and text.isascii() else []
    if len(words) != 4:
        raise ValueProblem(f"{text[:TEXT_LIMIT]!r} is not the end points of an SSH connection", HINT)
    client, server = _address(words[0]), _address(words[2])
    if (":" in client) != (":" in server):
        raise ValueProblem(f"{text!r} mixes IPv4 and IPv6", HINT)
    return client, _port(words[1]), server, _port(words[3])


def socket_of_ancestor(process: int, sockets: Mapping[int, TcpSocket]) -> TcpSocket | None:
    """The first of these sockets (by inode) that the process or one of its ancestors holds.

    Finds the connection also where $SSH_CONNECTION did not survive sudo or su. None for a shell inside
    tmux or screen, whose ancestor is not the SSH server.
    """
    for _ in range(ANCESTOR_LIMIT):
        if process <= 1:
            return None
        for inode in listening.held_by(process):
            if inode in sockets:
                return sockets[inode]
        process = _parent(process)
    return None


def _address(word: str) -> str:
    text, separator, zone = word.partition("%")
    family, number = parse_address(text)
    if separator and (family != V6 or number >> 118 != LINK_LOCAL or not _is_zone(zone)):
        raise ValueProblem(f"the zone in {word!r} makes no sense", HINT)
    return canonical(family, number)


def _is_zone(zone: str) -> bool:
    return 0 < len(zone) <= ZONE_LIMIT and all(c.isalnum() or c in "_.-@" for c in zone)


def _port(word: str) -> int:
    number = int(word) if word.isdigit() and len(word) <= 5 and word[0] != "0" else 0
    if not 0 < number < 65536:
        raise ValueProblem(f"{word!r} is not a port", HINT)
    return number


def _parent(process: int) -> int:
    """0 where the process is gone. Field 4 of /proc/PID/stat; the name before it may hold anything, also ")"."""
    try:
        with open(f"{listening.PROC}/{process}/stat", encoding="utf-8", errors="replace") as text:
            words = text.read(1000).rpartition(")")[2].split()
    except OSError:
        return 0
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
