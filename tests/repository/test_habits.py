"""What every file of ours keeps to, whoever wrote it."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from .tree import ROOT, modules, parsed, room_of, tracked

# The agreed top level. A new name needs a reason in docs/architecture.md.
TOP_LEVEL = {
    ".ci", ".editorconfig", ".github", ".gitignore", ".pre-commit-config.yaml",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "benchmarks", "docs", "ebpf", "editors",
    "examples", "feeds.conf", "files", "luci-app-netpolicy", "netpolicy", "pyproject.toml", "scripts", "sdk-build",
    "tests",
}  # fmt: skip

# Modules without a test file of their own, and where they are tested instead.
TESTED_ELSEWHERE = {
    "netpolicy/config/dsl_block.py": "tests/config/test_dsl.py",  # parts of one reader
    "netpolicy/config/dsl_rule.py": "tests/config/test_dsl.py",
    "netpolicy/config/dsl_section.py": "tests/config/test_dsl.py",
    "netpolicy/config/uci_text.py": "tests/config/test_uci.py",  # one suite over the quick and the careful reader
    "netpolicy/config/loaded.py": "tests/config/test_assemble.py",  # a record only
    "netpolicy/dataplane/netlink_builtin.py": "tests/dataplane/test_netlink.py",  # one suite over both adapters
    "netpolicy/dataplane/netlink_pyroute2.py": "tests/dataplane/test_netlink.py",
    "netpolicy/dataplane/netlink_codec.py": "tests/dataplane/test_netlink_wire.py",
    "netpolicy/dataplane/netlink_records.py": "tests/dataplane/test_netlink_wire.py",
    "netpolicy/dataplane/state.py": "tests/dataplane/test_netlink.py",  # records only
    "netpolicy/flows/model.py": "tests/flows/test_ctmessage.py",
}

# Written so that this file does not contain what it looks for.
FORBIDDEN = {
    "a path of somebody's machine": re.compile("(?<![A-Za-z0-9_.}-])/" + r"(work|home/[a-z]+|Users/[A-Za-z]+|root)/"),
    "a private key": re.compile("-----BEGIN [A-Z ]*" + "PRIVATE KEY-----"),
    "an access token": re.compile(r"\b(ghp|gho|glpat|xox[bp])[-_][A-Za-z0-9]{20,}|\bAKIA[A-Z0-9]{16}\b"),
}
SPAWNERS = ("system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell")
VAGUE = ("util", "utils", "common", "misc", "manager", "helpers")


def python_files() -> list[str]:
    return [name for name in tracked() if name.endswith(".py")]


def expected_test(path: str) -> str:
    folder, _, module = path.removeprefix("netpolicy/").removesuffix(".py").rpartition("/")
    return f"tests/{folder}/test_{module}.py"


def modules_with_tests_due() -> list[str]:
    return [path for path in modules() if room_of(path) and not path.endswith("/__init__.py")]


def test_the_top_level_is_the_agreed_one() -> None:
    assert {name.split("/")[0] for name in tracked()} <= TOP_LEVEL


def test_every_module_has_a_test_file_of_its_name() -> None:
    missing = [
        f"{path}: no {expected_test(path)}"
        for path in modules_with_tests_due()
        if not (ROOT / expected_test(path)).exists() and path not in TESTED_ELSEWHERE
    ]
    assert not missing, "\n".join(missing)


def test_the_exceptions_are_about_modules_and_tests_that_exist() -> None:
    names = set(tracked())
    gone = [path for path in TESTED_ELSEWHERE if path not in names]
    assert not gone, f"there is no such module: {gone}"
    assert not [test for test in TESTED_ELSEWHERE.values() if not (ROOT / test).exists()]


def test_every_module_says_in_its_first_lines_what_it_is_for() -> None:
    silent = [path for path in (*modules(), *python_files()) if not ast.get_docstring(parsed(path)) and is_ours(path)]
    assert not silent, "\n".join(silent)


def is_ours(path: str) -> bool:
    """Empty package markers of tests have nothing to say."""
    return not (path.endswith("/__init__.py") and path.startswith("tests"))


def test_no_module_has_a_name_that_could_hold_anything() -> None:
    assert not [path for path in modules() if path.split("/")[-1].removesuffix(".py") in VAGUE]


def test_nothing_is_ever_given_to_a_shell_as_a_string() -> None:
    faults = []
    for path in python_files():
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            shell = any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords)
            name = ast.unparse(node.func)
            spawner = "." in name and name.split(".")[0] in ("os", "subprocess", "asyncio") and name.endswith(SPAWNERS)
            if shell or spawner:
                faults.append(f"{path}:{node.lineno}: {name}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    faults = []
    for name in tracked():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an ELF or an image
        faults += [f"{name}: {found.group()}" for found in FORBIDDEN[what].finditer(text)]
    assert not faults, "\n".join(faults)


def test_the_licence_is_the_whole_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_make_alone_lists_every_target() -> None:
    shown = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE)) - {"lint-only"}
    assert targets >= {"help", "run", "test", "check", "lint", "fmt", "bench", "ipk", "venv", "clean"}
    assert set(re.findall(r"^  make ([a-z-]+)", shown, re.MULTILINE)) == targets


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    names = set(re.findall(r'"([A-Za-z0-9_-]+)[><=]', section))
    reasons = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert names
    assert not [name for name in names if f"`{name}`" not in reasons]


def test_every_package_that_setup_installs_has_its_reason() -> None:
    text = (ROOT / "scripts/setup").read_text(encoding="utf-8")
    packages = set(re.findall(r"(?<=[ \n\t])[a-z]+:([a-z0-9-]+)\b", text))
    reasons = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert "nftables" in packages
    assert not [name for name in packages if f"`{name}`" not in reasons]


def test_setup_installs_every_program_that_tests_look_for() -> None:
    # A machine that happens to have one hides that nobody installs it: on the next, its tests are skipped.
    setup = (ROOT / "scripts/setup").read_text(encoding="utf-8")
    installed = set(re.findall(r"(?<=[ \n\t])([a-z0-9_.-]+):[a-z0-9-]+\b", setup))
    of_openwrt = {"ubusd", "ubus", "fw4", "rpcd", "uhttpd"}  # where they are is said by who runs `make test-ow`
    asked = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r'\bwhich\("([a-z0-9_.-]+)"', path.read_text(encoding="utf-8"))
    }
    assert {"dnsmasq", "node"} <= asked
    assert not asked - installed - of_openwrt - {"make", "tool"}  # what runs this, and a name that one test makes up


def test_every_npm_package_is_pinned_and_has_its_reason() -> None:
    lines = (ROOT / "scripts/npm-packages.txt").read_text(encoding="utf-8").splitlines()
    packages = [line.split() for line in lines if line and not line.startswith("#")]
    reasons = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert packages
    for name, version, integrity in packages:
        assert f"| `{name}` |" in reasons
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", integrity)
