"""The initial ramdisk of a machine that the inspector is tried on: programs, Python with ctypes, modules, checkout.

What does not change from run to run is kept in build/vm/. Nothing of it is started here, but openssl for a key.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.vm import ramdisk
from tests.vm.guests import Guest
from tests.vm.parts import BUILD, ROOT, tool
from tests.vm.ramdisk import GUEST, Archive, add_python, applets, compiled, libraries, library, unsigned

# crc32c_generic: conntrack's libcrc32c asks for it by name; nft_counter is a part of nf_tables by now.
MODULES = (
    "crc32c_generic", "veth", "bridge", "ifb", "sch_ingress", "sch_htb", "sch_fq_codel", "sch_cake", "sch_netem",
    "cls_bpf", "cls_u32", "cls_flower", "cls_matchall", "act_mirred", "act_gact", "nf_tables", "nft_counter", "nft_ct",
    "nft_limit", "nft_log", "nft_hash", "nft_objref", "nft_fib_inet", "nft_reject_inet", "nft_flow_offload",
    "nf_flow_table_inet", "nf_conntrack_netlink", "nfnetlink_log",
)  # fmt: skip
PROGRAMS = ("nft", "ip", "tc", "conntrack", "busybox")

# With TLS and ctypes, which the virtual router goes without.
LEFT_OUT = tuple(name for name in ramdisk.LEFT_OUT if name != "ctypes")
EXTENSIONS = (*ramdisk.EXTENSIONS, "_ctypes", "_ssl", "_hashlib")

# Of a foreign root: what no program opens.
NOT_OPENED = ("/usr/share/", "/usr/include/", "/usr/lib/systemd", "/lib/systemd", "/usr/libexec", "/usr/lib/tmpfiles.d")


def build(guest: Guest) -> Path:
    """The whole ramdisk in build/vm/."""
    path = BUILD / f"ramdisk-{guest.name}"
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(_base(guest) + _checkout())
    temporary.replace(path)
    return path


def _base(guest: Guest) -> bytes:
    sources = [*_programs(guest), *_modules(guest)]
    told = "\n".join(f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}" for path in sources)
    texts = [Path(file).read_text(encoding="utf-8") for file in (__file__, ramdisk.__file__)]
    stamp = hashlib.sha256("".join([told, *texts]).encode()).hexdigest()[:16]
    kept = BUILD / f"guest-{guest.name}-{stamp}.cpio"
    if not kept.exists():
        for old in BUILD.glob(f"guest-{guest.name}-*.cpio"):
            old.unlink()
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(_base_archive(guest))
        temporary.replace(kept)
    return kept.read_bytes()


def _base_archive(guest: Guest) -> bytes:
    archive = Archive()
    for name in ("proc", "sys", "dev", "run", "tmp", "etc"):
        archive.add(f"/{name}", b"", 0o40755)
    archive.link("/var/run", "/run")
    if guest.root is None:
        _add_own(archive)
        _add_more(archive, guest)
    else:
        _add_root(archive, guest.root)
    # The same names are in every busybox of Debian's; what is there already stays.
    for name in applets(tool("busybox") or ""):
        archive.link(f"/bin/{name}", "/bin/busybox")
    order = _modules(guest)
    for path in order:
        archive.add(f"/modules/{path.name}", unsigned(path.read_bytes()))
    archive.add("/modules/order", "".join(f"/modules/{path.name}\n" for path in order).encode())
    archive.add("/rig/tls.pem", _certificate())
    return archive.data()


def _modules(guest: Guest) -> list[Path]:
    return ramdisk.modules(guest.modules, (*MODULES, *guest.modules_more))


def _programs(guest: Guest) -> list[Path]:
    if guest.root is None:
        more = [path for path, _ in _more(guest)]
        return [*(Path(tool(name) or "") for name in PROGRAMS), Path(os.path.realpath(sys.executable)), *more]
    return [guest.root / "bin" / "busybox", guest.root / "sbin" / "tc"]


# -- the programs --------------------------------------------------------------------------


def _add_own(archive: Archive) -> None:
    """Those of this machine."""
    for name in PROGRAMS:
        archive.copy(tool(name) or "", "/bin/busybox" if name == "busybox" else f"/usr/sbin/{name}")
    interpreter = os.path.realpath(sys.executable)
    archive.copy(interpreter)
    archive.link("/usr/bin/python3", interpreter)
    files = library(LEFT_OUT, EXTENSIONS)
    programs = [*(tool(name) or "" for name in PROGRAMS), interpreter]
    for path in libraries([*programs, *(str(one) for one in files if one.suffix == ".so")]):
        archive.copy(path)
    for one in files:
        _add_library(archive, one, str(one))


def _more(guest: Guest) -> list[tuple[Path, str]]:
    """Programs that are not installed here, each with its place."""
    root = guest.programs_more
    if root is None:
        return []
    found = [(path, f"/{path.relative_to(root)}") for path in sorted(root.rglob("*")) if path.is_file()]
    return [(path, place) for path, place in found if not place.startswith(NOT_OPENED)]


def _add_more(archive: Archive, guest: Guest) -> None:
    """With the libraries that came along, and those that are here."""
    files = _more(guest)
    for path, place in files:
        if path.is_symlink():
            archive.link(place, os.readlink(path))
        else:
            archive.copy(path, place)
    binaries = [str(path) for path, _ in files if path.read_bytes()[:4] == b"\x7fELF"]
    there = {Path(place).name for _, place in files}
    for needed in libraries(binaries):
        if Path(needed).name not in there:
            archive.copy(needed)


def _add_root(archive: Archive, root: Path) -> None:
    """Those of unpacked packages, with what their installation would have linked."""
    for path, place in _of_root(root):
        if path.is_symlink():
            archive.link(place, os.readlink(path))
        else:
            _add_library(archive, path, place)
    archive.link("/usr/bin/python3", "python3.11")


def _of_root(root: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(root.rglob("*")):
        place = f"/{path.relative_to(root)}"
        is_left_out = place.startswith(NOT_OPENED) or ("/python3" in place and not set(LEFT_OUT).isdisjoint(path.parts))
        if not is_left_out and (path.is_symlink() or path.is_file()):
            yield path, place


def _add_library(archive: Archive, path: Path, place: str) -> None:
    """A module without its source: that would only take room, and compiling takes minutes there."""
    if path.suffix == ".py" and "/python3" in place:
        archive.add(f"{place}c", compiled(path.read_bytes(), place))
    else:
        archive.copy(path, place)


# -- what is tried -------------------------------------------------------------------------


def _checkout() -> bytes:
    archive = Archive()
    for path in sorted((ROOT / "netpolicy").rglob("*.py")):
        add_python(archive, path, f"/usr/lib/netpolicy/{path.relative_to(ROOT)}")
    for path in sorted((ROOT / "ebpf").glob("*.o")):
        archive.copy(path, f"/usr/lib/netpolicy/ebpf/{path.name}")
    guard = "usr/lib/netpolicy/guard"
    archive.copy(ROOT / "files" / guard, f"/{guard}")
    for path in sorted((GUEST / "watch").glob("*.py")):
        add_python(archive, path, f"/rig/{path.name}")
    archive.copy(GUEST / "watch" / "init", "/init")
    return archive.data()


def _certificate() -> bytes:
    """Key and certificate for the server, in one file."""
    with tempfile.TemporaryDirectory() as name:
        key, certificate = Path(name, "key"), Path(name, "certificate")
        subprocess.run(
            [tool("openssl") or "", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "36500", "-subj", "/CN=example.net", "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        return key.read_bytes() + certificate.read_bytes()
