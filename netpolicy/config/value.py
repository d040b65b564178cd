"""Read one value of an option: text in, value out, ValueProblem for anything else.

Never looks at other options and never guesses what was meant. The words for yes and no
are those of OpenWrt's scripts (config_get_bool). Runs on MicroPython.
"""

from binascii import crc32

from netpolicy.core.address import V4, V6, parse_address, parse_range
from netpolicy.core.calendar import parse_days, parse_time
from netpolicy.core.health import STATES
from netpolicy.core.list_entry import looks_like_address, parse_entry
from netpolicy.core.packet import PROTOCOLS, parse_device, parse_port
from netpolicy.core.probe_words import take_apart
from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import parse_web_address

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

TRUE = ("1", "yes", "on", "true", "enabled")
FALSE = ("0", "no", "off", "false", "disabled")

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
NAME_CHARACTERS = LOWER + LOWER.upper() + DIGITS + "_"
# The predecessor allowed any text; these are the characters that every spelling can carry.
TARGET_CHARACTERS = NAME_CHARACTERS + ".-"
MAX_NAME = 64
MAX_TEXT = 4096
MAX_TITLE = 128

# Characters that show nothing or reorder what is shown (Unicode category Cf): a review must see what it reads.
INVISIBLE = (
    (0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F),
    (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFF), (0xE0000, 0xE007F),
)  # fmt: skip

MAIN_TABLES = {253: "default", 254: "main", 255: "local", 0: "unspec"}


def is_clean(text: str) -> bool:
    """Whether the text has no control character and none that is invisible."""
    return all((c < "\x7f" and c >= " ") or not _is_invisible(ord(c)) for c in text)


def _is_invisible(code: int) -> bool:
    return any(first <= code <= last for first, last in INVISIBLE)


def is_name(text: str) -> bool:
    """Whether UCI takes the text as the name of a section."""
    return 0 < len(text) <= MAX_NAME and all(c in NAME_CHARACTERS for c in text)


def identifier(title: str) -> str:
    """What a section in UCI is called whose title may have any characters."""
    base = "".join([c if c in NAME_CHARACTERS else "_" for c in title])[: MAX_NAME - 4]  # room for a number
    return base if base.strip("_") else f"rule_{crc32(title.encode()) & 0xFFFFFF:06x}"


def text(raw: str) -> str:
    """Any text without control characters."""
    if not raw.strip():
        raise ValueProblem("the value is empty")
    if len(raw) > MAX_TEXT or not is_clean(raw):
        raise ValueProblem("the value is too long or has control characters")
    return raw


def title(raw: str) -> str:
    """A name for people: up to 128 printable characters."""
    if len(raw) > MAX_TITLE:
        raise ValueProblem(f"a display name has at most {MAX_TITLE} characters")
    return text(raw)


def name(raw: str) -> str:
    """An identifier, as UCI demands it of section names."""
    if not is_name(raw):
        raise ValueProblem(f"{raw[:64]!r} is not a name", "1 to 64 letters, digits and _")
    return raw


def target(raw: str) -> str:
    """The name of an outbound or of a throttle profile."""
    if not raw.strip():
        raise ValueProblem("the name is empty")
    if len(raw) > MAX_NAME or not all(c in TARGET_CHARACTERS for c in raw):
        raise ValueProblem(f"{raw[:64]!r} is not a name", "1 to 64 letters, digits, _ . and -")
    return raw


def boolean(raw: str) -> bool:
    """One of OpenWrt's words for yes and no."""
    if raw in TRUE:
        return True
    if raw in FALSE:
        return False
    raise ValueProblem(f"{raw[:64]!r} is neither yes nor no", "write 1 or 0")


def show_boolean(value: bool) -> str:
    """The canonical word: "1" or "0"."""
    return "1" if value else "0"


def number(low: int, high: int) -> "Callable[[str], int]":
    """A reader for whole decimal numbers in a range."""

    def read(raw: str) -> int:
        digits = raw[1:] if raw.startswith("-") else raw
        if not 0 < len(digits) <= 10 or not all(c in DIGITS for c in digits):
            raise ValueProblem(f"{raw[:64]!r} is not a whole number", f"{low} to {high}")
        found = int(raw)
        if low == 0 and found < 0:
            raise ValueProblem("must be >= 0", f"{low} to {high}")
        if not low <= found <= high:
            raise ValueProblem(f"{raw} is out of range", f"{low} to {high}")
        return found

    return read


def name_server_folder(raw: str) -> str:
    """`auto`, `off`, or an absolute folder. Raises ValueProblem."""
    found = text(raw)
    if found in ("auto", "off"):
        return found
    if not found.startswith("/") or found.rstrip("/") == "" or "," in found or ".." in found.split("/"):
        raise ValueProblem(f"{raw[:64]!r} is no folder", "auto, off, or an absolute path such as /etc/dnsmasq.d")
    return found.rstrip("/")


def mask(raw: str) -> int:
    """Mark bits: hexadecimal with 0x, or decimal; at least four bits, because one is "done" and three are classes."""
    is_hex = raw[:2].lower() == "0x"
    digits = raw[2:].lower() if is_hex else raw
    allowed, most = (DIGITS + "abcdef", 8) if is_hex else (DIGITS, 10)
    if not 0 < len(digits) <= most or not all(c in allowed for c in digits):
        raise ValueProblem(f"{raw[:64]!r} is not a mask", "for example 0x77000000")
    bits = int(digits, 16 if is_hex else 10)
    if bits > 0xFFFFFFFF or bin(bits).count("1") < 4:
        raise ValueProblem(f"{raw} is not a mask of 4 to 32 bits", "for example 0x77000000")
    return bits


def show_mask(bits: int) -> str:
    """Eight hexadecimal digits."""
    return f"0x{bits:08x}"


def table(raw: str) -> int:
    """The number of a routing table that is not one of the kernel's own."""
    found = number(0, 4294967295)(raw)
    if found in MAIN_TABLES:
        text = f"table {found} is the kernel's own table {MAIN_TABLES[found]}"
        raise ValueProblem(text, "type direct uses table main")
    return found


def device(raw: str) -> str:
    """A netifd network or a device."""
    return parse_device(raw)


def gateway4(raw: str) -> str:
    """An IPv4 address."""
    return _address(raw, V4, "IPv4")


def gateway6(raw: str) -> str:
    """An IPv6 address."""
    return _address(raw, V6, "IPv6")


def _address(raw: str, family: int, what: str) -> str:
    if parse_address(raw)[0] != family:
        raise ValueProblem(f"{raw!r} is not an {what} address")
    return raw


def prefix6(raw: str) -> str:
    """An IPv6 prefix in CIDR form."""
    if "/" not in raw or parse_range(raw)[0] != V6:
        raise ValueProblem(f"{raw[:64]!r} is not an IPv6 prefix", "for example 2001:db8:2::/56")
    return raw


def state(raw: str) -> str:
    """One state of the engine, in any case."""
    word = raw.strip().upper()
    if word not in STATES:
        raise ValueProblem(f"invalid state value: {raw[:64]}", "one of " + ", ".join(STATES))
    return word


def block(raw: str) -> str:
    """How to block: "drop", "reject", or "" for not at all."""
    if raw in ("drop", "reject"):
        return raw
    if raw in TRUE or raw in FALSE:
        return "drop" if raw in TRUE else ""
    raise ValueProblem(f"{raw[:64]!r} is no way to block", "1, drop, reject or 0")


def show_block(way: str) -> str:
    """The canonical word: drop is what a bare block means."""
    return "1" if way == "drop" else way


RATE_UNITS = (("gbit", 1000000000), ("mbit", 1000000), ("kbit", 1000), ("bit", 1))


def rate(raw: str) -> int:
    """A speed in bit/s: 512kbit, 2mbit, 1.5mbit, 1gbit, or a bare number of bit/s."""
    word = raw.strip().lower()
    for unit, size in RATE_UNITS:
        if word.endswith(unit):
            found = _decimal(word[: -len(unit)].strip(), size)
            break
    else:
        found = _decimal(word, 1)
    if not 8000 <= found <= 100000000000:
        raise ValueProblem(f"{raw[:64]!r} is not a speed", "8kbit to 100gbit, for example 2mbit")
    return found


def _decimal(number: str, size: int) -> int:
    """The number times the size, rounded down; -1 for what is no number."""
    whole, point, fraction = number.partition(".")
    if not 0 < len(whole) <= 12 or (point and not 0 < len(fraction) <= 9):
        return -1
    if not all(c in DIGITS for c in whole + fraction):
        return -1
    return int(whole + fraction) * size // 10 ** len(fraction)


def show_rate(bits: int) -> str:
    """In the largest unit that gives a whole number."""
    for unit, size in RATE_UNITS:
        if bits % size == 0:
            return f"{bits // size}{unit}"
    return str(bits)


TIME_UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(raw: str) -> int:
    """A time in seconds: 90, 90s, 30m, 12h, 1d, 1w."""
    word = raw.strip().lower()
    size = 1
    for unit, seconds in TIME_UNITS:
        if word.endswith(unit):
            word, size = word[:-1], seconds
            break
    if not 0 < len(word) <= 8 or not all(c in DIGITS for c in word) or int(word) * size > 31536000:
        raise ValueProblem(f"{raw[:64]!r} is not a time", "for example 30m, 12h or 1d, at most a year")
    return int(word) * size


def show_duration(seconds: int) -> str:
    """In the largest unit that gives a whole number."""
    for unit, size in TIME_UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return "0"


def days(raw: str) -> str:
    """Days of the week, as written: what they are together is calendar's matter."""
    parse_days((raw,))
    return raw


def time_of_day(raw: str) -> int:
    """Minutes of the day of HH:MM."""
    return parse_time(raw)


def entry(raw: str) -> str:
    """An address, network, range or domain pattern of a list."""
    parse_entry(raw)
    return raw.strip()


def web_address(raw: str) -> str:
    """Where a page is: https://host/path, with a port, a user and a password where there are some."""
    parse_web_address(raw)
    return raw.strip()


CATEGORY_CHARACTERS = NAME_CHARACTERS + "-.!@"


def category(raw: str) -> str:
    """A part of geosite.dat or geoip.dat: its code, or code@attribute; in lower case."""
    word = raw.strip().lower()
    code, mark, attribute = word.partition("@")
    is_known = all(c in CATEGORY_CHARACTERS for c in word) and 0 < len(word) <= MAX_NAME and "@" not in attribute
    if not is_known or not code or (mark and not attribute):
        raise ValueProblem(f"{raw[:64]!r} is not a category", "for example cn, or google@ads")
    return word


def probe(raw: str) -> str:
    """An active check: ping:ADDRESS, tcp:HOST:PORT, http:URL, dns:NAME. What cannot be sent is refused."""
    words = raw.strip()
    take_apart(words)
    return words


def server(raw: str) -> str:
    """Where a tunnel leads: ssh://user@host:port, socks5://host:port or http://host:port; never a password."""
    scheme, found, rest = raw.strip().partition("://")
    user, at, host = rest.rpartition("@")
    if not found or scheme not in ("ssh", "socks5", "http") or not host or not is_clean(rest) or " " in rest:
        hint = "ssh://user@host:port, socks5://host:port or http://host:port"
        raise ValueProblem(f"{raw[:64]!r} is not the server of a tunnel", hint)
    if at and ":" in user:
        # Not quoted: what stands there is a secret.
        raise ValueProblem("a password must not stand in the configuration", "name the secret with the option key")
    return raw.strip()


def assertion(raw: str) -> str:
    """What must hold after a change: `lan can wan tcp/443`, `guest cannot lan`."""
    words = raw.split()
    if words[1:3] == ["can", "not"]:
        raise ValueProblem(f"{raw[:64]!r} is not an assertion", "write cannot, in one word")
    if not 3 <= len(words) <= 4 or words[1] not in ("can", "cannot"):
        raise ValueProblem(f"{raw[:64]!r} is not an assertion", "for example: lan can wan tcp/443, or guest cannot lan")
    for end in (words[0], words[2]):
        _end_of_assertion(end)
    if len(words) == 4:
        protocol, slash, port = words[3].partition("/")
        if protocol not in PROTOCOLS:
            raise ValueProblem(f"{protocol[:64]!r} is not a protocol", "for example tcp/443, udp/53 or icmp")
        if slash:
            parse_port(port)
    return " ".join(words)


def _end_of_assertion(word: str) -> None:
    """A network of netifd, a device, an address or network, or a named list."""
    if word.startswith("@"):
        target(word[1:])
    elif looks_like_address(word):
        parse_range(word)
    else:
        parse_device(word)
