"""The OpenWrt recipe, evaluated by make with a small stand-in for the build system.

The stand-in has the names that OpenWrt's rules.mk and package.mk give a recipe and prints what
BuildPackage was given. The real build system is a matter of docs/testing-openwrt.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "sdk-build/netpolicy"

RULES = "INCLUDE_DIR:=$(TOPDIR)/include\n"
PACKAGE = """
define BuildPackage
  $(eval $(Package/$(1)))
  $(info package $(1) $(PKG_VERSION)-r$(PKG_RELEASE) $(PKGARCH) depends $(DEPENDS))
  $(info conffiles $(1) $(strip $(Package/$(1)/conffiles)))
  export $(1)_postinst = $$(call Package/$(1)/postinst)
  export $(1)_prerm = $$(call Package/$(1)/prerm)
  export $(1)_postrm = $$(call Package/$(1)/postrm)
all: $(1)
.PHONY: $(1)
$(1):
	$(call Package/$(1)/install,$(DEST)/$(1))
	env > $(DEST)/$(1).environment
endef
all:
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What make printed, and the folder with the staged packages."""
    top = tmp_path_factory.mktemp("openwrt")
    (top / "include").mkdir()
    (top / "rules.mk").write_text(RULES)
    (top / "include/package.mk").write_text(PACKAGE)
    (top / "out").mkdir()
    command = ["make", "-r", "-C", RECIPE, f"TOPDIR={top}", f"DEST={top / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, top / "out"


def listed_by_the_builder() -> list[str]:
    command = [sys.executable, ROOT / "sdk-build/ipk.py", "list", "netpolicy"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_recipe_installs_the_files_and_modes_of_the_ipk(built: tuple[str, Path]) -> None:
    staged = built[1] / "netpolicy"
    found = [
        f"{path.stat().st_mode & 0o7777:04o} /{path.relative_to(staged).as_posix()}"
        for path in sorted(staged.rglob("*"))
        if path.is_file()
    ]
    assert sorted(found) == sorted(line for line in listed_by_the_builder() if not line.endswith("/"))
    assert (staged / "etc/netpolicy").stat().st_mode & 0o7777 == 0o700


def test_the_recipe_has_the_version_and_dependencies_of_the_ipk(built: tuple[str, Path]) -> None:
    line = next(line for line in built[0].splitlines() if line.startswith("package netpolicy "))
    sys.path.insert(0, str(ROOT / "sdk-build"))
    try:
        import ipk
        import manifest
    finally:
        sys.path.pop(0)
    depends = " ".join(f"+{name}" for name in ipk.facts("netpolicy")["DEPENDS"].split())
    assert line == f"package netpolicy {manifest.version()} all depends {depends}"


def test_the_full_profile_brings_packages_and_no_files(built: tuple[str, Path]) -> None:
    assert re.search(r"^package netpolicy-full .* \+netpolicy .*\+python3-pyroute2", built[0], re.MULTILINE)
    assert not (built[1] / "netpolicy-full").exists()


def test_conffiles_of_recipe_and_manifest_are_the_same(built: tuple[str, Path]) -> None:
    lines = (ROOT / "sdk-build/manifest").read_text().splitlines()
    owned = [line.split()[3] for line in lines if line.split()[-1:] == ["conf"]]
    assert f"conffiles netpolicy {' '.join(owned)}" in built[0].splitlines()


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_scripts_reach_the_package_unchanged(built: tuple[str, Path], name: str) -> None:
    script = (ROOT / f"sdk-build/scripts/netpolicy.{name}").read_text().strip()
    environment = (built[1] / "netpolicy.environment").read_text()
    assert f"netpolicy_{name}={script}" in environment


def test_only_the_folders_of_packages_are_found_by_the_scanner() -> None:
    """OpenWrt's scanner greps Makefiles for these words and breaks on one in a feed's root."""
    words = re.compile(r"call (Build/DefaultTargets|BuildPackage|KernelPackage)")
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "*Makefile"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    found = [path for path in tracked if words.search((ROOT / path).read_text())]
    assert sorted(found) == ["luci-app-netpolicy/Makefile", "sdk-build/netpolicy/Makefile"]


def test_the_top_makefile_is_the_recipe_inside_an_openwrt_tree(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "rules.mk").write_text(RULES)
    (tmp_path / "include/package.mk").write_text(PACKAGE)
    command = ["make", "-r", "-n", "-C", ROOT, f"TOPDIR={tmp_path}", f"DEST={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "package netpolicy " in done.stdout
