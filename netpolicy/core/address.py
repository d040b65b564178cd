"""IPv4 and IPv6 addresses as (family, integer), networks and ranges as integer ranges.

Never resolves a name and never accepts a text that two readers could understand
differently (leading zeros, host bits in a network). Formats: RFC 4291, RFC 5952.
"""

from netpolicy.core.value import ValueProblem

V4 = 4
V6 = 6
BITS = {V4: 32, V6: 128}

# The one accepted spelling of each number that a dotted quad or a prefix length can hold.
DECIMAL = {str(number): number for number in range(256)}


def _invalid(text: str) -> ValueProblem:
    """What is no address, with what to write instead."""
    if any("g" <= c.lower() <= "z" for c in text) and "." in text:
        return ValueProblem("invalid address {!r}".format(text), "names go into the field domain")
    return ValueProblem("invalid address {!r}".format(text), "for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")


def parse_address(text: str) -> tuple[int, int]:
    """(family, integer) of an address text. Raises ValueProblem."""
    if ":" in text:
        return V6, _parse_v6(text)
    return V4, _parse_v4(text, text)


def parse_range(text: str) -> tuple[int, int, int]:
    """(family, low, high) of an address, a CIDR or an `a-b` range. Raises ValueProblem."""
    if "-" in text:
        first, last = text.split("-", 1)
        family, low = parse_address(first.strip())
        family_of_last, high = parse_address(last.strip())
        if family != family_of_last:
            text = "the two ends of the range {!r} are of different families".format(text)
            raise ValueProblem(text, "write one range for IPv4 and one for IPv6")
        if low > high:
            text = "the range {!r} ends before it starts".format(text)
            raise ValueProblem(text, "write the smaller address first: {}-{}".format(last.strip(), first.strip()))
        return family, low, high
    if "/" in text:
        return _parse_network(text)
    family, number = parse_address(text)
    return family, number, number


def _parse_network(text: str) -> tuple[int, int, int]:
    address, length_text = text.split("/", 1)
    family, number = parse_address(address)
    length = DECIMAL.get(length_text)
    if length is None or length > BITS[family]:
        hint = "0 to {}, as in {}".format(BITS[family], "192.0.2.0/24" if family == V4 else "2001:db8::/32")
        raise ValueProblem("invalid prefix length in {!r}".format(text), hint)
    host = (1 << (BITS[family] - length)) - 1
    if number & host:
        network = format_address(family, number & ~host)
        raise ValueProblem(
            "{!r} has bits set beyond its prefix length".format(text),
            "write {}/{} for the network or {} for the one address".format(network, length_text, address),
        )
    return family, number, number | host


def _parse_v4(text: str, whole: str) -> int:
    parts = [DECIMAL.get(part) for part in text.split(".")]
    if len(parts) != 4:
        raise _invalid(whole)
    number = 0
    for part in parts:
        if part is None:
            raise _invalid(whole)
        number = number << 8 | part
    return number


def _parse_v6(text: str) -> int:
    halves = text.split("::")
    if len(halves) > 2 or len(text) > 45:
        raise _invalid(text)
    head = _groups(halves[0], text, len(halves) == 1)
    if len(halves) == 1:
        groups = head
    else:
        tail = _groups(halves[1], text, True)
        missing = 8 - len(head) - len(tail)
        if missing < 1:
            raise _invalid(text)
        groups = head + [0] * missing + tail
    if len(groups) != 8:
        raise _invalid(text)
    number = 0
    for group in groups:
        number = number << 16 | group
    return number


def _groups(text: str, whole: str, ends_address: bool) -> list[int]:
    if not text:
        return []
    result: list[int] = []
    parts = text.split(":")
    for position, part in enumerate(parts):
        if "." in part and ends_address and position == len(parts) - 1:  # RFC 4291, 2.2 form 3
            embedded = _parse_v4(part, whole)
            result.append(embedded >> 16)
            result.append(embedded & 0xFFFF)
        elif 0 < len(part) <= 4 and all(c in "0123456789abcdefABCDEF" for c in part):
            result.append(int(part, 16))
        else:
            raise _invalid(whole)
    return result


def format_address(family: int, number: int) -> str:
    """The canonical text (RFC 5952 for IPv6, without the embedded IPv4 form)."""
    if family == V4:
        return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    groups = [number >> shift & 0xFFFF for shift in range(112, -1, -16)]
    start, length = _longest_zero_run(groups)
    if length < 2:
        return ":".join("%x" % group for group in groups)
    head = ":".join("%x" % group for group in groups[:start])
    tail = ":".join("%x" % group for group in groups[start + length :])
    return head + "::" + tail


def _longest_zero_run(groups: list[int]) -> tuple[int, int]:
    best_start = best_length = 0
    length = 0
    for position, group in enumerate(groups):
        length = length + 1 if group == 0 else 0
        if length > best_length:
            best_start, best_length = position - length + 1, length
    return best_start, best_length


def format_range(family: int, low: int, high: int) -> str:
    """An address, a CIDR where the range is one, `a-b` otherwise."""
    size = high - low + 1
    if size == 1:
        return format_address(family, low)
    if size & (size - 1) == 0 and low % size == 0:
        length = BITS[family]
        while size > 1:
            size >>= 1
            length -= 1
        return "{}/{}".format(format_address(family, low), length)
    return "{}-{}".format(format_address(family, low), format_address(family, high))
