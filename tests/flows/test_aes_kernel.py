"""AES by the kernel: what it computes where it has AF_ALG, and what is said where it has not."""

from __future__ import annotations

import errno
import socket

import pytest

from netpolicy.flows.aes_kernel import KernelAes
from netpolicy.flows.quic_crypto import is_right
from tests.own_process import open_now


def test_the_kernel_computes_rightly():
    try:
        cipher = KernelAes()
    except OSError as error:
        pytest.skip(f"this kernel: {error}")
    assert is_right(cipher) and not cipher.is_costly
    before = open_now()
    for _ in range(10):
        cipher.block(bytes(16), bytes(16))
        cipher.open(bytes(16), bytes(12), b"", bytes(40))
    assert open_now() <= before


def test_a_kernel_without_it_is_an_error_that_says_so(monkeypatch):
    monkeypatch.delattr(socket, "AF_ALG")
    with pytest.raises(OSError, match="AF_ALG") as refused:
        KernelAes()
    assert refused.value.errno == errno.EAFNOSUPPORT
