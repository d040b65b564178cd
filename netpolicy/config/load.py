"""Load a configuration from files or texts: find the front end, read, put together.

The only part of config that opens files. Never decides what a text means, raises nothing for
what a file contains. Further files and files of lists come from known folders only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from netpolicy.config.assemble import Assembly, Loaded
from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.list_file import ListFiles
from netpolicy.config.list_source import ListSources
from netpolicy.config.reader import Reader, ReaderUnavailable, open_reader
from netpolicy.config.section import place_of
from netpolicy.config.source import Option, SourceFile
from netpolicy.config.spelling import DSL, UCI, YAML, format_of
from netpolicy.config.text_file import MAX_BYTES, decode, read_bytes
from netpolicy.config.uci import read_text as read_uci

MAX_FILES = 64

# Beside the folder of the main file. Whoever may write the configuration must not have any file
# of the system read and its mistakes shown.
FURTHER_FILES = ("/etc/netpolicy", "/etc/config")


def load(
    path: str,
    reader: str = "auto",
    needs_main: bool = True,
    keeps_sources: bool = False,
    instead: Mapping[str, bytes] | None = None,
    kept: str = "",
    fresh: Collection[str] = (),
) -> Loaded:
    """The configuration in a file and in the files that its main section lists.

    Without a main section it is fatal: a full disk leaves an empty file, and that must not
    switch off what is running. Tools that look at rules alone set `needs_main` to False.
    `instead` has the content, by path, of main and further files that are taken for what is on disk.
    `kept` is the folder with the copies of fetched lists; of those in `fresh` the one that is still to be tried counts.
    """
    folders = _Folders(path, instead or {})
    sources = ListSources(folders.named, kept, fresh)
    assembly = Assembly(sources.entries, keeps_sources)
    sources.lists = ListFiles(assembly.findings)
    assembly.fits = sources.lists.fits
    try:
        chosen = open_reader(reader)
    except ReaderUnavailable as problem:
        assembly.break_off("NP001", Place(path), str(problem))
        return assembly.finish()
    includes = assembly.begin(folders.read(path, chosen))
    if includes is not None:
        _take_includes(assembly, folders, includes, chosen)
    loaded = assembly.finish()
    loaded.paths = tuple(folders.paths)
    return _with_main(assembly, loaded, path, needs_main)


def load_alone(path: str, reader: str = "auto") -> Loaded:
    """The one file, without the files that it lists: for converting and formatting it."""
    assembly = Assembly(keeps_sources=True)
    try:
        assembly.begin(read_file(path, open_reader(reader)))
    except ReaderUnavailable as problem:
        assembly.break_off("NP001", Place(path), str(problem))
    return assembly.finish()


def load_text(text: str, file: str = "<text>", format: str = UCI, keeps_sources: bool = False) -> Loaded:
    """The configuration in a text alone; further files that it lists are reported, not read.

    A text may be a part: that it has no main section is not reported.
    """
    assembly = Assembly(keeps_sources=keeps_sources)
    includes = assembly.begin(read_source(text, file, format))
    if includes is not None:
        place = Place(file, includes.line, includes.column)
        for name in includes.values:
            assembly.findings.warning("NP007", place, f"{name} is not read: only a text was given")
    return assembly.finish()


def read_file(path: str, reader: Reader) -> SourceFile:
    """The sections of a file in the format that its name says."""
    format = format_of(path)
    if format == UCI:
        return reader.read(path)
    findings = Findings()
    data = read_bytes(path, findings)
    text = None if data is None else decode(data, path, findings)
    return SourceFile(path, (), findings.all) if text is None else read_source(text, path, format)


def read_source(text: str, file: str, format: str) -> SourceFile:
    """The sections of a text in that format."""
    if len(text) > MAX_BYTES:
        findings = Findings()
        findings.error("NP004", Place(file), f"the text is larger than {MAX_BYTES >> 20} MiB")
        return SourceFile(file, (), findings.all)
    return FRONT_ENDS[format](text, file)


def _read_dsl(text: str, file: str) -> SourceFile:
    from netpolicy.config.dsl import read_dsl  # most routers have UCI alone

    return read_dsl(text, file)


def _read_yaml(text: str, file: str) -> SourceFile:
    from netpolicy.config.yaml_sections import read_yaml_source

    return read_yaml_source(text, file)


FRONT_ENDS: dict[str, Callable[[str, str], SourceFile]] = {UCI: read_uci, DSL: _read_dsl, YAML: _read_yaml}


def _with_main(assembly: Assembly, loaded: Loaded, path: str, needed: bool) -> Loaded:
    """Report a file without a main section, unless it is unusable as it is."""
    if loaded.fatal or loaded.ruleset.has_main:
        return loaded
    text = "there is no main section: config netpolicy 'main'"
    if needed:
        hint = "to switch off write one with option enabled '0'; an empty or cut file is not taken for that"
        assembly.break_off("NP210", Place(path), text, hint)
        loaded.fatal = True
    else:
        hint = "it can be tried, or be listed as a ruleset of another file; alone it is not applied"
        assembly.findings.warning("NP210", Place(path), text, hint)
    loaded.diagnostics = assembly.findings.all
    return loaded


def _take_includes(assembly: Assembly, folders: _Folders, includes: Option, reader: Reader) -> None:
    place = Place(folders.main, includes.line, includes.column)
    if len(includes.values) > MAX_FILES:
        assembly.break_off("NP007", place, f"more than {MAX_FILES} files", "join some of them")
        return
    seen = {_resolved(folders.main)}
    for name in includes.values:
        path = folders.path_of(name)
        if not folders.allows(path):
            text = f"{name}: a further file must be in the folder of the main file, " + " or ".join(FURTHER_FILES)
            assembly.break_off("NP007", place, text, "move it there; a link to it elsewhere does not count")
        elif _resolved(path) in seen:
            assembly.break_off("NP007", place, f"{name} is included twice, or includes itself")
        else:
            seen.add(_resolved(path))
            at = place_of(includes, Place(folders.main), name)
            assembly.add(_listed(folders.read(path, reader), at))


def _listed(file: SourceFile, at: Place) -> SourceFile:
    """The same; that it cannot be read is told at the line that lists it: there is the mistake to correct."""
    if all(item.code != "NP001" for item in file.diagnostics):
        return file
    findings = Findings()
    for item in file.diagnostics:
        hint = "correct the path, which begins at the folder of the main file, or remove the line"
        text = item.message if file.file in item.message else f"{file.file}: {item.message}"
        findings.error(item.code, at, text, hint)
    return SourceFile(file.file, file.sections, findings.all)


class _Folders:
    """Where a configuration may have further files, and the entries of its lists' files."""

    def __init__(self, main: str, instead: Mapping[str, bytes]) -> None:
        self.main = main
        self.paths: dict[str, None] = {}  # all that were looked for, in their order
        self._instead = instead
        self._allowed = (_resolved(str(Path(main).parent)), *map(_resolved, FURTHER_FILES))

    def path_of(self, name: str) -> str:
        """The path of a file that the configuration names."""
        return str(Path(self.main).parent / name)

    def allows(self, path: str) -> bool:
        """Whether the file, its links followed, is in one of the folders."""
        found = Path(_resolved(path))
        return any(found.is_relative_to(folder) for folder in self._allowed)

    def read(self, path: str, reader: Reader) -> SourceFile:
        """The sections of the main file or a further one."""
        self.paths[path] = None
        data = self._instead.get(path)
        if data is None:
            return read_file(path, reader)
        findings = Findings()
        text = decode(data, path, findings)
        return SourceFile(path, (), findings.all) if text is None else read_source(text, path, format_of(path))

    def named(self, name: str, place: Place, findings: Findings) -> str:
        """The path of a list's file; "" after an error was reported."""
        path = self.path_of(name)
        if self.allows(path):
            self.paths[path] = None
            return path
        text = f"{name}: a list's file must be in the folder of the main file, " + " or ".join(FURTHER_FILES)
        findings.error("NP007", place, text, "move it there; a link to it elsewhere does not count")
        return ""


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL byte: reading will say so
        return path
