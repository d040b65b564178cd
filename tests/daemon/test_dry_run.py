"""One decision on paper from a file: printed, with the status that scripts look at."""

from __future__ import annotations

import json
import os

import pytest

from netpolicy.daemon import arguments
from netpolicy.daemon.dry_run import main
from tests.service.parts import CONFIG


@pytest.fixture
def ask(tmp_path, capsys):
    def asked(text: str | None, *words: str) -> tuple[int, str, str]:
        path = tmp_path / "netpolicy"
        if text is not None:
            path.write_text(text)
        status = main(arguments.parse(["--config", str(path), "--dry-run", *words]))
        told = capsys.readouterr()
        return status, told.out, told.err

    return asked


def test_the_rule_is_printed_as_the_predecessor_did(ask):
    status, out, _ = ask(CONFIG, "--protocol", "tcp", "--port", "443")
    assert status == 0
    assert out.splitlines()[:3] == [
        "dry-run decision: state=NORMAL rule=video",
        "context: protocol=tcp port=443",
        "action: route wan_b",
    ]


def test_as_a_document(ask):
    status, out, _ = ask(CONFIG, "--fact", "src_addr=192.168.3.9", "--port", "25", "--json")
    found = json.loads(out)
    assert (status, found["rule"], found["outbound"]) == (0, "mail", "block")


@pytest.mark.parametrize("text", ["config rule 'x", None])
def test_a_file_that_cannot_be_used_is_named_and_the_status_is_one(ask, text):
    status, out, err = ask(text, "--port", "1")
    assert (status, out) == (1, "") and "netpolicy" in err and "Traceback" not in err


def test_it_touches_nothing(ask, tmp_path):
    ask(CONFIG, "--port", "1")
    assert os.listdir(tmp_path) == ["netpolicy"]
