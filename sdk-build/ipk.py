#!/usr/bin/env python3
"""Build the packages without the OpenWrt SDK, or stage their files for it.

    ipk.py build [--output dist]       write NAME_VERSION_all.ipk for every package
    ipk.py stage PACKAGE FOLDER        copy what a package installs below FOLDER
    ipk.py list PACKAGE                print mode and path of what a package installs

Never decides what is installed (`manifest`) or what the package says of itself
(`package.mk`); both are shared with openwrt.mk. Needs the standard library only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import archive
import manifest

PACKAGES = ("netpolicy", "luci-app-netpolicy")

# A checkout without git and without SOURCE_DATE_EPOCH: any fixed date keeps builds equal.
NO_HISTORY_EPOCH = 1577836800  # 2020-01-01

# What OpenWrt's own packages carry. Its functions source NAME.postinst-pkg, NAME.prerm-pkg.
SCRIPT = """\
#!/bin/sh
[ "$IPKG_NO_SCRIPT" = 1 ] && exit 0
[ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0
. "$IPKG_INSTROOT/lib/functions.sh"
default_{name} "$0" "$@"
"""


def epoch(root: Path = manifest.ROOT) -> int:
    """The date of everything in the package: SOURCE_DATE_EPOCH, else the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return NO_HISTORY_EPOCH


def facts(package: str, root: Path = manifest.ROOT) -> dict[str, str]:
    """What the package says of itself, from the make file that its recipe includes."""
    own = root / "sdk-build/package.mk"
    if package == "netpolicy":
        names = ("DEPENDS", "SECTION", "LICENSE", "TITLE", "DESCRIPTION")
        return {name: manifest.read_variable(own, f"NETPOLICY_{name}") for name in names}
    luci = root / package / "Makefile"
    return {
        "DEPENDS": manifest.read_variable(luci, "LUCI_DEPENDS").replace("+", ""),
        "SECTION": "luci",
        "LICENSE": manifest.read_variable(own, "NETPOLICY_LICENSE"),
        "TITLE": manifest.read_variable(luci, "LUCI_TITLE"),
        "DESCRIPTION": manifest.read_variable(luci, "LUCI_DESCRIPTION"),
    }


def control_text(package: str, size: int, root: Path = manifest.ROOT) -> str:
    """The `control` file; `size` is the sum of the installed files in bytes."""
    said = facts(package, root)
    fields = {
        "Package": package,
        "Version": manifest.version(root),
        "Depends": ", ".join(said["DEPENDS"].split()),
        "License": said["LICENSE"],
        "Section": said["SECTION"],
        "Architecture": "all",
        "Installed-Size": str(size),
        "Description": f"{said['TITLE']}. {said['DESCRIPTION']}",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def build(package: str, root: Path = manifest.ROOT) -> bytes:
    """The bytes of the package's .ipk file."""
    entries = manifest.load(package, root)
    data = [
        archive.Member(entry.path.lstrip("/"), entry.mode, None if entry.folder else entry.read()) for entry in entries
    ]
    size = sum(len(member.content or b"") for member in data)
    control = [archive.Member("control", 0o644, control_text(package, size, root).encode())]
    conffiles = "".join(f"{entry.path}\n" for entry in entries if entry.conf)
    if conffiles:
        control.append(archive.Member("conffiles", 0o644, conffiles.encode()))
    control += _scripts(package, root)
    return archive.ipk_bytes(control, data, epoch(root))


def _scripts(package: str, root: Path) -> list[archive.Member]:
    own = {path.suffix[1:]: path for path in (root / "sdk-build/scripts").glob(f"{package}.*")}
    members = []
    for name in ("postinst", "prerm"):
        members.append(archive.Member(name, 0o755, SCRIPT.format(name=name).encode()))
    for name, path in own.items():
        # There is no default for what runs after removal: ours stands alone.
        target = name if name == "postrm" else f"{name}-pkg"
        members.append(archive.Member(target, 0o755, path.read_bytes()))
    return members


def stage(package: str, folder: Path) -> None:
    """Copy what the package installs below `folder`, with its modes, whatever the umask."""
    for entry in manifest.load(package):
        target = folder / entry.path.lstrip("/")
        if entry.folder:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(entry.read())
        target.chmod(entry.mode)


def _write_all(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        path = output / f"{package}_{manifest.version()}_all.ipk"
        content = build(package)
        path.write_bytes(content)
        print(f"{path}  {len(content)} bytes")


def _print_list(package: str) -> None:
    for entry in manifest.load(package):
        print(f"{entry.mode:04o} {entry.path}{'/' if entry.folder else ''}")


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 1 with one line on stderr that says what to mend."""
    parser = argparse.ArgumentParser(description="Build .ipk packages without the OpenWrt SDK.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("--output", type=Path, default=Path("dist"))
    staging = commands.add_parser("stage")
    for command in (staging, commands.add_parser("list")):
        command.add_argument("package", choices=PACKAGES)
    staging.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            _write_all(options.output)
        elif options.command == "stage":
            stage(options.package, options.folder)
        else:
            _print_list(options.package)
    except (OSError, manifest.ManifestError) as error:
        print(f"ipk.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
