"""The initial ramdisk of the virtual router: busybox, the real tools, Python, the kernel's modules, this checkout.

What does not change from run to run is kept in build/vm/; the checkout is packed anew each time. Format: cpio "newc"
(Documentation/driver-api/early-userspace/buffer-format.rst of Linux), several archives one after the other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.vm.parts import BUILD, ROOT, Parts

GUEST = Path(__file__).parent / "guest"

# Loaded at boot, with what they need. crc32c_generic: ext4 asks for it by name, and nothing loads it then.
MODULES = (
    "crc32c_generic", "virtio_pci", "virtio_blk", "ext4", "veth",
    "nf_tables", "nft_ct", "nft_limit", "nft_log", "nft_hash", "nft_objref", "nft_fib_inet", "nft_reject_inet",
    "nf_conntrack_netlink", "nfnetlink_log", "tcp_diag",
)  # fmt: skip

# A signature is checked at every load: most of the work of one. Without it the kernel says that it is tainted.
SIGNATURE = b"~Module signature appended~\n"

# Of the standard library: what is large, or is no module of a program.
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "distutils", "unittest",
            "dist-packages", "site-packages", "venv", "wsgiref", "sqlite3", "curses", "dbm", "ctypes",
            "multiprocessing", "xmlrpc", "__pycache__", "LICENSE.txt")  # fmt: skip
# The others only bring libraries along: OpenSSL, SQLite. Whoever imports them copes without.
EXTENSIONS = (
    "_asyncio", "_bisect", "_blake2", "_contextvars", "_csv", "_datetime", "_heapq", "_json", "_md5", "_opcode",
    "_pickle", "_posixsubprocess", "_queue", "_random", "_sha1", "_sha256", "_sha3", "_sha512", "_socket",
    "_statistics", "_struct", "_typing", "_zoneinfo", "array", "binascii", "fcntl", "grp", "math", "mmap", "resource",
    "select", "syslog", "termios", "unicodedata", "zlib",
)  # fmt: skip


class Archive:
    """A cpio archive in memory; folders are made where they are needed."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._names: set[str] = set()
        self._number = 0

    def add(self, path: str, content: bytes, mode: int = 0o100644) -> None:
        """A file, or with its mode anything else. `path` is absolute."""
        name = path.strip("/")
        if name in self._names:
            return
        folder = name.rpartition("/")[0]
        if folder and folder not in self._names:
            self.add(folder, b"", 0o40755)
        self._names.add(name)
        self._entry(name, content, mode)

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self.add(path, target.encode(), 0o120777)

    def copy(self, source: str | Path, path: str = "") -> None:
        """A file of this machine, at its own place where no other is named."""
        mode = 0o100755 if os.access(source, os.X_OK) else 0o100644
        self.add(path or str(source), Path(source).read_bytes(), mode)

    def data(self) -> bytes:
        """The archive, closed."""
        self._entry("TRAILER!!!", b"", 0)
        whole = b"".join(self._pieces)
        return whole + bytes(-len(whole) % 512)

    def _entry(self, name: str, content: bytes, mode: int) -> None:
        self._number += 1
        raw = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        self._pieces += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]


def build(parts: Parts) -> Path:
    """The whole ramdisk in build/vm/."""
    path = BUILD / "ramdisk"
    base = _base(parts)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(base + _checkout())
    temporary.replace(path)
    return path


# -- what stays ----------------------------------------------------------------------------


def _base(parts: Parts) -> bytes:
    sources = [*_tools(parts), *modules(parts.modules, MODULES), *library()]
    told = "\n".join(f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}" for path in sources)
    stamp = hashlib.sha256((told + Path(__file__).read_text(encoding="utf-8")).encode()).hexdigest()
    kept = BUILD / f"base-{stamp[:16]}.cpio"
    if not kept.exists():
        for old in BUILD.glob("base-*.cpio"):
            old.unlink()
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(_base_archive(parts))
        temporary.replace(kept)
    return kept.read_bytes()


def _base_archive(parts: Parts) -> bytes:
    archive = Archive()
    for name in ("proc", "sys", "dev", "run", "tmp", "etc"):
        archive.add(f"/{name}", b"", 0o40755)
    archive.link("/var/run", "/run")
    for name in ("nft", "ip", "conntrack"):
        archive.copy(parts.tools[name], f"/usr/sbin/{name}")
    archive.copy(parts.tools["busybox"], "/bin/busybox")
    for name in applets(parts.tools["busybox"]):
        archive.link(f"/bin/{name}", "/bin/busybox")
    interpreter = os.path.realpath(sys.executable)
    archive.copy(interpreter)
    archive.link("/usr/bin/python3", interpreter)
    for path in libraries([*_programs(parts), *(str(path) for path in library() if path.suffix == ".so")]):
        archive.copy(path)
    for path in library():
        if path.suffix == ".so":
            archive.copy(path)
        else:  # the source would only take room
            archive.add(f"{path}c", compiled(path.read_bytes(), str(path)))
    order = modules(parts.modules, MODULES)
    for path in order:
        archive.add(f"/modules/{path.name}", unsigned(path.read_bytes()))
    archive.add("/modules/order", "".join(f"/modules/{path.name}\n" for path in order).encode())
    return archive.data()


def _programs(parts: Parts) -> list[str]:
    return [*(parts.tools[name] for name in ("nft", "ip", "conntrack", "busybox")), os.path.realpath(sys.executable)]


def _tools(parts: Parts) -> list[Path]:
    return [Path(path) for path in _programs(parts)]


def applets(busybox: str) -> list[str]:
    said = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
    # The real one is there, and two of a name on the path are one too many.
    return [name for name in said.split() if name not in ("busybox", "ip")]


def libraries(programs: Iterable[str]) -> list[str]:
    """The shared libraries that the programs load, and their loader."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return sorted(set(re.findall(r"(?:=> |^\t)(/\S+) \(", said, re.MULTILINE)))


def modules(folder: Path, names: Iterable[str]) -> list[Path]:
    """Those of a kernel's folder, each after what it needs; what is built in is left out. Source: modules.dep(5)."""
    needs: dict[str, list[str]] = {}
    for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {path.rpartition("/")[2].partition(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []

    def take(path: str) -> None:
        for other in needs[path]:
            if other not in order:
                take(other)
        if path not in order:
            order.append(path)

    for name in names:
        if name in by_name:
            take(by_name[name])
    return [folder / path for path in order]


def unsigned(module: bytes) -> bytes:
    """The module without its signature. Source: include/linux/module_signature.h: the last word is its length."""
    if not module.endswith(SIGNATURE):
        return module
    end = len(module) - len(SIGNATURE)
    return module[: end - 12 - int.from_bytes(module[end - 4 : end], "big")]


def library(left_out: Collection[str] = LEFT_OUT, extensions: Collection[str] = EXTENSIONS) -> list[Path]:
    """The files of the standard library that go along."""
    top = Path(sysconfig.get_path("stdlib"))
    found = []
    for place, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in left_out and not name.startswith("config-"))
        is_extensions = Path(place).name == "lib-dynload"
        for name in sorted(names):
            if (name.partition(".")[0] in extensions) if is_extensions else name.endswith(".py"):
                found.append(Path(place, name))
    return found


# -- what is tried -------------------------------------------------------------------------


def _checkout() -> bytes:
    archive = Archive()
    for path in sorted((ROOT / "netpolicy").rglob("*.py")):
        add_python(archive, path, f"/usr/lib/netpolicy/{path.relative_to(ROOT)}")
    for path in _files(ROOT / "files"):
        place = "/" + str(path.relative_to(ROOT / "files"))
        if not place.startswith("/etc/"):  # that is the flash
            archive.copy(path, place)
    for name in ("agent.py", "daemon.py", "network", "world"):
        archive.copy(GUEST / name, f"/rig/{name}")
    archive.copy(GUEST / "init", "/init")
    return archive.data()


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def add_python(archive: Archive, path: Path, place: str) -> None:
    """The source, and its compiled form: an emulated processor compiles for minutes."""
    archive.copy(path, place)
    archive.add(importlib.util.cache_from_source(place), compiled(path.read_bytes(), place))


def compiled(source: bytes, place: str) -> bytes:
    import marshal

    try:
        code = compile(source, place, "exec", dont_inherit=True)
    except SyntaxError:  # templates of lib2to3 and the like
        return b""
    # PEP 552: flags 1 = by hash, and nobody looks at the source; the hash may then be anything.
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)
