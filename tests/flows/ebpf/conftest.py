"""The program under test, loaded once for a file, and why it cannot be where it cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.maps import ARRAY, Map

from .trial import Trial


def refusal() -> str:
    """Why this process may not use BPF; "" where it may. The root of a user namespace may not."""
    if os.geteuid():
        return "bpf(2) needs root"
    try:
        Map("np_trial", ARRAY, 4, 4, 1).close()
    except BpfError as error:
        return f"no BPF here: {error}"
    return ""


@pytest.fixture(scope="session")
def bpf() -> None:
    """Skips where there is no BPF."""
    if reason := refusal():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def loaded(bpf: None) -> Iterator[Trial]:
    """One for all tests of a file: the verifier takes its time."""
    shown = Trial()
    yield shown
    shown.close()


@pytest.fixture
def shown(loaded: Trial) -> Trial:
    """As if it was new."""
    loaded.forget()
    return loaded
