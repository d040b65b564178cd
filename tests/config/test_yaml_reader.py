"""Which reader is chosen, and what both doors give."""

import subprocess
import sys

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import plain
from netpolicy.config.reader import ReaderUnavailable
from netpolicy.config.yaml_library import load_module
from netpolicy.config.yaml_reader import YAML_READERS, read_yaml, read_yaml_data

from .yaml_case import places


@pytest.mark.parametrize("reader", YAML_READERS)
def test_every_choice_reads(reader):
    if reader == "pyyaml" and load_module() is None:
        pytest.skip("PyYAML is not installed")
    findings = Findings()
    assert plain(read_yaml("a: [1, 'b']\r\n", "f", findings, reader)) == {"a": [1, "b"]}
    assert not findings.all
    assert read_yaml("a: *b", "f", findings, reader) is None
    assert places(findings) == [("NP003", 1, 4)]


def test_auto_shows_every_mistake_whatever_read_the_file():
    findings = Findings()
    assert read_yaml("a: *b\nc: *d\n", "f", findings) is None
    assert places(findings) == [("NP003", 1, 4), ("NP003", 2, 4)]


def test_an_unknown_reader_says_which_there_are():
    with pytest.raises(ReaderUnavailable, match="auto, pyyaml, builtin"):
        read_yaml("", "f", Findings(), "magic")


def test_bytes_are_decoded_strictly():
    findings = Findings()
    assert plain(read_yaml_data("a: é".encode(), "f", findings)) == {"a": "é"}
    assert read_yaml_data(b"a: \xff", "f", findings) is None
    assert read_yaml_data(b"\xef\xbb\xbfa: 1", "f", findings) is None
    assert places(findings) == [("NP002", 1, 0), ("NP002", 1, 1)]


def test_our_own_reader_loads_neither_pyyaml_nor_the_uci_reader():
    code = (
        "import sys; from netpolicy.config.diagnostic import Findings\n"
        "from netpolicy.config.yaml_reader import read_yaml; read_yaml('a: 1', 'f', Findings(), 'builtin')\n"
        "print([m for m in ('yaml', '_yaml', 'netpolicy.config.uci', 'typing_extensions') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
