"""Write the .ipk format so that the same input gives the same bytes.

Knows tar and gzip, nothing of packages or of this project. An .ipk is a gzip'd tar of
./debian-binary, ./control.tar.gz and ./data.tar.gz (what OpenWrt's ipkg-build writes and
opkg reads; the `ar` container of Debian is refused there). opkg's reader knows ustar
headers: longer names than those hold are an error here, not an extension record.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One member of a tar: `path` relative and without `./`; `content` None is a folder."""

    path: str
    mode: int
    content: bytes | None = None


def gzip_bytes(data: bytes) -> bytes:
    """`data` compressed, with neither a name nor a time in the header."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as stream:
        stream.write(data)
    return out.getvalue()


def tar_bytes(members: list[Member], epoch: int) -> bytes:
    """A tar of the members in the order given, owned by root, dated `epoch` (seconds)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            info = tarfile.TarInfo("./" + member.path if member.path else "./")
            info.mode, info.mtime = member.mode, epoch
            info.uname = info.gname = "root"
            if member.content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(member.content)
                tar.addfile(info, io.BytesIO(member.content))
    return out.getvalue()


def with_folders(members: list[Member]) -> list[Member]:
    """The members sorted, with the folders above them (0755) that they do not bring."""
    known = {member.path: member for member in members}
    for member in members:
        parts = member.path.split("/")
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth])
            known.setdefault(folder, Member(folder, 0o755))
    return [known[path] for path in sorted(known)]


def ipk_bytes(control: list[Member], data: list[Member], epoch: int) -> bytes:
    """The bytes of an .ipk file."""
    outer = [Member("debian-binary", 0o644, b"2.0\n")]
    for name, members in (("control", control), ("data", data)):
        inner = gzip_bytes(tar_bytes(with_folders(members), epoch))
        outer.append(Member(f"{name}.tar.gz", 0o644, inner))
    return gzip_bytes(tar_bytes(outer, epoch))
