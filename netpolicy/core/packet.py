"""What stands in packet headers, as people write it: protocols, ports, MAC addresses, devices, DSCP.

Texts in, numbers or canonical texts out. Never knows which field of a rule a value belongs to.
Numbers and names: the IANA registries; limits of device names: the kernel's dev_valid_name.
"""

from netpolicy.core.value import ValueProblem

# IANA protocol numbers under the names that /etc/protocols and nft use.
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "icmpv6": 58, "ospf": 89, "ipip": 4, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
}  # fmt: skip
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

# The protocols whose headers begin with source and destination port.
PORT_PROTOCOLS = (6, 17, 33, 132, 136)

# Code point: class name (IANA "Differentiated Services Field Codepoints").
DSCP_NAMES = {
    0: "cs0", 1: "le", 8: "cs1", 16: "cs2", 24: "cs3", 32: "cs4", 40: "cs5", 48: "cs6", 56: "cs7",
    10: "af11", 12: "af12", 14: "af13", 18: "af21", 20: "af22", 22: "af23", 26: "af31", 28: "af32", 30: "af33",
    34: "af41", 36: "af42", 38: "af43", 44: "va", 46: "ef",
}  # fmt: skip
DSCP_CLASSES = {name: number for number, name in DSCP_NAMES.items()}
DSCP_CLASSES.update({"be": 0, "df": 0})  # best effort, default forwarding: other names of cs0


PORTS_HINT = "0 to 65535, as in 443, 80,443 or 1000-2000, without blanks"


def split_sign(text: str) -> tuple[bool, str]:
    """(is_negated, rest) of a value that may begin with "!"."""
    text = text.strip()
    if text.startswith("!"):
        return True, text[1:].strip()
    return False, text


def is_number(text: str) -> bool:
    """Whether the text is one to ten ASCII digits."""
    return 0 < len(text) <= 10 and all("0" <= c <= "9" for c in text)


def parse_port(text: str) -> int:
    """A port number 0-65535; the predecessor's leading + and zeros are tolerated. Raises ValueProblem."""
    digits = text[1:] if text.startswith("+") else text
    if not is_number(digits) or int(digits) > 65535:
        raise ValueProblem("invalid port value: {}".format(text), PORTS_HINT)
    return int(digits)


def parse_port_range(text: str) -> tuple[int, int]:
    """First and last port of `1000-2000`. Raises ValueProblem."""
    first, last = (part.strip() for part in text.split("-", 1))
    try:
        low = parse_port(first)
    except ValueProblem:
        raise ValueProblem("invalid port range start: {}".format(first), PORTS_HINT)  # noqa: B904 - not in MicroPython
    try:
        high = parse_port(last)
    except ValueProblem:
        raise ValueProblem("invalid port range end: {}".format(last), PORTS_HINT)  # noqa: B904 - not in MicroPython
    if low > high:
        raise ValueProblem("invalid port range (start > end): {}".format(text), "write the smaller number first")
    return low, high


def parse_protocol(text: str) -> int:
    """The protocol number of a name or a number 0-255. Raises ValueProblem."""
    name = text.strip().lower()
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if is_number(name) and int(name) < 256:
        return int(name)
    raise ValueProblem(
        "unknown protocol {!r}".format(text), "one of {} or a number".format(", ".join(sorted(PROTOCOLS)))
    )


def parse_mac(text: str) -> str:
    """A MAC address in lower case with colons. Raises ValueProblem."""
    parts = text.lower().replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(p) == 2 and all(c in "0123456789abcdef" for c in p) for p in parts):
        raise ValueProblem("invalid MAC address {!r}".format(text), "six pairs of hex digits: 02:00:00:00:00:0a")
    return ":".join(parts)


def parse_device(text: str) -> str:
    """A netifd interface or device name. Raises ValueProblem."""
    # IFNAMSIZ allows 15 bytes; the kernel refuses "/", blanks and ":" in device names (dev_valid_name).
    if not 0 < len(text) <= 15 or text in (".", "..") or any(not _device_character(c) for c in text):
        raise ValueProblem("invalid interface name {!r}".format(text), "1 to 15 letters, digits, . _ - @")
    return text


def _device_character(c: str) -> bool:
    return "a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "._-@+"


def parse_family(text: str) -> int:
    """4 or 6 of "ipv4" or "ipv6". Raises ValueProblem."""
    name = text.strip().lower()
    if name in ("ipv4", "ipv6"):
        return 4 if name == "ipv4" else 6
    raise ValueProblem("unknown family {!r}".format(text), "ipv4 or ipv6")


def parse_dscp(text: str) -> int:
    """The code point 0-63 of a class name or a number. Raises ValueProblem."""
    name = text.strip().lower()
    if name in DSCP_CLASSES:
        return DSCP_CLASSES[name]
    if is_number(name) and int(name) < 64:
        return int(name)
    raise ValueProblem("unknown DSCP class {!r}".format(text), "0 to 63, cs0 to cs7, af11 to af43, ef, va or le")


def format_protocol(number: int) -> str:
    """The protocol's name, or its number where it has none here."""
    return PROTOCOL_NAMES.get(number, str(number))


def format_dscp(number: int) -> str:
    """The class name of a code point, or its number where it has none."""
    return DSCP_NAMES.get(number, str(number))
