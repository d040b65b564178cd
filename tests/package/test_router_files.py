"""Everything under files/ and sdk-build/scripts/: parses with the shells of a router, is safe as shipped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netpolicy.config.linter import lint_text
from tests.netns import needs_root, private_netns

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "files"
SCRIPTS = [
    FILES / "etc/init.d/netpolicy",
    FILES / "etc/init.d/netpolicy-guard",
    FILES / "etc/uci-defaults/90-netpolicy",
    FILES / "usr/lib/netpolicy/guard",
    *sorted((ROOT / "sdk-build/scripts").iterdir()),
]
SHELLS = [["dash"], ["busybox", "ash"]]

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse(script: Path, shell: list[str]) -> None:
    need(shell[0])
    subprocess.run([*shell, "-n", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    need("shellcheck")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_every_shellcheck_exception_gives_its_reason() -> None:
    for script in SCRIPTS:
        lines = script.read_text().splitlines()
        for number, line in enumerate(lines):
            if "shellcheck" in line and "disable=" in line:
                around = [lines[number - 1], lines[number + 1]]
                assert any(text.startswith("#") or text.strip().startswith("#") for text in around), line


def options(path: Path) -> dict[str, dict[str, str]]:
    """Options per section of a UCI file, the plain subset that our own file uses."""
    sections: dict[str, dict[str, str]] = {}
    for line in path.read_text().splitlines():
        words = re.findall(r"'([^']*)'|(\S+)", line.split("#")[0])
        values = [quoted or plain for quoted, plain in words]
        if values[:1] == ["config"]:
            current = sections.setdefault(values[2], {".type": values[1]})
        elif values[:1] == ["option"]:
            current[values[1]] = values[2]
    return sections


def test_the_shipped_configuration_is_off_and_changes_nothing() -> None:
    sections = options(FILES / "etc/config/netpolicy")
    assert sections["main"]["enabled"] == "0"
    assert sections["main"]["mode"] == "observe"
    assert [name for name, values in sections.items() if values[".type"] == "rule"] == []


def test_what_the_shipped_configuration_shows_in_comments_is_right_too() -> None:
    text = (FILES / "etc/config/netpolicy").read_text()
    shown = re.sub(r"^#(?: (?=config )|(?=\t))", "", text, flags=re.MULTILINE).replace("enabled '0'", "enabled '1'")
    assert shown.count("\nconfig ") == text.count("config ") == 5
    assert [item.text() for item in lint_text(shown) if item.severity != "info"] == []


def test_the_include_loads_nothing_without_the_daemon(tmp_path: Path) -> None:
    """A syntax error here would cost the router its firewall."""
    text = (FILES / "usr/share/nftables.d/ruleset-post/50-netpolicy.nft").read_text()
    assert 'include "/var/run/netpolicy/fw4/*.nft"' in text
    statements = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(statements) == 1


@needs_root
@needs_nft
@pytest.mark.kernel
@pytest.mark.parametrize("content", [None, [], ["add table inet one\n"]], ids=["no folder", "empty", "one file"])
def test_nft_accepts_the_include_in_every_state_of_the_folder(tmp_path: Path, content: list[str] | None) -> None:
    folder = tmp_path / "fw4"
    if content is not None:
        folder.mkdir()
        for number, text in enumerate(content):
            (folder / f"{number}.nft").write_text(text)
    include = (FILES / "usr/share/nftables.d/ruleset-post/50-netpolicy.nft").read_text()
    script = tmp_path / "script.nft"
    script.write_text(include.replace("/var/run/netpolicy/fw4", str(folder)))
    with private_netns():
        subprocess.run(["nft", "-f", script], check=True)
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert tables == ("table inet one\n" if content else "")


FAKE_UCI = """#!/usr/bin/env python3
# As much of uci as the script uses: [-q] -t DIR VERB ARGUMENT, state in one JSON file.
import json, os, sys
path = os.environ["UCI_STATE"]
state = json.load(open(path))
words = [word for word in sys.argv[1:] if word != "-q"]
stage = words[words.index("-t") + 1]
words = words[words.index("-t") + 2 :]
staged = os.path.join(stage, "staged")
changes = json.load(open(staged)) if os.path.exists(staged) else {}
verb, argument = words
if verb == "show":
    sys.exit(0 if state["parses"] else 1)
if verb == "get":
    sys.exit(0 if argument in {**state["values"], **changes} else 1)
if verb == "set":
    name, value = argument.split("=", 1)
    changes[name] = value
    json.dump(changes, open(staged, "w"))
if verb == "changes":
    print("\\n".join(changes))
if verb == "commit":
    state["values"].update(changes)
    state["commits"] += 1
    json.dump(state, open(path, "w"))
"""


def run_defaults(tmp_path: Path, values: dict[str, str], *, parses: bool = True, times: int = 1) -> dict:
    uci = tmp_path / "bin/uci"
    uci.parent.mkdir()
    uci.write_text(FAKE_UCI.replace("/usr/bin/env python3", sys.executable))
    uci.chmod(0o755)
    state = tmp_path / "state"
    state.write_text(json.dumps({"values": values, "parses": parses, "commits": 0}))
    config = tmp_path / "config"
    text = (FILES / "etc/uci-defaults/90-netpolicy").read_text().replace("/etc/config/netpolicy", str(config))
    environment = {**os.environ, "PATH": f"{uci.parent}:{os.environ['PATH']}", "UCI_STATE": str(state)}
    for _ in range(times):
        subprocess.run(["dash", "-c", text], env=environment, check=True)
    return json.loads(state.read_text())


def test_defaults_complete_an_empty_configuration_once(tmp_path: Path) -> None:
    state = run_defaults(tmp_path, {}, times=2)
    assert state["values"] == {
        "netpolicy.main": "netpolicy",
        "netpolicy.main.enabled": "0",
        "netpolicy.main.mode": "observe",
    }
    assert state["commits"] == 1


def test_defaults_never_change_what_an_administrator_set(tmp_path: Path) -> None:
    given = {"netpolicy.main": "netpolicy", "netpolicy.main.enabled": "1", "netpolicy.main.mode": "enforce"}
    state = run_defaults(tmp_path, dict(given))
    assert state["values"] == given
    assert state["commits"] == 0


def test_defaults_leave_a_file_that_does_not_parse_alone(tmp_path: Path) -> None:
    state = run_defaults(tmp_path, {}, parses=False)
    assert state == {"values": {}, "parses": False, "commits": 0}


def test_defaults_leave_no_staging_folder_behind(tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("netpolicy-defaults.*"))
    run_defaults(tmp_path, {})
    assert set(Path("/tmp").glob("netpolicy-defaults.*")) == before


@pytest.mark.parametrize(("name", "room"), [("netpolicy", "cli"), ("netpolicyd", "daemon")])
def test_a_launcher_runs_the_installed_package_and_writes_no_bytecode(tmp_path: Path, name: str, room: str) -> None:
    library = tmp_path / "lib"
    (library / "netpolicy" / room).mkdir(parents=True)
    for folder in (library / "netpolicy", library / "netpolicy" / room):
        (folder / "__init__.py").write_text("")
    (library / "netpolicy" / room / "main.py").write_text(
        "import sys\ndef main():\n    print(__file__, sys.argv[1:])\n    return 3\n"
    )
    launcher = tmp_path / name
    launcher.write_text((FILES / "usr/bin" / name).read_text().replace("/usr/lib/netpolicy", str(library)))
    done = subprocess.run(
        [sys.executable, launcher, "--flag"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout == f"{library}/netpolicy/{room}/main.py ['--flag']\n"
    assert done.returncode == 3
    assert not list(library.rglob("__pycache__"))


def test_installing_compiles_without_docstrings_under_the_names_that_every_start_reads(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "probe.py").write_text('"""Much text."""\nassert False, "left out as well"\n')
    script = (ROOT / "sdk-build/scripts/netpolicy.postinst").read_text().partition("# Explicit")[0]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    subprocess.run(["sh", "-c", script.replace("/usr/lib/netpolicy", str(tmp_path))], env=environment, check=True)
    assert len(list(tmp_path.rglob("*.pyc"))) == 1 and not list(tmp_path.rglob("*.opt-*"))
    code = "import room.probe; print(room.probe.__doc__)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.stdout == "None\n", done.stderr
