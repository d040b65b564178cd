"""What dnsmasq is told: short lines that it takes, the union of the sets above, nothing that it would do otherwise."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Field
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.learned_sets import base_name, set_name
from netpolicy.service.dnsmasq_text import LONGEST_LINE, MOST_NAMES, render


def text_of(*fields: Field) -> dict[str, set[str]]:
    """The sets by name, as the lines say."""
    found: dict[str, set[str]] = {}
    for line in render({base_name(field): field for field in fields}).text.splitlines():
        if line.startswith("nftset=/"):
            *names, into = line[len("nftset=/") :].split("/")
            for name in names:
                found[name] = set(into.split(","))
    return found


def sets(*fields: Field) -> set[str]:
    return {f"{family}#inet#netpolicy#{set_name(base_name(field), family)}" for field in fields for family in (4, 6)}


def domain(*values: str, lists: Lists | None = None) -> Field:
    return parse_field("domain", values, lists) if lists else parse_field("domain", values)


def test_a_name_under_another_gets_the_sets_of_both_because_dnsmasq_follows_one_line_alone() -> None:
    wide, narrow = domain("example.com", "a.example.com"), domain("b.example.com")
    assert text_of(wide, narrow) == {"example.com": sets(wide), "b.example.com": sets(wide, narrow)}


def test_what_a_line_cannot_say_is_left_to_the_daemon() -> None:
    found = text_of(domain("=one.test"), domain("*.two.test"), domain("keyword:three"), domain("!four.test"))
    assert found == {}
    mixed = domain("video.test", "news.test", "!ads.video.test")
    assert text_of(mixed) == {"news.test": sets(mixed)}
    assert render({"d_x": domain("=one.test")}).text == ""


def test_an_sni_with_a_star_is_the_name_and_all_under_it() -> None:
    sni = parse_field("sni", ("*.zoom.test", "exact.test"))
    assert text_of(sni) == {"zoom.test": sets(sni)}


def test_a_list_that_dnsmasq_would_be_slow_with_is_left_to_the_daemon() -> None:
    long = Lists((NamedList("long", tuple(f"n{number}.test" for number in range(MOST_NAMES + 1))),))
    short = domain("example.com")
    assert text_of(domain("@long", lists=long), short) == {"example.com": sets(short)}


@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="there is no dnsmasq")
def test_dnsmasq_takes_every_line_of_many_names(tmp_path: Path) -> None:
    many = Lists((NamedList("many", tuple(f"a-rather-long-name-{number}.example.net" for number in range(3000))),))
    made = render({base_name(field): field for field in (domain("@many", lists=many), domain("example.net"))})
    assert max(map(len, made.text.splitlines())) <= LONGEST_LINE and made.count == 3001
    file = tmp_path / "netpolicy.conf"
    file.write_text(made.text)
    tried = subprocess.run(["dnsmasq", "--test", f"--conf-file={file}"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
