"""A room imports only from the rooms below it: docs/architecture.md, read by a machine."""

from __future__ import annotations

import ast
import sys

import pytest

from .dialect import DIALECT_FILES, DIALECT_MAY_IMPORT, DIALECT_MAY_TRY, LITE_MAY_IMPORT, dialect, module_name
from .tree import Import, imports, modules, parsed, room_of

# From the ground up. Rooms of one floor do not know each other.
FLOORS = (
    ("core",),
    ("config",),
    ("dataplane",),
    ("flows",),
    ("outbounds",),
    ("xray", "tunnels"),
    ("events", "networks"),
    ("observe",),
    ("service",),
    ("bus", "web", "cli", "lite"),
    ("daemon",),
    ("lab",),
)

# The exceptions, each with its reason.
EXCEPTIONS = {
    ("cli", "bus"): "the terminal tool asks a running daemon over the bus",
    ("web", "bus"): "the page's requests are those of the bus, in HTTP",
}
# Only inside a function, so that a router without that folder never notices.
LAZY_EXCEPTIONS = {
    ("cli", "lab"): "`netpolicy lab` exists on development machines only",
}

# A third-party package belongs to the adapters that give it a twin, and is loaded when it is used.
ADAPTERS = {
    "pyroute2": ("netpolicy/dataplane/netlink_pyroute2.py",),
    "ubus": ("netpolicy/bus/library.py",),
    "uci": ("netpolicy/config/uci_library.py",),
    "yaml": ("netpolicy/config/yaml_library.py",),
    "rich": ("netpolicy/lab/",),  # the lab has no twin: it prints plain lines instead
}

FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def every_import() -> list[Import]:
    return [found for path in modules() for found in imports(path)]


def target_room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "netpolicy" and len(parts) > 1 else ""


def fault(found: Import) -> str:
    """Why the import is not allowed, or ""."""
    source, target = room_of(found.path), target_room(found.module)
    if target not in FLOOR or source == target:
        return ""
    if target == "daemon":
        return "nothing imports the daemon"
    if (source, target) in EXCEPTIONS or FLOOR[target] < FLOOR[source]:
        return ""
    if (source, target) in LAZY_EXCEPTIONS:
        return "" if found.lazy else "only inside a function"
    return f"{source}/ must not know {target}/"


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(path) for path in modules()} - {""}
    assert rooms <= set(FLOOR), "a new room needs its place in the table and in docs/architecture.md"


def test_a_room_imports_only_from_rooms_below() -> None:
    faults = [f"{found.where}: {found.module}: {fault(found)}" for found in every_import() if fault(found)]
    assert not faults, "\n".join(faults)


def test_the_rule_can_fail() -> None:
    """The examples of the table itself, so that a hole in `fault` shows."""

    def bad(path: str, module: str, lazy: bool = False) -> str:
        return fault(Import(path, 1, module, lazy, True))

    assert bad("netpolicy/core/model.py", "netpolicy.config.uci")
    assert bad("netpolicy/bus/client.py", "netpolicy.cli.main")
    assert bad("netpolicy/lab/view.py", "netpolicy.daemon.main")
    assert bad("netpolicy/cli/main.py", "netpolicy.lab.screen")
    assert not bad("netpolicy/cli/main.py", "netpolicy.lab.screen", lazy=True)
    assert not bad("netpolicy/service/engine.py", "netpolicy.core.model")


def dialect_fault(found: Import) -> str:
    """Why a file in dialect must not have that import, or ""."""
    if not found.runs or found.module in DIALECT_MAY_IMPORT:
        return ""
    if DIALECT_MAY_TRY.get(found.path) == found.module:
        return ""
    if room_of(found.path) == "lite" and found.module in LITE_MAY_IMPORT:
        return ""
    if found.module in {module_name(path) for path in dialect()}:
        return ""
    return f"{found.module} is not in dialect"


def test_dialect_imports_nothing_that_micropython_lacks() -> None:
    found = [found for path in dialect() for found in imports(path)]
    faults = [f"{one.where}: {dialect_fault(one)}" for one in found if dialect_fault(one)]
    assert not faults, "\n".join(faults)


def test_dialect_has_no_dataclass_and_no_enum() -> None:
    """MicroPython has neither; the import test alone would miss a decorator by another name."""
    faults = [
        f"{path}:{node.lineno}: {ast.unparse(decorator)}"
        for path in dialect()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
    ]
    assert not faults, "\n".join(faults)


def test_the_list_of_the_dialect_names_files_that_exist() -> None:
    assert set(DIALECT_FILES) <= set(modules())
    assert "netpolicy/core/model.py" in dialect()


def test_the_rule_of_the_dialect_can_fail() -> None:
    def bad(module: str, runs: bool = True) -> str:
        return dialect_fault(Import("netpolicy/core/model.py", 1, module, False, runs))

    assert bad("dataclasses")
    assert bad("bisect")
    assert bad("netpolicy.service.engine")
    assert bad("__future__")
    assert not bad("collections.abc", runs=False)
    assert not bad("netpolicy.core.value")


def is_third_party(module: str) -> bool:
    name = module.split(".")[0]
    return name != "netpolicy" and name not in sys.stdlib_module_names


def test_third_party_packages_are_imported_by_their_adapter_and_late() -> None:
    faults = []
    for found in every_import():
        if not is_third_party(found.module) or not found.runs:
            continue
        homes = ADAPTERS.get(found.module.split(".")[0], ())
        if not found.path.startswith(homes or ("no adapter",)):
            faults.append(f"{found.where}: {found.module} has no place here")
        # An adapter file that is itself loaded late may import at its top.
        elif not found.lazy and not is_loaded_late(found.path):
            faults.append(f"{found.where}: {found.module} must be imported inside the function that needs it")
    assert not faults, "\n".join(faults)


def is_loaded_late(path: str) -> bool:
    """Whether every import of that file, anywhere in the package, happens inside a function."""
    module = path.removesuffix(".py").replace("/", ".")
    package, _, name = module.rpartition(".")
    uses = [
        found
        for found in every_import()
        if found.path != path and (found.module == module or (found.module == package and imports_name(found, name)))
    ]
    return bool(uses) and all(found.lazy for found in uses)


def imports_name(found: Import, name: str) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.lineno == found.line and any(a.name == name for a in node.names)
        for node in ast.walk(parsed(found.path))
    )


@pytest.mark.parametrize("path", [path for path in modules() if room_of(path) not in ("lab", "")])
def test_a_router_never_sees_the_lab(path: str) -> None:
    """The packages leave the lab out; an import of it at load time would break every start."""
    assert not [found.where for found in imports(path) if target_room(found.module) == "lab" and not found.lazy]
