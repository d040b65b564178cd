"""The packages as files: same bytes everywhere, the shape opkg reads, nothing that stays home."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILDER = "sdk-build/ipk.py"
PARTS = ("sdk-build", "files", "netpolicy", "luci-app-netpolicy", "ebpf")


def build(checkout: Path, output: Path, umask: int = 0o022, epoch: int = 1_700_000_000) -> dict[str, bytes]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(
        [sys.executable, checkout / BUILDER, "build", "--output", output],
        env=environment,
        umask=umask,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def copy_checkout(target: Path) -> Path:
    for part in PARTS:
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: info for info in tar.getmembers()}


def read_member(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        stream = tar.extractfile(name)
        assert stream is not None
        return stream.read()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def engine(packages: dict[str, bytes]) -> bytes:
    return next(content for name, content in packages.items() if name.startswith("netpolicy_"))


def test_two_builds_in_different_folders_and_umasks_are_equal_byte_for_byte(tmp_path: Path) -> None:
    first = build(copy_checkout(tmp_path / "a"), tmp_path / "dist_a", umask=0o022)
    second = build(copy_checkout(tmp_path / "b/deeper"), tmp_path / "dist_b", umask=0o077)
    assert list(first) == list(second)
    assert len(first) == 2
    assert first == second


def test_a_different_date_gives_different_bytes(tmp_path: Path) -> None:
    first = build(ROOT, tmp_path / "a", epoch=1_700_000_000)
    second = build(ROOT, tmp_path / "b", epoch=1_700_000_001)
    assert first != second


def test_a_changed_source_changes_the_package(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "a")
    before = build(checkout, tmp_path / "dist_a")
    (checkout / "netpolicy/__init__.py").open("a").write("# more\n")
    after = build(checkout, tmp_path / "dist_b")
    assert before != after


def test_the_file_name_carries_version_and_release(packages: dict[str, bytes]) -> None:
    from netpolicy import __version__

    assert sorted(packages) == [
        f"luci-app-netpolicy_{__version__}-r1_all.ipk",
        f"netpolicy_{__version__}-r1_all.ipk",
    ]


def test_the_three_members_stand_in_the_order_opkg_reads(engine: bytes) -> None:
    assert list(members(engine)) == ["./debian-binary", "./control.tar.gz", "./data.tar.gz"]
    assert read_member(engine, "./debian-binary") == b"2.0\n"


def test_gzip_headers_hold_neither_name_nor_time(engine: bytes) -> None:
    for data in (engine, read_member(engine, "./control.tar.gz"), read_member(engine, "./data.tar.gz")):
        assert data[3] == 0  # FLG: no FNAME
        assert data[4:8] == b"\0\0\0\0"  # MTIME


def test_everything_belongs_to_root_and_is_sorted(engine: bytes) -> None:
    for name in ("./control.tar.gz", "./data.tar.gz"):
        infos = members(read_member(engine, name))
        assert {(i.uid, i.gid, i.uname, i.gname) for i in infos.values()} == {(0, 0, "root", "root")}
        assert list(infos) == sorted(infos)


def test_archives_use_plain_ustar_headers_that_opkg_can_read(engine: bytes) -> None:
    raw = gzip.decompress(read_member(engine, "./data.tar.gz"))
    types = set()
    offset = 0
    while raw[offset : offset + 1] != b"\0":
        types.add(raw[offset + 156 : offset + 157])
        size = int(raw[offset + 124 : offset + 135], 8)
        offset += 512 + -(-size // 512) * 512
    assert types == {b"0", b"5"}  # regular files and folders, no extension records


def test_modes_are_those_of_the_manifest(engine: bytes) -> None:
    infos = members(read_member(engine, "./data.tar.gz"))
    assert infos["./etc/init.d/netpolicy"].mode == 0o755
    assert infos["./etc/config/netpolicy"].mode == 0o600
    assert infos["./etc/netpolicy"].mode == 0o700
    assert infos["./usr/bin/netpolicyd"].mode == 0o755
    assert infos["./usr/lib/netpolicy/netpolicy/__init__.py"].mode == 0o644


def test_the_control_file_says_what_opkg_needs(engine: bytes) -> None:
    control = read_member(read_member(engine, "./control.tar.gz"), "./control").decode()
    fields = dict(line.split(": ", 1) for line in control.splitlines())
    assert fields["Package"] == "netpolicy"
    assert fields["Architecture"] == "all"
    assert fields["Version"].endswith("-r1")
    assert {"python3-light", "python3-asyncio", "python3-logging", "nftables-json", "ip-full"} <= set(
        fields["Depends"].split(", ")
    )
    data = members(read_member(engine, "./data.tar.gz"))
    assert int(fields["Installed-Size"]) == sum(info.size for info in data.values())


def test_the_configuration_is_a_conffile(engine: bytes) -> None:
    control = read_member(engine, "./control.tar.gz")
    assert read_member(control, "./conffiles") == b"/etc/config/netpolicy\n"


def test_scripts_of_ours_run_inside_openwrts_default_ones(packages: dict[str, bytes]) -> None:
    for file_name, content in packages.items():
        package = file_name.split("_")[0]
        control = read_member(content, "./control.tar.gz")
        for name in ("postinst", "prerm"):
            assert f'default_{name} "$0" "$@"' in read_member(control, f"./{name}").decode()
        for path in (ROOT / "sdk-build/scripts").glob(f"{package}.*"):
            name = path.suffix[1:]
            target = "./postrm" if name == "postrm" else f"./{name}-pkg"
            assert read_member(control, target) == path.read_bytes()
            assert members(control)[target].mode == 0o755


def test_lab_tests_and_bytecode_are_never_installed(engine: bytes) -> None:
    paths = members(read_member(engine, "./data.tar.gz"))
    assert (ROOT / "netpolicy/lab/__init__.py").is_file()
    assert not [path for path in paths if "/lab/" in path or "/test" in path or path.endswith((".pyc", ".md"))]


def test_the_release_file_names_the_version_of_the_package(engine: bytes) -> None:
    release = read_member(read_member(engine, "./data.tar.gz"), "./usr/lib/netpolicy/RELEASE").decode()
    control = read_member(read_member(engine, "./control.tar.gz"), "./control").decode()
    assert f"Version: {release}" in control


def test_every_file_of_the_python_package_is_installed_or_left_out_on_purpose(engine: bytes) -> None:
    """A data file added to a room must not be forgotten in the manifest."""
    installed = set(members(read_member(engine, "./data.tar.gz")))
    forgotten = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "netpolicy").rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not {"lab", "manual.py"} & set(path.relative_to(ROOT).parts)
        and path.suffix not in (".md", ".pyc")
        and f"./usr/lib/netpolicy/{path.relative_to(ROOT).as_posix()}" not in installed
    ]
    assert forgotten == []


def test_the_bpf_objects_lie_where_the_loader_looks_for_them(engine: bytes) -> None:
    """Beside the package as in the repository, and of the sources nothing."""
    infos = members(read_member(engine, "./data.tar.gz"))
    found = {name for name in infos if name.startswith("./usr/lib/netpolicy/ebpf/") and infos[name].isfile()}
    assert found == {f"./usr/lib/netpolicy/ebpf/{name}" for name in ("npflow.bpfel.o", "npflow.bpfeb.o")}
    assert "./usr/lib/netpolicy/netpolicy/flows/ebpf/loading.py" in infos


def test_staging_installs_the_same_files_whatever_the_umask(engine: bytes, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / BUILDER, "stage", "netpolicy", tmp_path], umask=0o077, check=True)
    data = read_member(engine, "./data.tar.gz")
    packed = {name[2:]: info for name, info in members(data).items() if info.isfile()}
    staged = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    assert sorted(packed) == sorted(staged)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        contents = {one.name[2:]: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
    for name, path in staged.items():
        assert path.stat().st_mode & 0o7777 == packed[name].mode
        assert path.read_bytes() == contents[name]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("netpolicy 0644 files/no/such /etc/x", "files/no/such matches nothing"),
        ("netpolicy 0644 files/etc/init.d/* /etc/init.d/", "already there"),
        ("netpolicy 0644 files/etc/init.d/netpolicy", "expected: package mode source destination"),
        ("netpolicy rwx files/etc/init.d/netpolicy /etc/x", "invalid literal"),
    ],
)
def test_a_wrong_manifest_line_is_named_with_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    checkout = copy_checkout(tmp_path / "a")
    path = checkout / "sdk-build/manifest"
    path.write_text(path.read_text() + line + "\n")
    number = len(path.read_text().splitlines())
    done = subprocess.run(
        [sys.executable, checkout / BUILDER, "list", "netpolicy"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"manifest:{number}: " in done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_without_history_and_without_a_given_date_the_build_still_repeats(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "a")
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    outputs = []
    for name in ("x", "y"):
        subprocess.run(
            [sys.executable, checkout / BUILDER, "build", "--output", tmp_path / name],
            env={**environment, "GIT_CEILING_DIRECTORIES": str(tmp_path)},
            check=True,
            capture_output=True,
        )
        outputs.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert outputs[0] == outputs[1]
