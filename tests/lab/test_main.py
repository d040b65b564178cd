"""The lab's command line: refusals a person can act on, and plain lines where there is no terminal."""

from __future__ import annotations

import time

import pytest

from netpolicy.lab import main
from netpolicy.lab.story import STARTING_SECONDS
from tests.lab.lab_terminal import Session


def test_a_configuration_that_cannot_be_read_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--config", "/nowhere/netpolicy"]) == 4
    assert "cannot read /nowhere/netpolicy" in capsys.readouterr().err


@pytest.mark.kernel
def test_it_prints_plain_lines_and_none_that_looks_broken_while_the_daemon_starts() -> None:
    begin = time.monotonic()
    with Session() as lab:
        lab.wait_for("netpolicy  state NORMAL")
        took = time.monotonic() - begin
        lab.wait_for("connection desk http www v4: rule -, outbound direct, from A")
        lab.wait_for("connection guest mail mail v4: rule guest_no_mail, outbound block, refused")
        printed = "".join(lab.printed)
        assert lab.end() == 0
    assert "\x1b" not in printed
    if took < STARTING_SECONDS:  # later it is told what is missing, as it should be
        assert printed.startswith("netpolicy  starting …\nnetpolicy  state NORMAL")
        assert not [word for word in ("silent", " down ", "OUT OF STEP") if word in printed]
    # Clients that begin before addresses are translated see nothing else; one may be late by itself.
    assert printed.count("timeout") <= 1
