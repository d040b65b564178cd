"""A list on its way from a server into its copy: what is kept, what is not, and that no half is ever left."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from netpolicy.config.kept_list import head_of
from netpolicy.config.list_reading import ListReading
from netpolicy.core.list_budget import LARGE, Budget
from netpolicy.outbounds.web_page import Limits
from netpolicy.service import list_fetch
from netpolicy.service.list_fetch import Task, fetch_list
from tests.config.geofiles import geosite
from tests.outbounds.web_server import WebServer, says, tagged

HOSTS = b"127.0.0.1 localhost\n0.0.0.0 a.example\n0.0.0.0 b.example\n"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer({"/l": tagged(HOSTS, '"1"')}) as started:
        yield started


def task(server: WebServer, folder: Path, path: str = "/l", **given: object) -> Task:
    return replace(Task("ads", server.url(path), str(folder / "lists")), **given)


def told(wanted: Task) -> tuple[str, str]:
    found = json.loads(fetch_list(wanted))
    return found["result"], found["error"]


def accept(wanted: Task) -> None:
    os.rename(wanted.path(is_new=True), wanted.path())


def test_a_list_is_kept_beside_the_one_that_counts_and_asked_for_by_its_tag(server: WebServer, tmp_path: Path) -> None:
    wanted = task(server, tmp_path)
    assert told(wanted) == ("new", "")
    head = head_of(wanted.path(is_new=True))
    assert head is not None and head_of(wanted.path()) is None
    assert (head.source, head.etag, head.format, head.names, head.skipped) == (wanted.source, '"1"', "hosts", 2, 1)
    content = ListReading(LARGE).content([gzip.decompress(Path(wanted.path(is_new=True)).read_bytes())])
    assert content is not None and sorted(content.names.exact) == ["a.example", "b.example"]
    accept(wanted)
    os.utime(wanted.path(), (1000, 1000))
    assert told(wanted) == ("same", "")
    assert os.stat(wanted.path()).st_mtime > 1000, "when it was last known to be right"
    assert os.listdir(wanted.folder) == [os.path.basename(wanted.path())]
    server.pages["/l"] = says(HOSTS)  # a server that has no tags any more
    assert told(wanted) == ("same", "") and head_of(wanted.path()).etag == ""  # type: ignore[union-attr]
    server.pages["/l"] = tagged(HOSTS + b"0.0.0.0 c.example\n", '"2"')
    assert told(wanted) == ("new", "")
    assert told(wanted) == ("same", ""), "the newest copy is asked about, though it does not count yet"
    assert (os.stat(wanted.folder).st_mode & 0o777, os.stat(wanted.path()).st_mode & 0o777) == (0o700, 0o600)


def test_a_copy_that_is_taken_while_the_server_is_asked_about_it_is_the_same(server: WebServer, tmp_path: Path) -> None:
    wanted, answer = task(server, tmp_path), server.pages["/l"]
    assert told(wanted) == ("new", "")
    os.utime(wanted.path(is_new=True), (1000, 1000))

    def taken(request: BaseHTTPRequestHandler) -> None:
        accept(wanted)
        answer(request)

    server.pages["/l"] = taken
    assert told(wanted) == ("same", "") and os.stat(wanted.path()).st_mtime > 1000


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("no entry that could count", b""),
        ("no entry that could count", b"# nothing today\n"),
        ("lines are no entries: it is something else", b"<html>\n" + b"<p>log in to the hotel\n" * 20 + b"body\n"),
        ("not UTF-8", b"a.example\n\xff\xfe\n"),
        ("line 11: more than 10 names", b"".join(b"n%d.example\n" % number for number in range(11))),
        ("ends too early", gzip.compress(HOSTS * 9)[:-9]),
        ("longer than any entry", b"x" * 200_000),
    ],
)
def test_what_is_no_sensible_list_is_not_kept(server: WebServer, tmp_path: Path, words: str, body: bytes) -> None:
    wanted = task(server, tmp_path, budget=Budget("a test", 10, 10, 100_000, 4000, 4000))
    assert told(wanted) == ("new", "")
    accept(wanted)
    kept = Path(wanted.path()).read_bytes()
    server.pages["/l"] = says(body)
    result, error = told(wanted)
    assert result == "failed" and words in error
    assert Path(wanted.path()).read_bytes() == kept and os.listdir(wanted.folder) == [Path(wanted.path()).name]


def test_of_a_dat_file_the_category_is_kept(server: WebServer, tmp_path: Path) -> None:
    data = geosite({"US": ["domain:us.example"] * 50_000, "CN": ["domain:example.cn"]})
    server.pages["/l"] = says(data)
    wanted = task(server, tmp_path, format="geosite", categories=("cn",))
    assert told(wanted) == ("new", "")
    kept = gzip.decompress(Path(wanted.path(is_new=True)).read_bytes())
    assert kept.split(b"\n", 1)[1] == b"example.cn\n"
    assert "did you mean 'cn'" in told(replace(wanted, categories=("cm",)))[1]


def test_a_full_disk_leaves_nothing_and_says_so(server: WebServer, tmp_path: Path) -> None:
    wanted = task(server, tmp_path)
    assert told(wanted) == ("new", "")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    server.pages["/l"] = says(b"".join(b"n%d.example\n" % number for number in range(9000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        result, error = told(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result, error) == ("failed", "it cannot be kept: File too large")
    assert os.listdir(wanted.folder) == [os.path.basename(wanted.path(is_new=True))]


def test_killed_at_any_moment_the_copy_is_whole(server: WebServer, tmp_path: Path) -> None:
    """The child is killed after each of its writes; what counts is never touched, and the next fetch works."""
    wanted = task(server, tmp_path)
    assert told(wanted) == ("new", "")
    accept(wanted)
    kept = Path(wanted.path()).read_bytes()
    server.pages["/l"] = says(b"".join(b"n%d.example\n" % number for number in range(9000)))
    for step in ("write_all", "fsync", "rename"):
        child = os.fork()
        if not child:
            place = list_fetch if step == "write_all" else os
            setattr(place, step, lambda *_: os.kill(os.getpid(), 9))
            fetch_list(wanted)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        assert Path(wanted.path()).read_bytes() == kept
        assert not os.path.exists(wanted.path(is_new=True))
    assert told(wanted) == ("new", "")


def test_nothing_secret_is_told(server: WebServer, tmp_path: Path) -> None:
    server.pages["/l"] = says(b"", 403)
    wanted = Task("ads", server.url("/l?token=s3cret", login="me:passw0rd@"), str(tmp_path))
    assert told(wanted)[0] == "failed"
    assert not any(word in told(wanted)[1] for word in ("s3cret", "passw0rd"))
    assert told(Task("ads", "https://me:passw0rd@/", str(tmp_path)))[1].startswith(
        "the address of a page names no host"
    )


def test_a_hundred_thousand_names_in_little_memory(server: WebServer, tmp_path: Path) -> None:
    body = b"".join(b"0.0.0.0 host-%d.subdomain%d.example\n" % (number, number % 997) for number in range(100_000))
    server.pages["/l"] = says(gzip.compress(body, 1))
    code = (
        "import sys, time\n"
        "from netpolicy.core.list_budget import LARGE\n"
        "from netpolicy.service.list_fetch import Task, fetch_list\n"
        "began = time.process_time()\n"
        "print(fetch_list(Task('ads', sys.argv[1], sys.argv[2], budget=LARGE)).decode())\n"
        "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]\n"  # ru_maxrss is the parent's too
        "print(time.process_time() - began, peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.url("/l"), str(tmp_path)], capture_output=True, text=True, check=True
    )
    said, figures = done.stdout.splitlines()
    seconds, peak = map(float, figures.split())
    assert json.loads(said) == {"result": "new", "error": ""}
    assert seconds < 4 and peak < 60_000, (seconds, peak)  # 0.8 s and 33 MB where this was written


def test_limits_are_those_of_the_task(server: WebServer, tmp_path: Path) -> None:
    wanted = task(server, tmp_path, limits=Limits(wire=10))
    assert "longer than" in told(wanted)[1]
