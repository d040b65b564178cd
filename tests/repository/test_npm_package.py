"""scripts/npm-package against a registry of our own: what it unpacks, what it refuses, what it leaves."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .tree import ROOT

NAME = "@somebody/thing"
FILES = {"package/package.json": b"{}", "package/lib/thing.mjs": b"export default 1\n"}


def archive(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


class Registry:
    """Serves one archive under the registry's address of NAME 1.2.3, and counts."""

    def __init__(self) -> None:
        self.data = b""
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                known = self.path == "/@somebody/thing/-/thing-1.2.3.tgz"
                self.send_response(200 if known else 404)
                self.end_headers()
                self.wfile.write(registry.data if known else b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def registry() -> Iterator[Registry]:
    served = Registry()
    yield served
    served.server.shutdown()
    served.server.server_close()


class Checkout:
    """A folder with a copy of the script, so that the real .venv is left alone."""

    def __init__(self, folder: Path, url: str) -> None:
        self.npm = folder / ".venv/npm"
        self._script = folder / "scripts/npm-package"
        self._url = url
        self._script.parent.mkdir()
        shutil.copy(ROOT / "scripts/npm-package", self._script)

    def provide(self, pinned: str, version: str = "1.2.3") -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ, npm_config_registry=self._url, no_proxy="127.0.0.1")
        command = [sys.executable, str(self._script), NAME, version, pinned]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def files(self) -> list[str]:
        found = (path for path in self.npm.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.npm)) for path in found)


@pytest.fixture
def checkout(tmp_path: Path, registry: Registry) -> Checkout:
    return Checkout(tmp_path, registry.url)


def test_a_package_is_unpacked_once(registry: Registry, checkout: Checkout) -> None:
    registry.data = archive(FILES)
    for _ in range(2):
        assert checkout.provide(integrity(registry.data)).returncode == 0
    assert checkout.files() == [f"{NAME}/.integrity", f"{NAME}/lib/thing.mjs", f"{NAME}/package.json"]
    assert len(registry.asked) == 1


def test_another_pinned_package_takes_the_place_of_the_older(registry: Registry, checkout: Checkout) -> None:
    registry.data = archive(FILES)
    checkout.provide(integrity(registry.data))
    registry.data = archive({"package/new.txt": b"new"})
    assert checkout.provide(integrity(registry.data)).returncode == 0
    assert checkout.files() == [f"{NAME}/.integrity", f"{NAME}/new.txt"]


def test_bytes_that_are_not_the_pinned_ones_are_refused(registry: Registry, checkout: Checkout) -> None:
    registry.data = archive(FILES)
    done = checkout.provide(integrity(b"something else"))
    assert done.returncode == 1
    assert "pinned is sha512-" in done.stderr
    assert checkout.files() == []


@pytest.mark.parametrize("name", ["package/../../../evil", "package//etc/evil"])
def test_a_file_that_would_leave_its_folder_is_refused(registry: Registry, checkout: Checkout, name: str) -> None:
    registry.data = archive({"package/good": b"", name: b"evil"})
    assert checkout.provide(integrity(registry.data)).returncode == 1
    assert checkout.files() == []


def test_what_is_no_archive_is_refused(registry: Registry, checkout: Checkout) -> None:
    registry.data = b"<html>log in first</html>"
    assert checkout.provide(integrity(registry.data)).returncode == 1


def test_a_registry_that_does_not_answer_is_said_and_kept_for_the_tests(registry: Registry, checkout: Checkout) -> None:
    done = checkout.provide(integrity(b""), version="9.9.9")
    assert done.returncode == 69
    assert "thing-9.9.9.tgz cannot be reached" in done.stderr
    assert "thing-9.9.9.tgz cannot be reached" in (checkout.npm / f"{NAME}.missing").read_text()
    registry.data = archive(FILES)
    checkout.provide(integrity(registry.data))
    assert f"{NAME}.missing" not in checkout.files()
