"""What dnsmasq reads of ours now, as texts for the guard: to these files it leads back, and has dnsmasq read them.

Only looks, and never at more than our own file. Which folders and processes: dnsmasq_instance.py; who reads the
texts: files/usr/lib/netpolicy/guard (`lead_names_back`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from netpolicy.dataplane.guard import start_of
from netpolicy.observe import durable
from netpolicy.service import dnsmasq_instance
from netpolicy.service.dnsmasq_keeper import LIMIT, NAME

FOLDER = "names"
ABSENT = "absent"


def kept(settings: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Texts by path: for the bundle, which is in RAM, and those of them that a reboot must find too.

    `settings`: `option dnsmasq` of both configurations, "auto", "off" or a folder. In a worker: it reads /proc.
    Raises OSError for a file that cannot be read.
    """
    running = dnsmasq_instance.instances()
    folders = {folder for one in running for folder in one.folders}
    folders.update([one.rstrip("/") for one in settings if one.startswith("/")])
    bundled: dict[str, str] = {}
    outlives: dict[str, str] = {}
    for folder in sorted(folders):
        path = os.path.join(folder, NAME)
        if not _is_one_word(path):
            continue
        _keep(bundled, path)
        if not dnsmasq_instance.is_in_ram(folder):
            _keep(outlives, path)
    if bundled:
        # All that run: what they have read is what stands there.
        read = [(one.pid, start_of(one.pid)) for one in running]
        bundled[f"{FOLDER}/read"] = "".join([f"{pid} {start}\n" for pid, start in read if start is not None])
    return bundled, outlives


def _keep(texts: dict[str, str], path: str) -> None:
    try:
        data = durable.read_plain(path, LIMIT)
    except FileNotFoundError:
        word = ABSENT
    else:
        word = hashlib.sha256(data).hexdigest()
        texts[f"{FOLDER}/{word}"] = data.decode("utf-8", "surrogateescape")
    texts[f"{FOLDER}/places"] = texts.get(f"{FOLDER}/places", "") + f"{word} {path}\n"


def _is_one_word(path: str) -> bool:
    return path.isascii() and path.isprintable() and " " not in path and "\\" not in path
