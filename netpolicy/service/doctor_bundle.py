"""What whoever helps needs to see, in one file: findings, versions, rules, routes, logs, configuration, journal.

Every part is redacted, cut at a limit, and left out where it cannot be had. Writes one new file that only its owner
reads, and nothing else.
"""

from __future__ import annotations

import io
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netpolicy import __version__
from netpolicy.observe import durable
from netpolicy.observe.journal import Journal
from netpolicy.observe.redact import redacted
from netpolicy.service.doctor_anonymous import cleaner
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_redact import of_configuration, without_secrets
from netpolicy.service.doctor_system import System
from netpolicy.service.generation import Damaged
from netpolicy.service.generations import Store

FOLDER = "netpolicy-doctor"

# All of it before it is packed, and one part. A listing of ten thousand rules is longer: its beginning is enough.
MOST_BYTES = 4 << 20
MOST_OF_ONE = 512 << 10
MOST_FILES = 16  # of the configuration
JOURNAL_LINES = 200
CUT = "\n… (cut)\n"

# Each a command of its own; the name says what is in it. Never the tables of others: they are not ours to give away.
COMMANDS = (
    ("ip-rule.txt", ("ip", "rule")), ("ip6-rule.txt", ("ip", "-6", "rule")),
    ("ip-route.txt", ("ip", "route", "show", "table", "all")),
    ("ip6-route.txt", ("ip", "-6", "route", "show", "table", "all")),
    ("ip-address.txt", ("ip", "address")),
    ("nft-netpolicy.txt", ("nft", "-t", "list", "table", "inet", "netpolicy")),
    ("nft-tables.txt", ("nft", "list", "tables")),
    ("log-openwrt.txt", ("logread", "-e", "netpolicy")),
    ("log-systemd.txt", ("journalctl", "--no-pager", "-n", "500", "-u", "netpolicy*")),
    ("versions-nft.txt", ("nft", "--version")), ("versions-ip.txt", ("ip", "-V")),
    ("versions-dnsmasq.txt", ("dnsmasq", "--version")), ("versions-xray.txt", ("xray", "version")),
)  # fmt: skip

FILES = (
    ("openwrt_release.txt", "/etc/openwrt_release"), ("os-release.txt", "/etc/os-release"),
    ("meminfo.txt", "/proc/meminfo"), ("cpuinfo.txt", "/proc/cpuinfo"),
)  # fmt: skip

SETTINGS = (
    "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter",
    "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
    "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max",
)  # fmt: skip

Parts = dict[str, str]


def collect(system: System, given: Given, documents: Mapping[str, Any], is_anonymous: bool) -> Parts:
    """Name and text of every part, ready to leave. `documents`: what the daemon said, by the name of its method."""
    clean = cleaner(is_anonymous)
    parts: Parts = {}
    room = MOST_BYTES
    for name, text in _raw(system, given, documents):
        text = _cut(clean(text), min(room, MOST_OF_ONE))
        room -= len(text.encode())
        if text:
            parts[name] = text
    return parts


def write(path: str, parts: Mapping[str, str]) -> int:
    """Writes the archive as a new file that only its owner reads; its size. Raises OSError: then there is none."""
    content = _packed(parts)
    try:
        durable.write_new(path, content)
    except FileExistsError:
        raise
    except OSError:
        durable.remove(path)  # a full disk: half an archive helps nobody
        raise
    return len(content)


def _packed(parts: Mapping[str, str]) -> bytes:
    import tarfile

    made = io.BytesIO()
    try:
        archive = tarfile.open(fileobj=made, mode="w:gz")  # noqa: SIM115 (closed below)
    except tarfile.CompressionError:  # a Python built without zlib; tar finds out by itself
        archive = tarfile.open(fileobj=made, mode="w")  # noqa: SIM115
    with archive:
        for name, text in parts.items():
            data = text.encode()
            about = tarfile.TarInfo(f"{FOLDER}/{name}")
            about.size, about.mode, about.mtime = len(data), 0o600, int(time.time())
            archive.addfile(about, io.BytesIO(data))
    return made.getvalue()


def _raw(system: System, given: Given, documents: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parts without secrets, the most telling first: what is over the limit is at the end."""
    for name, document in documents.items():
        yield f"{name}.json", _as_json(document)
    yield "versions.txt", f"netpolicy {__version__}\npython {platform.python_version()}\n{_kernel()}\n"
    for name, words in COMMANDS:
        if system.find(words[0]):
            ran = system.run(*words)
            yield name, without_secrets(ran.out if not ran.status else f"{' '.join(words)}: {ran.why}")
    for name, path in FILES:
        yield name, without_secrets(system.read(path) or "")
    yield "settings.txt", "".join([f"{name} = {system.number(f'/proc/sys/{name}')}\n" for name in SETTINGS])
    yield "guard-log.txt", without_secrets((system.read(f"{given.state}/guard/log") or "")[-MOST_OF_ONE:])
    yield "journal.json", _told(lambda: Journal(given.store).read(JOURNAL_LINES))
    yield "generations.json", _told(lambda: _generations(Store(given.store)))
    for place, path in enumerate(_configuration(given)):
        yield f"config-{place}.txt", f"# {path}\n{of_configuration(system.read(path) or '')}"


def _configuration(given: Given) -> list[str]:
    """The main file and those that it names."""
    from netpolicy.config.load import load

    return list(dict.fromkeys([given.config, *load(given.config).paths]))[:MOST_FILES]


def _generations(store: Store) -> dict[str, Any]:
    """What is kept, without the files themselves."""
    found: dict[str, Any] = {"current": store.current()}
    for number in store.numbers():
        try:
            one = store.read(number)
        except Damaged as damage:
            found[str(number)] = {"damaged": damage.why}
        else:
            found[str(number)] = {"parent": one.parent, "healthy": one.is_healthy, "meta": dict(one.meta)}
    return found


def _told(ask: Callable[[], object]) -> str:
    try:
        return _as_json(ask())
    except OSError as error:
        return _as_json({"error": str(error)})


def _as_json(document: object) -> str:
    return json.dumps(redacted(document), indent=1, ensure_ascii=False) + "\n"


def _kernel() -> str:
    """Without the name of the machine."""
    found = os.uname()
    return f"{found.sysname} {found.release} {found.machine}"


def _cut(text: str, limit: int) -> str:
    data = text.encode()
    if len(data) <= limit:
        return text
    room = limit - len(CUT.encode())
    return data[:room].decode("utf-8", "ignore") + CUT if room > 0 else ""
