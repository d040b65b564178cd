"""The command line of netpolicyd; K10 and K11 are the predecessor's cases."""

from __future__ import annotations

import pytest

from netpolicy.core.facts import parse_facts
from netpolicy.daemon.arguments import parse

CONFIG = ["--config", "/etc/config/netpolicy"]


def ended(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        parse(argv)
    captured = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, captured.out, captured.err


def test_k10_without_a_configuration_the_usage_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended([], capsys)
    assert (code, out) == (1, "")
    assert err.startswith("usage: netpolicyd")


def test_k11_an_unknown_option_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(["--bogus-flag"], capsys)
    assert (code, out) == (2, "")
    assert "--bogus-flag" in err


def test_help_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ended(["--help"], capsys)
    assert code == 0
    assert "--dry-run" in out


def test_the_command_line_of_the_init_script() -> None:
    options = parse([*CONFIG, "--foreground", "--release", "0.1.0-1"])
    assert (options.config, options.foreground, options.dry_run, options.mode) == (CONFIG[1], True, False, None)
    assert (options.state_dir, options.socket, options.log_level) == ("/var/run/netpolicy", None, "info")


def test_every_option_arrives() -> None:
    options = parse([*CONFIG, "--mode", "observe", "--state-dir", "/tmp/x", "--socket", "/s", "--log-level", "debug"])
    assert (options.mode, options.state_dir, options.socket, options.log_level) == ("observe", "/tmp/x", "/s", "debug")


def test_facts_of_a_dry_run_are_parsed() -> None:
    options = parse([*CONFIG, "--dry-run", "--sni", "a.zoom.us", "--protocol", "tcp", "--port", "443", "--latency-ms",
                     "12.5", "--rtt-ms", "9", "--state", "degraded", "--fact", "src_addr=192.168.1.7"])  # fmt: skip
    assert options.state == "DEGRADED"
    assert options.given == {"sni": "a.zoom.us", "protocol": "tcp", "port": "443", "latency_ms": "12.5", "rtt_ms": "9",
                             "state": "degraded", "src_addr": "192.168.1.7"}  # fmt: skip
    expected = parse_facts({name: text for name, text in options.given.items() if name != "state"})
    assert all(getattr(options.facts, name) == getattr(expected, name) for name in expected.__slots__)


def test_without_a_state_it_is_normal() -> None:
    assert parse([*CONFIG, "--dry-run", "--json"]).state == "NORMAL"


@pytest.mark.parametrize(
    "words",
    [
        ["--dry-run", "--port", "abc"],
        ["--dry-run", "--port", "70000"],
        ["--dry-run", "--port", ""],
        ["--dry-run", "--port", "-1"],
        ["--dry-run", "--protocol", "tpc"],
        ["--dry-run", "--latency-ms", "fast"],
        ["--dry-run", "--latency-ms", "nan"],
        ["--dry-run", "--rtt-ms", "-5"],
        ["--dry-run", "--state", "GOOD"],
        ["--dry-run", "--sni", "x" * 300],
        ["--dry-run", "--sni", "\udcff"],
        ["--dry-run", "--fact", "src_addr"],
        ["--dry-run", "--fact", "=1"],
        ["--dry-run", "--fact", "nonsense=1"],
        ["--dry-run", "--fact", "src_addr=300.0.0.1"],
        ["--dry-run", "--port", "1", "--fact", "port=2"],
        ["--dry-run", "--port", "1", "--fact", "dest_port=2"],
        ["--port", "443"],
        ["--state", "normal"],
        ["--json"],
        ["--mode", "off"],
        ["--log-level", "loud"],
        ["--dry"],
        ["--web"],
        ["word"],
        ["--socket"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended([*CONFIG, *words], capsys)
    assert (code, out) == (2, "")
    assert "error: " in err and "Traceback" not in err
