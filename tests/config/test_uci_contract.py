"""One suite over every UCI reader that this machine has: the same text means the same.

A reader may refuse a text that another accepts (ours is stricter on purpose); it may
never read it differently.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpolicy.config.diagnostic import ERROR
from netpolicy.config.reader import Reader, ReaderUnavailable, open_reader
from netpolicy.config.source import SourceFile
from netpolicy.config.uci_library import load_module


def reader_or_skip(name: str) -> Reader:
    try:
        return open_reader(name)
    except ReaderUnavailable as problem:
        pytest.skip(str(problem))


@pytest.fixture(params=["builtin", "pyuci"])
def reader(request) -> Reader:
    return reader_or_skip(request.param)


def shape(file: SourceFile) -> list[tuple]:
    """What a file says, without places."""
    return [
        (one.type, one.name, one.anonymous, {option.name: (option.values, option.is_list) for option in one.options})
        for one in file.sections
    ]


def is_refused(file: SourceFile) -> bool:
    return any(item.severity == ERROR for item in file.diagnostics)


def read(reader: Reader, folder, text: str | bytes) -> SourceFile:
    path = folder / "netpolicy"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return reader.read(str(path))


def one(*options: tuple[str, tuple[str, ...], bool]) -> list[tuple]:
    return [("a", "b", False, {name: (values, is_list) for name, values, is_list in options})]


ACCEPTED = {
    "an empty file": ("", []),
    "comments and blank lines": ("# c\n\n  \t# d\n", []),
    "the package line is checked and ignored": ("package other-one\nconfig a b\n", one()),
    "single quotes": ("config a 'b'\n\toption x 'y z'\n", one(("x", ("y z",), False))),
    "no escape inside single quotes": ("config a b\noption x 'y\\n'\n", one(("x", ("y\\n",), False))),
    "a quote inside single quotes": ("config a b\noption x 'y'\\''z'\n", one(("x", ("y'z",), False))),
    "a backslash keeps the next character": ('config a b\noption x "y\\n\\"z"\n', one(("x", ('yn"z',), False))),
    "parts without a blank are one word": ("config a b\noption x 'y'\"z\"w\n", one(("x", ("yzw",), False))),
    "an escaped blank": ("config a b\noption x y\\ z\n", one(("x", ("y z",), False))),
    "a value over two lines": ("config a b\noption x 'y\nz'\n", one(("x", ("y\nz",), False))),
    "a joined line in a bare word": ("config a b\noption x y\\\nz\n", one(("x", ("yz",), False))),
    "a joined line in double quotes": ('config a b\noption x "y\\\nz"\n', one(("x", ("yz",), False))),
    "a comment that touches a word": ("config a b\noption x y#z\n", one(("x", ("y",), False))),
    "a comment that touches a quote": ("config a b\noption x 'y'#z\n", one(("x", ("y",), False))),
    "a # inside quotes": ("config a b\noption x 'y#z'\n", one(("x", ("y#z",), False))),
    "lines that end in CR LF": ("config a b\r\n\toption x y\r\n", one(("x", ("y",), False))),
    "no line end at the end": ("config a b\noption x y", one(("x", ("y",), False))),
    "first letters for words": ("c a b\no x y\nl z w\n", one(("x", ("y",), False), ("z", ("w",), True))),
    "a list": ("config a b\nlist x y\nlist x 'z w'\n", one(("x", ("y", "z w"), True))),
    "an empty list entry": ("config a b\nlist x ''\nlist x y\n", one(("x", ("", "y"), True))),
    "an option that a list goes on": ("config a b\noption x y\nlist x z\n", one(("x", ("y", "z"), True))),
    "a list that an option replaces": ("config a b\nlist x y\noption x z\n", one(("x", ("z",), False))),
    "an option twice": ("config a b\noption x y\noption x longer\n", one(("x", ("longer",), False))),
    "a set option that an empty line leaves": ("config a b\noption x y\noption x ''\n", one(("x", ("y",), False))),
    "an option without a value": ("config a b\noption x\n", one(("x", ("",), False))),
    "commands on one line": ("config a 'b'; option x 'y' ; list z w\n", one(("x", ("y",), False), ("z", ("w",), True))),
    "a section in two parts": (
        "config a b\noption x y\nconfig a c\nconfig a b\noption z w\n",
        [("a", "b", False, {"x": (("y",), False), "z": (("w",), False)}), ("a", "c", False, {})],
    ),
    "sections without names": (
        "config a\noption x y\nconfig a\n",
        [("a", "", True, {"x": (("y",), False)}), ("a", "", True, {})],
    ),
    "a section with an empty name": ("config a ''\n", [("a", "", True, {})]),
    "a name that looks generated": (
        "config a cfg01b606\nconfig a\n",
        [("a", "cfg01b606", False, {}), ("a", "", True, {})],
    ),
    "letters beyond ASCII": ("config a b\noption x 'ünï'\n", one(("x", ("ünï",), False))),
}

REFUSED = {
    "an unknown command": "konfig a b\n",
    "a command that touches a quote": "config'a' b\n",
    "a section without a type": "config\n",
    "an option without a name": "config a b\noption ''\n",
    "an option before any section": "option x y\n",
    "a third argument": "config a b\noption x y z\n",
    "two quoted values": "config a b\noption x 'y' 'z'\n",
    "a quote without an end": "config a b\noption x 'y\n",
    "a double quote without an end": 'config a b\noption x "y\\"\n',
    "a blank in a section name": "config a 'b c'\n",
    "a dash in a section name": "config a b-c\n",
    "a dash in an option name": "config a b\noption x-y z\n",
    "a blank in a type": "config 'a b'\n",
    "one name for two types": "config a b\nconfig c b\n",
    "a byte order mark": b"\xef\xbb\xbfconfig a b\n",
    "text that is not UTF-8": b"config a b\noption x '\xff'\n",
    "a ; at the end of a line": "config a 'b';\noption x y\n",
    "an empty command": "config a 'b' ; ; option x y\n",
    "a joined line that begins with a blank": "config a b\noption x \\\n  y\n",
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_every_reader_understands(reader, tmp_path, case):
    text, expected = ACCEPTED[case]
    file = read(reader, tmp_path, text)
    assert not is_refused(file), file.diagnostics
    assert shape(file) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_every_reader_refuses(reader, tmp_path, case):
    file = read(reader, tmp_path, REFUSED[case])
    assert is_refused(file)
    assert all(item.file.endswith("/netpolicy") for item in file.diagnostics)


def test_what_libuci_loses_is_an_error_for_every_reader(reader, tmp_path):
    lost = read(reader, tmp_path, "config a b\n\toption x y; option z w\n")
    assert [(item.line, item.column) for item in lost.diagnostics] == [(2, 12)]
    cut = read(reader, tmp_path, b"config a b\n\toption x 'y\0z'\n")
    assert is_refused(cut)


def test_options_carry_their_places(reader, tmp_path):
    file = read(reader, tmp_path, "# c\nconfig a b\n\toption x 'y\nz'\n  list w v\n")
    assert file.sections[0].line == 2
    assert [(o.name, o.line, o.column) for o in file.sections[0].options] == [("x", 3, 2), ("w", 5, 3)]


def test_a_missing_file_a_folder_and_a_pipe_are_findings(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        file = reader.read(str(path))
        assert [item.code for item in file.diagnostics] == ["NP001"]
        assert file.sections == ()


def test_any_path_can_be_read(reader, tmp_path, monkeypatch):
    folder = tmp_path / "rules.d" / "a=b c"
    folder.mkdir(parents=True)
    (folder / "guests-1.conf").write_text("config a b\noption x y\n")
    monkeypatch.chdir(folder)
    for path in (str(folder / "guests-1.conf"), "guests-1.conf"):
        assert shape(reader.read(path)) == one(("x", ("y",), False))


def test_staged_changes_of_others_are_not_seen(reader, tmp_path):
    """A half-finished edit of an administrator waits in libuci's default folder."""
    module = load_module()
    if module is None:
        pytest.skip("nothing can be staged without libuci")
    name = f"netpolicy_contract_{os.getpid()}"
    (tmp_path / name).write_text("config a b\n\toption x y\n")
    context = module.Uci(confdir=str(tmp_path))
    context.set(name, "b", "x", "staged")
    context.save(name)
    staged = Path("/tmp/.uci") / name
    try:
        assert staged.exists(), "the test needs a staged change"
        assert shape(reader.read(str(tmp_path / name))) == one(("x", ("y",), False))
    finally:
        staged.unlink(missing_ok=True)


WORDS = st.text(st.sampled_from("ab1_'\"\\ \t;#\n\r=é"), max_size=8)
IDENTIFIERS = st.text(st.sampled_from("ab1_"), min_size=1, max_size=3)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@st.composite
def regular_files(draw) -> tuple[str, list]:
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.one_of(st.just(""), IDENTIFIERS))
        lines.append(f"config t {quoted(name)}")
        for _ in range(draw(st.integers(0, 4))):
            keyword = draw(st.sampled_from(["option", "list"]))
            lines.append(f"\t{keyword} {draw(IDENTIFIERS)} {quoted(draw(WORDS))}")
    return "\n".join(lines) + "\n"


MESS = st.lists(
    st.one_of(
        st.sampled_from(
            ["config a b", "option x", "list y", "config", "\n", "\n\t", ";", " ; ", "#", "\\\n", "package p"]
        ),
        st.sampled_from(["'", '"', "\\", " ", "x", "'q r'", '"s\\"t"', "\r\n", "o k v", "\t"]),
    ),
    max_size=14,
).map("".join)

relaxed = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(text=regular_files())
def test_regular_files_mean_the_same_to_both(tmp_path, text):
    ours = read(open_reader("builtin"), tmp_path, text)
    assert not is_refused(ours), ours.diagnostics
    assert shape(ours) == shape(read(reader_or_skip("pyuci"), tmp_path, text))


@relaxed
@given(text=MESS)
def test_a_mess_that_both_accept_means_the_same_to_both(tmp_path, text):
    library = reader_or_skip("pyuci")
    ours = read(open_reader("builtin"), tmp_path, text)
    theirs = read(library, tmp_path, text)
    if is_refused(ours):
        return
    assert not is_refused(theirs), (text, theirs.diagnostics)
    assert shape(ours) == shape(theirs)
