"""Read a UCI file with libuci, through pyuci.

Never writes, commits or sees staged changes: only what is in the file. Values and their
types come from libuci; line and column come from our own reader, which also reports what
libuci does silently. Facts about pyuci 0.10.3: tests/config/test_uci_contract.py.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.source import Option, Section, SourceFile
from netpolicy.config.uci import BuiltinReader

# libuci names an anonymous section by counter and hash; nothing else tells it from a named one.
GENERATED_NAME = re.compile(r"cfg[0-9a-f]{6}")

# No folder can be below /dev/null, so that libuci finds nothing but the file that it is asked for.
NOWHERE = "/dev/null/none"


def load_module() -> ModuleType | None:
    """The `uci` module of pyuci, or None where it is not installed (or is another package of that name)."""
    try:
        import uci  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # also: the module is there, libuci.so is not
        return None
    return uci if hasattr(uci, "Uci") else None  # type: ignore[no-any-return, unused-ignore]


class LibraryReader:
    """The reader over pyuci. A new libuci context per file: an open one keeps old values (measured)."""

    name = "pyuci"

    def __init__(self, module: ModuleType) -> None:
        self._uci: Any = module

    def read(self, path: str) -> SourceFile:
        """The file at `path`, as libuci understands it."""
        ours = BuiltinReader().read(path)
        if any(item.code in ("NP001", "NP004") for item in ours.diagnostics):
            return ours  # libuci has no limit on size and would say less
        try:
            found = self._sections(path)
        except self._uci.UciException:
            if _findings_of(ours).has_errors:
                return SourceFile(path, (), ours.diagnostics)
            return _refused(ours, "NP003", "libuci refuses the file")
        except OSError as problem:
            return _refused(ours, "NP001", f"failed to read {path}: {problem.strerror}")
        except UnicodeDecodeError:
            return _refused(ours, "NP002", "libuci found text that is not UTF-8")
        return SourceFile(path, _placed(found, ours.sections), ours.diagnostics)

    def _sections(self, path: str) -> list[Section]:
        """What libuci finds in the file.

        Asked by path, because by name libuci also applies the staged changes of its default folder,
        whatever folder it is given (measured), and prefers a copy in /var/run/uci. The path is
        that of an open file, because a "." anywhere in a path is refused (measured). Once loaded,
        a file goes by its base name, and `get` of a section is the section's type.
        """
        context = self._uci.Uci(confdir=NOWHERE, savedir=NOWHERE)
        with Path(path).open("rb") as stream:
            package = str(stream.fileno())
            found = context.get_all(f"/proc/self/fd/{package}")
        return [_section(name, context.get(package, name), options) for name, options in found.items()]


def _findings_of(file: SourceFile) -> Findings:
    """The file's diagnostics, countable."""
    findings = Findings()
    findings.take(file.diagnostics)
    return findings


def _refused(ours: SourceFile, code: str, message: str) -> SourceFile:
    findings = _findings_of(ours)
    findings.error(code, Place(ours.file), message)
    return SourceFile(ours.file, (), findings.all)


def _section(name: str, type: str, options: dict[str, Any]) -> Section:
    anonymous = GENERATED_NAME.fullmatch(name) is not None
    read = tuple(
        Option(key, value if isinstance(value, tuple) else (value,), isinstance(value, tuple))
        for key, value in options.items()
    )
    return Section(type, "" if anonymous else name, anonymous, 0, read)


def _placed(found: list[Section], ours: tuple[Section, ...]) -> tuple[Section, ...]:
    """libuci's sections with our places, and with the empty options that libuci drops.

    Without places where the two differ in shape: the file changed between the two reads.
    """
    if [(one.type, one.name) for one in _named(found, ours)] != [(one.type, one.name) for one in ours]:
        return tuple(found)
    return tuple(_placed_section(one, place) for one, place in zip(_named(found, ours), ours, strict=True))


def _named(found: list[Section], ours: tuple[Section, ...]) -> list[Section]:
    """The same sections; one that only looks generated gets the name that the file gives it."""
    given = {one.name for one in ours if GENERATED_NAME.fullmatch(one.name)}
    if not given:
        return found
    return [
        Section(one.type, place.name, not place.name, 0, one.options) for one, place in zip(found, ours, strict=False)
    ]


def _spots(found: Option, ours: Option) -> tuple[int, ...]:
    return ours.spots if len(ours.spots) == len(found.values) else ()


def _placed_section(found: Section, ours: Section) -> Section:
    options = []
    values = {option.name: option for option in found.options}
    for place in ours.options:
        option = values.pop(place.name, None)
        if option is not None:
            options.append(
                Option(option.name, option.values, option.is_list, place.line, place.column, _spots(option, place))
            )
        elif place.values == ("",):
            options.append(place)
    return Section(found.type, ours.name, ours.anonymous, ours.line, (*options, *values.values()))
