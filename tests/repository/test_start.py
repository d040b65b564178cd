"""What a start loads, in a fresh interpreter: memory on a router is spent on purpose only."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .tree import ROOT, imports, modules, room_of

# 22 MB for pyroute2 alone; each of these waits until something asks for it.
HEAVY = ("pyroute2", "yaml", "jinja2", "ssl", "http.server", "urllib.request", "ctypes", "rich")
# asyncio imports ssl by itself where it is installed; OpenWrt's light profile has no ssl package.
ASYNCIO_BRINGS = ("ssl",)

DOTTED = {"http.server", "urllib.request"}

ENTRIES = ("netpolicy.cli.main", "netpolicy.daemon.main")

LIST_MODULES = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(list(sys.modules)))"


def loaded_by(module: str) -> set[str]:
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {LIST_MODULES}", module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_start_loads_nothing_heavy(entry: str) -> None:
    if not (ROOT / f"{entry.replace('.', '/')}.py").exists():
        pytest.skip(f"{entry} is not written yet")
    loaded = loaded_by(entry)
    allowed = ASYNCIO_BRINGS if "asyncio" in loaded else ()
    assert not [name for name in HEAVY if name in loaded and name not in allowed]


def test_the_terminal_tool_starts_without_an_event_loop() -> None:
    if not (ROOT / "netpolicy/cli/main.py").exists():
        pytest.skip("netpolicy.cli.main is not written yet")
    assert "asyncio" not in loaded_by("netpolicy.cli.main")


def test_heavy_parts_of_the_standard_library_are_imported_by_the_function_that_needs_them() -> None:
    """asyncio hides an import of ssl from the test above; and a module not loaded today may be tomorrow."""
    faults = [
        f"{found.where}: {found.module}"
        for path in modules()
        if room_of(path) != "lab"
        for found in imports(path)
        if found.module in HEAVY and found.runs and not found.lazy and found.module in sys.stdlib_module_names | DOTTED
    ]
    assert not faults, "\n".join(faults)


def test_a_heavy_module_would_be_seen() -> None:
    assert "ssl" in loaded_by("ssl")
