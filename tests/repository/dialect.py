"""The files that are written in the MicroPython dialect, and what such a file may import.

One list for the tests that read the sources and for those that run them on a real MicroPython.
It only grows. Data: names of rooms and files of the package.
"""

from __future__ import annotations

from .tree import modules, room_of

# Every file of these rooms.
DIALECT_ROOMS = ("core", "lite")

# The rest of the package, file by file.
DIALECT_FILES = (
    "netpolicy/__init__.py",
    "netpolicy/config/__init__.py",
    "netpolicy/config/assemble.py",
    "netpolicy/config/diagnostic.py",
    "netpolicy/config/dsl.py",
    "netpolicy/config/dsl_block.py",
    "netpolicy/config/dsl_rule.py",
    "netpolicy/config/dsl_section.py",
    "netpolicy/config/dsl_word.py",
    "netpolicy/config/format_dsl.py",
    "netpolicy/config/lint.py",
    "netpolicy/config/loaded.py",
    "netpolicy/config/main.py",
    "netpolicy/config/nearest.py",
    "netpolicy/config/outbound.py",
    "netpolicy/config/parts.py",
    "netpolicy/config/print_dsl.py",
    "netpolicy/config/print_uci.py",
    "netpolicy/config/references.py",
    "netpolicy/config/rule.py",
    "netpolicy/config/schema.py",
    "netpolicy/config/section.py",
    "netpolicy/config/source.py",
    "netpolicy/config/spelling.py",
    "netpolicy/config/uci_section.py",
    "netpolicy/config/uci_text.py",
    "netpolicy/config/uci_word.py",
    "netpolicy/config/unload.py",
    "netpolicy/config/value.py",
    "netpolicy/dataplane/__init__.py",
    "netpolicy/dataplane/areas.py",
    "netpolicy/dataplane/boxes.py",
    "netpolicy/dataplane/arrange.py",
    "netpolicy/dataplane/boxes.py",
    "netpolicy/dataplane/groups.py",
    "netpolicy/dataplane/kept.py",
    "netpolicy/dataplane/labels.py",
    "netpolicy/dataplane/limits.py",
    "netpolicy/dataplane/marks.py",
    "netpolicy/dataplane/names.py",
    "netpolicy/dataplane/learned_sets.py",
    "netpolicy/dataplane/overlaps.py",
    "netpolicy/dataplane/own_tunnels.py",
    "netpolicy/dataplane/policy.py",
    "netpolicy/dataplane/record.py",
    "netpolicy/dataplane/routing.py",
    "netpolicy/dataplane/rows.py",
    "netpolicy/dataplane/script.py",
    "netpolicy/dataplane/sets.py",
    "netpolicy/dataplane/shape.py",
    "netpolicy/dataplane/shares.py",
    "netpolicy/dataplane/state.py",
    "netpolicy/dataplane/chains.py",
    "netpolicy/dataplane/table.py",
    "netpolicy/outbounds/__init__.py",
    "netpolicy/outbounds/group_order.py",
    "netpolicy/outbounds/lines.py",
    "netpolicy/service/__init__.py",
    "netpolicy/service/compile.py",
    "netpolicy/service/standing.py",
    "netpolicy/service/devices.py",
)

# What MicroPython's standard library also has, and what code without I/O may use of it.
DIALECT_MAY_IMPORT = {"array", "binascii", "collections", "hashlib", "json", "math", "struct"}

# Tried, with a fallback beside it, because one of the two interpreters has it, or has it in C.
DIALECT_MAY_TRY = {"netpolicy/core/bisection.py": "bisect", "netpolicy/dataplane/sets.py": "zlib"}

# What only the program itself may use: it meets files, a clock and arguments.
LITE_MAY_IMPORT = {"os", "sys", "time"}


def dialect() -> tuple[str, ...]:
    """The paths of the files in dialect."""
    return tuple(path for path in modules() if room_of(path) in DIALECT_ROOMS or path in DIALECT_FILES)


def module_name(path: str) -> str:
    """netpolicy.core.model for netpolicy/core/model.py, netpolicy.core for its __init__.py."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
