"""AES by libcrypto: what is there, and what is not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netpolicy.flows import aes_libcrypto
from netpolicy.flows.quic_crypto import is_right


def test_the_library_computes_rightly():
    try:
        cipher = aes_libcrypto.LibCrypto()
    except OSError as error:
        pytest.skip(str(error))
    assert is_right(cipher) and not cipher.is_costly


def test_without_the_library_it_says_so(monkeypatch):
    monkeypatch.setattr(aes_libcrypto, "NAMES", ("libnetpolicy-has-no-such.so.3",))
    with pytest.raises(OSError, match="no-such"):
        aes_libcrypto.LibCrypto()


def test_importing_it_loads_no_library():
    code = "import sys; import netpolicy.flows.aes_libcrypto, netpolicy.flows.reader; sys.exit('ctypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-S", "-c", code], check=False).returncode == 0
