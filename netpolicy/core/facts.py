"""What is known of one connection, and how such facts are written.

A fact that is None is unknown, which is not the same as empty. Never asks the network: who
watches connections, or a person who asks `decide`, brings them.
"""

from netpolicy.core.address import parse_address
from netpolicy.core.field import FIELD_ORDER
from netpolicy.core.packet import parse_device, parse_dscp, parse_family, parse_mac, parse_port, parse_protocol
from netpolicy.core.share import parse_share
from netpolicy.core.value import ValueProblem


class Facts:
    """What is known of one connection; None is unknown. Addresses are (family, integer)."""

    __slots__ = FIELD_ORDER

    def __init__(self) -> None:
        self.src_iface: str | None = None
        self.src_mac: str | None = None
        self.src_addr: tuple[int, int] | None = None
        self.src_port: int | None = None
        self.dest_addr: tuple[int, int] | None = None
        self.domain: str | None = None
        self.sni: str | None = None
        self.proto: int | None = None
        self.dest_port: int | None = None
        self.family: int | None = None
        self.dscp: int | None = None
        self.latency_ms: float | None = None
        self.rtt_ms: float | None = None
        self.error_rate: float | None = None  # share, 0 to 1
        self.loss: float | None = None  # share, 0 to 1
        self.schedule: tuple[str, ...] | None = None  # the schedules whose window is open

    def completed(self) -> "Facts":
        """Self, with what follows from other facts: the family of an address, the domain from an SNI."""
        if self.family is None:
            address = self.dest_addr or self.src_addr
            if address is not None:
                self.family = address[0]
        if self.domain is None:
            self.domain = self.sni  # the name that the client asked for, whoever told it
        return self


def _parse_milliseconds(text: str) -> float:
    try:
        number = float(text) if all(c in "0123456789." for c in text) else -1.0
    except ValueError:
        raise ValueProblem("{!r} is not a number of milliseconds".format(text))  # noqa: B904 - not in MicroPython
    if not 0 <= number <= 4294967295:
        raise ValueProblem("{!r} is not a number of milliseconds".format(text))
    return number


def _parse_name(text: str) -> str:
    if len(text) > 255:  # RFC 1035, 2.3.4
        raise ValueProblem("a name has at most 255 characters")
    return text


def _parse_share(text: str) -> float:
    share = parse_share(text)
    if share is None:
        raise ValueProblem("{!r} is not a share".format(text), "0 to 1, for example 0.05 or 5%")
    return share


def _parse_schedules(text: str) -> tuple[str, ...]:
    return tuple(sorted([name.strip() for name in text.split(",") if name.strip()]))


FACT_PARSERS = {
    "src_addr": parse_address,
    "dest_addr": parse_address,
    "src_mac": parse_mac,
    "src_iface": parse_device,
    "src_port": parse_port,
    "dest_port": parse_port,
    "proto": parse_protocol,
    "family": parse_family,
    "dscp": parse_dscp,
    "domain": _parse_name,
    "sni": _parse_name,
    "latency_ms": _parse_milliseconds,
    "rtt_ms": _parse_milliseconds,
    "error_rate": _parse_share,
    "loss": _parse_share,
    "schedule": _parse_schedules,
}

# The predecessor's and other tools' names for the same facts.
ALIASES = {
    "protocol": "proto", "port": "dest_port", "src": "src_addr", "dest": "dest_addr", "dst": "dest_addr",
}  # fmt: skip


def parse_facts(texts: dict[str, str]) -> Facts:
    """The facts written as texts by name (aliases accepted). Raises ValueProblem, naming the fact."""
    facts = Facts()
    for key in sorted(texts):
        name = ALIASES.get(key, key)
        if name not in FACT_PARSERS:
            raise ValueProblem("unknown fact {!r}".format(key), "one of {}".format(", ".join(FIELD_ORDER)))
        try:
            setattr(facts, name, FACT_PARSERS[name](texts[key].strip()))
        except ValueProblem as problem:
            raise ValueProblem("{}: {}".format(key, problem.text), problem.hint)  # noqa: B904 - not in MicroPython
    return facts.completed()
