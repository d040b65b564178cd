"""The record of a pending change: what was printed is read again, and nothing else is read as one."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.pending import ABSENT, Pending, Unreadable, parse_record, print_record

RECORD = Pending(
    id="r0123abcd",
    nonce="0f" * 16,
    boot_id="6a1c7d5e-1111-4222-8333-444455556666",
    state="armed",
    deadline=1200,
    applier_pid=812,
    applier_start=44512,
    old=7,
    new=8,
    config="/etc/config/netpolicy",
    old_sha256="a" * 64,
    new_sha256="b" * 64,
    store="/etc/netpolicy",
    run="/var/run/netpolicy",
    bundle_sha256="c" * 64,
    sealed=1,
)
TEXT = print_record(RECORD)


def test_what_was_printed_is_read_again():
    assert parse_record(TEXT) == RECORD
    later = replace(RECORD, old_sha256=ABSENT, old=0).with_state("await").with_deadline(1300)
    assert parse_record(print_record(later)) == later


def test_a_verdict_counts_only_with_the_nonce():
    assert replace(RECORD, verdict=f"confirmed {RECORD.nonce}").is_confirmed
    for verdict in ("confirmed " + "0" * 32, "confirmed", "revert deadline", "x"):
        found = replace(RECORD, verdict=verdict)
        assert found.is_refused and not found.is_confirmed
    assert not RECORD.is_confirmed and not RECORD.is_refused


WRONG = {
    "ID": ("r0123ABCD", "0123abcd", "r0123abc"),
    "NONCE": ("0" * 31, "g" * 32),
    "STATE": ("ready", ""),
    "DEADLINE": ("-1", "010", "1.5", "99999999999"),
    "APPLIER_PID": ("0", "$(id)"),
    "OLD": ("1000000", "07"),
    "CONFIG": ("etc/config", "/etc/../shadow", "/etc//x", "/etc/a b", "/etc/x;reboot", "/", "/" + "a" * 240),
    "STORE": ("/etc/./netpolicy",),
    "OLD_SHA256": ("none", "A" * 64),
    "SEALED": ("2", "yes"),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_an_odd_value_is_refused(key, value):
    lines = [f"{key}={value}" if line.startswith(f"{key}=") else line for line in TEXT.splitlines()]
    with pytest.raises(Unreadable, match=key):
        parse_record("\n".join(lines))


def test_a_line_too_few_twice_or_unknown_is_refused():
    lines = TEXT.splitlines()
    for number in range(len(lines)):
        with pytest.raises(Unreadable, match="missing"):
            parse_record("\n".join(lines[:number] + lines[number + 1 :]))
        with pytest.raises(Unreadable, match="twice"):
            parse_record("\n".join([*lines, lines[number]]))
    for more in ("PATH=/tmp", "ID", "", "id=r0123abcd"):
        with pytest.raises(Unreadable):
            parse_record(f"{TEXT}{more}\n")
    with pytest.raises(Unreadable, match="too many"):
        parse_record("x\n" * 40)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Unreadable):
        assert parse_record(print_record(parse_record(text)))


def test_a_value_that_the_shell_would_refuse_is_never_written():
    with pytest.raises(ValueError, match="CONFIG"):
        print_record(replace(RECORD, config="/etc/config/net policy"))
