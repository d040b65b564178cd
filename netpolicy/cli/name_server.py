"""What the dnsmasq of this machine can do: one question to the program itself.

Changes nothing and asks nothing on the network. No answer, a slow one and an unknown one are "there is none".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netpolicy.config.analysis_name_server import Dnsmasq

SECONDS = 2.0
FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"  # where it is; not everybody's PATH has them


def installed_dnsmasq() -> Dnsmasq | None:
    """The dnsmasq that is found on PATH or among the system's programs."""
    from shutil import which
    from subprocess import DEVNULL, SubprocessError, run

    program = which("dnsmasq", path=os.pathsep.join([os.environ.get("PATH", ""), FOLDERS]))
    if program is None:
        return None
    try:
        done = run(
            [program, "--version"], capture_output=True, text=True, errors="replace",
            timeout=SECONDS, check=False, stdin=DEVNULL,
        )  # fmt: skip
    except (OSError, SubprocessError):
        return None
    return parse(done.stdout)


def parse(text: str) -> Dnsmasq | None:
    """What `dnsmasq --version` says. Its words: "Dnsmasq version 2.90 …", "Compile time options: … nftset …"."""
    from netpolicy.config.analysis_name_server import Dnsmasq

    words = text.split()
    if words[:2] != ["Dnsmasq", "version"] or len(words) < 3 or "options:" not in words:
        return None
    options = words[words.index("options:") :]
    return Dnsmasq(words[2][:20], "nftset" in options)
