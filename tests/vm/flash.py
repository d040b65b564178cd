"""The disk of the virtual router: its /etc, as an installation leaves it, with the configuration of a test.

Made with mkfs.ext4 without being root; what is on it afterwards is read by booting from it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.vm.machine import FLASH_MEGABYTES
from tests.vm.parts import Parts

PASSWD = "root:x:0:0:root:/root:/bin/sh\n"


def make(parts: Parts, image: Path, config: str) -> None:
    """A new image: nothing but the configuration and what tools look for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config").mkdir()
        (folder / "config" / "netpolicy").write_text(config, encoding="utf-8")
        (folder / "config" / "netpolicy").chmod(0o600)
        (folder / "passwd").write_text(PASSWD, encoding="ascii")
        if Path("/etc/protocols").exists():
            (folder / "protocols").write_bytes(Path("/etc/protocols").read_bytes())
        image.unlink(missing_ok=True)
        subprocess.run(
            [parts.tools["mkfs.ext4"], "-q", "-b", "1024", "-E", "root_owner=0:0", "-d", name, str(image),
             f"{FLASH_MEGABYTES}M"], check=True, capture_output=True,
        )  # fmt: skip
