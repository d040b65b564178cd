"""A sample of `python -m tests.acceptance.leaks`: a few accidents of one seed; a power cut, a daemon that
dies, rules that somebody flushes, and a line that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.leaks import play
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

# Chosen for what happens in few events (SEED tells `random` all of it), and for short waits between them.
EVENTS, SEED = 7, 11473


def test_nothing_that_may_leave_by_one_line_alone_is_seen_on_the_other(tmp_path: Path) -> None:
    seen, leaks = play(tmp_path, EVENTS, SEED)
    assert leaks == []
    assert {what for what, count in seen.items() if count > 20} == {
        f"eth0 {family} {protocol}" for family in ("IPv4", "IPv6") for protocol in (6, 17)
    }
