"""Thirty of the random stories of `make soak`, with seeds that stay the same."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.chaos import ACCIDENTS, story
from tests.acceptance.soak import soak
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

COUNT, FIRST = 30, 1
THROTTLES, NAMES = (re.compile(words) for words in (r"option (?:up|down|per) '.*'", r"list domain '.*'"))


@pytest.mark.slow  # thirty lives of a router
@pytest.mark.timeout(600)
def test_whatever_happens_in_the_middle_everything_is_old_or_everything_is_new() -> None:
    ended, wrong = soak(COUNT, FIRST, 2)
    assert not wrong, "\n\n".join(wrong)
    assert sum(ended.values()) == COUNT


def test_the_seeds_of_the_suite_tell_of_many_accidents() -> None:
    assert len({story(seed).accident for seed in range(FIRST, FIRST + COUNT)}) >= len(set(ACCIDENTS)) - 3


def test_the_seeds_of_the_suite_tell_of_limits_and_of_names() -> None:
    told = [story(seed) for seed in range(FIRST, FIRST + COUNT)]
    for words in (THROTTLES, NAMES):
        changed = [one for one in told if set(words.findall(one.old)) != set(words.findall(one.new))]
        assert len(changed) >= 10, words.pattern
