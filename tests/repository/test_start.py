"""What a start loads, in a fresh interpreter: memory on a router is spent on purpose only."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .tree import ROOT, imports, modules, room_of

# 16 MB for pyroute2 alone; each of these waits until something asks for it.
HEAVY = ("pyroute2", "yaml", "jinja2", "ssl", "http.server", "urllib.request", "ctypes", "rich")
# asyncio imports ssl by itself where it is installed; the daemon keeps it out, see below.
ASYNCIO_BRINGS = ("ssl",)

# The daemon asks for it on purpose (daemon/lean.py): to have one heap, and to give free memory back.
LEAN_ASKS = ("ctypes",)

# A daemon at rest never asks for any of these; a name stands for what is below it too.
NOT_IN_THE_DAEMON = (
    *[name for name in HEAVY if name not in LEAN_ASKS],
    "_ssl", "_hashlib", "argparse", "ast", "asyncio.sslproto", "bz2", "datetime", "dis", "email", "gettext", "inspect",
    "ipaddress", "linecache", "locale", "logging", "lzma", "multiprocessing", "pathlib", "pickle", "random", "shutil",
    "textwrap", "tokenize", "traceback", "unittest", "xml",
    "netpolicy.cli", "netpolicy.web", "netpolicy.lab", "netpolicy.xray", "netpolicy.config.convert",
    "netpolicy.config.assemble", "netpolicy.config.dsl", "netpolicy.config.json_schema", "netpolicy.config.lint_codes",
    "netpolicy.config.linter", "netpolicy.config.load", "netpolicy.config.print_dsl", "netpolicy.config.print_uci",
    "netpolicy.config.sarif", "netpolicy.config.schema", "netpolicy.config.yaml_sections",
    "netpolicy.dataplane.guard_trial",
    "netpolicy.dataplane.netlink_pyroute2", "netpolicy.flows.administration", "netpolicy.flows.evidence",
    "netpolicy.outbounds.check", "netpolicy.outbounds.line_probe", "netpolicy.outbounds.line_score",
    "netpolicy.outbounds.line_traffic",
    "netpolicy.service.doctor", "netpolicy.service.doctor_finding",
    "netpolicy.service.doctor_given", "netpolicy.service.doctor_system", "netpolicy.service.witness",
)  # fmt: skip

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


def test_a_daemon_that_has_started_holds_nothing_it_was_not_asked_for() -> None:
    """Its imports are those of a whole start; it ends for want of a state folder. Each of these was megabytes."""
    code = (
        "import json, sys; from netpolicy.daemon.main import main;"
        "code = main(['--config', '/dev/null/c', '--state-dir', '/dev/null/s']); print(json.dumps(list(sys.modules)));"
        "import ssl, hashlib; hashlib.sha256(); sys.exit(code - 1)"  # who needs it later can have it
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
    loaded = json.loads(done.stdout)
    assert "netpolicy.service.engine" in loaded and "asyncio" in loaded
    unasked = [name for name in loaded if any(f"{name}.".startswith(f"{one}.") for one in NOT_IN_THE_DAEMON)]
    assert not unasked, unasked


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
