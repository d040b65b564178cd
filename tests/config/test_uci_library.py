"""The parts of the libuci reader that need no libuci; the contract suite does the rest."""

from types import SimpleNamespace

from netpolicy.config.uci_library import LibraryReader


class FakeError(Exception):
    pass


def fake_uci(content: dict) -> SimpleNamespace:
    """A stand-in for pyuci that answers with `content` ({section: (type, options)}) whatever the file says."""

    class Uci:
        def __init__(self, confdir: str, savedir: str) -> None:
            pass

        def get_all(self, package: str) -> dict:
            return {name: options for name, (_, options) in content.items()}

        def get(self, package: str, section: str) -> str:
            return content[section][0]

    return SimpleNamespace(Uci=Uci, UciException=FakeError)


def test_values_come_from_libuci_and_places_from_us(tmp_path):
    (tmp_path / "netpolicy").write_text("\nconfig a b\n\toption x ours\n\toption y ''\n")
    file = LibraryReader(fake_uci({"b": ("a", {"x": "theirs"})})).read(str(tmp_path / "netpolicy"))
    assert [(o.name, o.values, o.line) for o in file.sections[0].options] == [("x", ("theirs",), 3), ("y", ("",), 4)]


def test_there_are_no_places_when_the_file_changed_in_between(tmp_path):
    (tmp_path / "netpolicy").write_text("config a b\n\toption x y\n")
    file = LibraryReader(fake_uci({"c": ("a", {"x": ("1", "2")})})).read(str(tmp_path / "netpolicy"))
    assert (file.sections[0].name, file.sections[0].line) == ("c", 0)
    assert (file.sections[0].options[0].is_list, file.sections[0].options[0].line) == (True, 0)
