"""The network as the files of the kernel and of netifd show it: devices, addresses, routes.

Opens plain files only, never a socket. What it cannot read is not there. Formats: proc(5),
net/ipv4/fib_trie.c and net/ipv6/route.c of the kernel, /etc/config/network of OpenWrt.
"""

from netpolicy.config.uci_text import read_carefully
from netpolicy.core.address import V6, format_address
from netpolicy.dataplane.state import IPV4, IPV6, MAIN_TABLE, Address, Link, Route
from netpolicy.outbounds.lines import LogicalInterface, View

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.config.source import Section

MAX_FILE = 1 << 20
MAX_CHUNK = 4096

RTF_GATEWAY = 0x2  # <linux/route.h>
RTF_REJECT = 0x200

KERNEL = 2  # RTPROT_KERNEL: the files do not say who made a route, those to a subnet are the kernel's as a rule
OTHER = 3  # RTPROT_BOOT

# netifd's name of the device of an interface, by its protocol; others have it in `device` or `ifname`.
DEVICE_OF_PROTOCOL = {"pppoe": "pppoe-", "pptp": "pptp-", "l2tp": "l2tp-", "wireguard": "", "6in4": "6in4-"}


def read_text(path: str) -> str:
    """The text of a file, "" where there is none; at most a megabyte."""
    try:
        with open(path) as stream:
            return stream.read(MAX_FILE)
    except (OSError, ValueError):
        return ""


def read_view(root: str = "") -> View:
    """What the network looks like now, from the files under `root`."""
    devices = _devices(read_text(root + "/proc/net/dev"))
    links = {name: _link(root, name, index) for index, name in enumerate(devices, 1)}
    routes = _routes4(read_text(root + "/proc/net/route")) + _routes6(read_text(root + "/proc/net/ipv6_route"))
    addresses = _addresses6(read_text(root + "/proc/net/if_inet6"))
    return View(links, tuple(addresses), tuple(routes), _logical(read_text(root + "/etc/config/network")))


def _devices(text: str) -> list[str]:
    """The names in /proc/net/dev, behind its two header lines."""
    return [line.split(":")[0].strip() for line in text.split("\n")[2:] if ":" in line]


def _link(root: str, name: str, index: int) -> Link:
    folder = root + "/sys/class/net/" + name + "/"
    flags = read_text(folder + "flags").strip()
    state = read_text(folder + "operstate").strip()
    mac = read_text(folder + "address").strip()
    is_up = bool(_number(flags[2:], 16) & 1) if flags.startswith("0x") else True  # IFF_UP
    return Link(index, name, is_up, state != "down", "" if mac.strip("0:") == "" else mac)


def _number(text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        return 0


def _routes4(text: str) -> list[Route]:
    """/proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …, addresses as the host has them."""
    found = []
    for line in text.split("\n")[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        flags = _number(words[3], 16)
        length = bin(_number(words[7], 16)).count("1")
        destination = "default" if length == 0 else f"{_little_endian(words[1])}/{length}"
        gateway = _little_endian(words[2]) if flags & RTF_GATEWAY else ""
        if not flags & RTF_REJECT:
            found.append(_route(IPV4, destination, gateway, words[0], _number(words[6], 10)))
    return found


def _route(family: int, destination: str, gateway: str, device: str, metric: int) -> Route:
    protocol = OTHER if gateway or destination == "default" else KERNEL
    scope = "global" if gateway or family == IPV6 else "link"
    return Route(family, MAIN_TABLE, destination, "unicast", gateway, device, metric, protocol, scope)


def _little_endian(text: str) -> str:
    """An address in the byte order of the host; every router that runs this is little endian or says otherwise."""
    number = _number(text, 16)
    swapped = 0
    for _ in range(4):
        swapped = swapped << 8 | number & 255
        number >>= 8
    return format_address(IPV4, swapped if IS_LITTLE else _number(text, 16))


def _is_little() -> bool:
    import sys

    return sys.byteorder == "little"


IS_LITTLE = _is_little()


def _routes6(text: str) -> list[Route]:
    """/proc/net/ipv6_route: dest plen src splen nexthop metric refcnt use flags device."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 10 or words[9] == "lo" or words[0].startswith("ff"):
            continue
        flags = _number(words[8], 16)
        length = _number(words[1], 16)
        if flags & RTF_REJECT or (length == 128 and not flags & RTF_GATEWAY):
            continue  # the addresses of the router itself stand there as routes too
        network = format_address(V6, _number(words[0], 16))
        destination = "default" if length == 0 else f"{network}/{length}"
        gateway = format_address(V6, _number(words[4], 16)) if flags & RTF_GATEWAY else ""
        found.append(_route(IPV6, destination, gateway, words[9], _number(words[5], 16)))
    return found


def _addresses6(text: str) -> list[Address]:
    """/proc/net/if_inet6: address ifindex plen scope flags device."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) >= 6 and words[5] != "lo":
            scope = "link" if words[3] == "20" else "global"
            address = format_address(V6, _number(words[0], 16))
            found.append(Address(IPV6, words[5], address, _number(words[2], 16), scope))
    return found


def _logical(text: str) -> "dict[str, LogicalInterface]":
    """The interfaces of /etc/config/network and the devices that carry them."""
    found = {}
    for section in read_carefully(text, "network").sections:
        if section.type == "interface" and section.name and section.name != "loopback":
            found[section.name] = LogicalInterface(_device(section), _value(section, "disabled") != "1")
    return found


def _device(section: "Section") -> str:
    prefix = DEVICE_OF_PROTOCOL.get(_value(section, "proto"))
    if prefix is not None:
        return prefix + section.name
    return _value(section, "device") or _value(section, "ifname")


def _value(section: "Section", name: str) -> str:
    option = section.option(name)
    return option.values[0].split(" ")[0] if option is not None and option.values else ""
