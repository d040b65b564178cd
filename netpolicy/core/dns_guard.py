"""The rules behind `option dns_guard`: clients cannot take their names from elsewhere, hidden in TLS.

Refusals that stand before all other rules: DNS over TLS and QUIC (port 853), and HTTPS with the well-known public
resolvers, by address and by name. Facts, as each operator publishes them on the page beside it; no list of others.
"""

from netpolicy.core.field import parse_field
from netpolicy.core.model import BLOCK, Action, Rule

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.field_kind import Field

DNS_OVER_TLS_PORT = 853  # RFC 7858, RFC 9250

# Addresses that are nothing but name servers: nobody loses a page of the web with them.
ADDRESSES = (
    # Google: https://developers.google.com/speed/public-dns/docs/using
    "8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844",
    # Cloudflare: https://developers.cloudflare.com/1.1.1.1/ip-addresses/
    "1.1.1.1-1.1.1.3", "1.0.0.1-1.0.0.3", "2606:4700:4700::1111-2606:4700:4700::1113",
    "2606:4700:4700::1001-2606:4700:4700::1003",
    # Quad9: https://www.quad9.net/service/service-addresses-and-features/
    "9.9.9.9-9.9.9.12", "149.112.112.9-149.112.112.12", "149.112.112.112", "2620:fe::9-2620:fe::12", "2620:fe::fe",
    "2620:fe::fe:9-2620:fe::fe:12",
    # Cisco OpenDNS: https://www.opendns.com/setupguide/
    "208.67.222.222", "208.67.220.220", "208.67.222.123", "208.67.220.123", "2620:119:35::35", "2620:119:53::53",
    # AdGuard: https://adguard-dns.io/en/public-dns.html
    "94.140.14.14", "94.140.15.15", "94.140.14.15", "94.140.15.16", "94.140.14.140-94.140.14.141",
    "2a10:50c0::ad1:ff", "2a10:50c0::ad2:ff", "2a10:50c0::bad1:ff", "2a10:50c0::bad2:ff", "2a10:50c0::1:ff",
    "2a10:50c0::2:ff",
    # CleanBrowsing: https://cleanbrowsing.org/filters/
    "185.228.168.9-185.228.168.10", "185.228.168.168", "185.228.169.9", "185.228.169.11", "185.228.169.168",
    # Control D: https://controld.com/free-dns
    "76.76.2.0/28", "76.76.10.0/28",
    # NextDNS: https://github.com/nextdns/nextdns/wiki
    "45.90.28.0/24", "45.90.30.0/24",
    # Mullvad: https://mullvad.net/en/help/dns-over-https-and-dns-over-tls
    "194.242.2.2-194.242.2.9", "2a07:e340::2-2a07:e340::9",
    # AliDNS: https://www.alidns.com/knowledge
    "223.5.5.5", "223.6.6.6", "2400:3200::1", "2400:3200:baba::1",
)  # fmt: skip

# Whoever asks for these is about to ask there for everything else; the same pages.
NAMES = (
    "dns.google", "dns.google.com", "8888.google", "cloudflare-dns.com", "one.one.one.one", "dns.quad9.net",
    "dns9.quad9.net", "dns10.quad9.net", "dns11.quad9.net", "dns12.quad9.net", "doh.opendns.com", "dns.opendns.com",
    "doh.familyshield.opendns.com", "doh.umbrella.com", "adguard-dns.com", "dns.adguard.com", "dns-family.adguard.com",
    "doh.cleanbrowsing.org", "dns.nextdns.io", "dns.controld.com", "freedns.controld.com", "dns.mullvad.net",
    "dns.alidns.com", "doh.pub", "dot.pub", "doh.dns.apple.com", "doh.dns.sb",
)  # fmt: skip

# A browser that is told that there is no such name leaves names to the system:
# https://support.mozilla.org/kb/canary-domain-use-application-dnsnet
CANARY = "use-application-dns.net"

# Above every priority that a rule can have; the dot keeps the names apart from those of rules.
PRIORITY = 2147483648

_made: "list[Rule]" = []


def rules() -> "tuple[Rule, ...]":
    """The rules in the order of their ranks; always the same objects, the first of which asks for no names."""
    if not _made:
        _made.append(_rule("dns_guard.https", ("dest_addr", ADDRESSES), ("dest_port", ("443",))))
        _made.append(_rule("dns_guard.names", ("domain", NAMES), ("dest_port", ("443",))))
        _made.append(_rule("dns_guard.tls", ("dest_port", (str(DNS_OVER_TLS_PORT),))))
    return tuple(_made)


def _rule(name: str, *fields: "tuple[str, tuple[str, ...]]") -> Rule:
    asked: list[Field] = [parse_field("proto", ("tcp", "udp"))]
    asked.extend([parse_field(word, values) for word, values in fields])
    return Rule(name, PRIORITY, tuple(asked), Action(BLOCK, "reject"))
