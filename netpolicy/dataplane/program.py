"""Where a program of the system is, as a shell would find it.

Never starts one. From PATH; shutil could tell it too, at the price of a quarter of a megabyte.
"""

from __future__ import annotations

import os


def find(name: str, also: str = "") -> str | None:
    """Its path; None where it is not installed. `also`: further folders, as in PATH."""
    for folder in (*os.environ.get("PATH", os.defpath).split(os.pathsep), *(also.split(os.pathsep) if also else ())):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None
