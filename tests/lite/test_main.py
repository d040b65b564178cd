"""netpolicy-lite: one program, two interpreters, the same text byte for byte; and a kernel that takes it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netpolicy.lab.bench import Lab
from netpolicy.lite.main import main
from tests.kernel.steering import A4, B4, B6, SERVER4, SERVER6, rule
from tests.micropython.interpreter import on_cpython, on_micropython, why_not

PROGRAM = Path(__file__).with_name("run_lite.py")
ROOT = Path(__file__).parents[2]

LINES = """
config netpolicy 'main'
	option enabled '1'

config outbound 'fibre'
	option type 'interface'
	option interface 'wan'
	option masq '1'

config outbound 'second'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
	option ipv6_source 'masq'

config outbound 'both'
	option type 'group'
	list member 'lost'
	list member 'second'

config outbound 'lost'
	option type 'interface'
	option interface 'nowhere0'

config schedule 'always'
	option from '00:00'
	option to '24:00'

config list 'net'
	list entry '192.0.2.0/24'
	list entry '2001:db8:9::/48'
	list entry 'example.com'
	option url 'https://lists.example.net/net.txt'
"""
RULES = (
    LINES
    + rule("calls", "+dest_addr=@net", "+proto=udp", "+dest_port=5060-5061", "route=both", "on_fail=block", priority=9)
    + rule("mail", "+dest_port=25", "+src_iface=lan", "block=reject", "log=1")
    + rule("names", "+domain=@net", "+schedule=always", "route=fibre")
    + rule("Rest_Of_It", "any=1", "route=fibre", priority=1)
)

FILES = {
    "/etc/config/netpolicy": RULES,
    "/etc/config/network": """
config interface 'loopback'
	option device 'lo'
config interface 'lan'
	option device 'br-lan'
	option proto 'static'
config interface 'wan'
	option proto 'pppoe'
	option device 'eth1'
""",
    "/proc/net/dev": "Inter-|   Receive\n face |bytes\n    lo: 1 2\nbr-lan: 1 2\npppoe-wan: 1 2\n  wanb: 1 2\n",
    "/proc/net/route": (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "pppoe-wan\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "pppoe-wan\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "br-lan\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "wanb\t006433C6\t00000000\t0001\t0\t0\t10\t00FFFFFF\t0\t0\t0\n"
    ),
    "/proc/net/ipv6_route": (
        "20010db8000b00000000000000000000 40 00000000000000000000000000000000 00 "
        "00000000000000000000000000000000 00000100 00000001 00000000 00000001     wanb\n"
    ),
    "/proc/net/if_inet6": "20010db8000b00000000000000000002 05 40 00 80     wanb\n",
    "/sys/class/net/wanb/address": "02:00:00:00:00:0b\n",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a router by their places on it."""
    root = tmp_path_factory.mktemp("root")
    found = {}
    for place, text in FILES.items():
        path = root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        found[place] = path
    found[""] = root
    return found


def here(files: dict[str, Path], *words: str) -> subprocess.CompletedProcess[str]:
    return on_cpython(PROGRAM, "--root", str(files[""]), *words)


@pytest.mark.parametrize(
    "words",
    [["nft"], ["ip"], ["ip4"], ["ip6"], ["lint"], ["decide", "dest_addr=192.0.2.9", "proto=udp", "port=5060"],
     ["decide", "src_iface=lan", "port=25", "at=x"], ["decide", "domain=a.example.com", "schedule=always"],
     ["nonsense"]],
)  # fmt: skip
def test_both_interpreters_print_the_same_bytes(files: dict[str, Path], words: list[str]) -> None:
    if why_not():
        pytest.skip(f"no MicroPython here: {why_not()}")
    there = on_micropython(PROGRAM, *words, files={place: path for place, path in files.items() if place})
    ours = here(files, *words)
    root = str(files[""])
    assert (there.returncode, there.stdout) == (ours.returncode, ours.stdout.replace(root, ""))
    assert there.stderr == ours.stderr.replace(root, "")


def test_the_text_is_the_table_and_the_routes_of_the_rules(files: dict[str, Path]) -> None:
    nft = here(files, "nft")
    assert nft.returncode == 0, nft.stderr
    assert "192.0.2.0/24 . 5060-5061 . 17 . " in nft.stdout and "2001:db8:9::/48 . 5060-5061 . 17 . " in nft.stdout
    assert 'iifname "br-lan"' in nft.stdout
    assert "names: not enforced yet: domain is not known at the first packet" in nft.stderr
    assert "list net: nothing is fetched here" in nft.stderr
    ip = here(files, "ip").stdout.splitlines()
    assert any("default via 203.0.113.1 dev pppoe-wan table 7001" in line for line in ip)
    assert any("default via 2001:db8:b::1 dev wanb table 7002" in line for line in ip)
    decided = here(files, "decide", "dest_addr=192.0.2.9", "proto=udp", "port=5060").stdout.splitlines()
    assert decided[:3] == ["decision: state=NORMAL rule=calls", "action: route both", "outbound: second"]


# A rule of 31 addresses and 31 ports.
MANY = (
    "config rule 'many{}'\n\toption block '1'\n"
    + "".join(f"\tlist dest_addr '10.0.{number}.1'\n" for number in range(31))
    + "".join(f"\tlist dest_port '{2 * number + 1}'\n" for number in range(31))
)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (RULES + "config rule 'bad'\n\toption prioty '1'\n\toption any '1'\n\toption route 'fibre'\n", 0, "'priority'"),
        (RULES + "config rule 'bad'\n\toption block '1'\n", 1, "correct it first"),
        (RULES + "\tlist x 'open\n", 1, "unterminated"),
        ("\x00\x01", 1, "control character"),
        (
            RULES + "".join(MANY.format(number) for number in range(110)),
            1,
            "more than 100000 elements of maps, at rule",
        ),
    ],
)
def test_what_is_wrong_is_said_and_a_broken_block_stops_it(tmp_path: Path, text: str, code: int, says: str) -> None:
    path = tmp_path / "netpolicy"
    path.write_text(text)
    done = on_cpython(PROGRAM, "--config", str(path), "nft")
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (code == 0)


def test_a_missing_file_and_a_wrong_command_line_have_their_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "/nonexistent/netpolicy", "nft"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main([]) == 64
    assert main(["decide", "port"]) == 64
    assert main(["--config", "/nonexistent", "decide", "port=x"]) == 64


@pytest.mark.kernel
def test_a_shell_line_brings_it_into_force(lab: Lab, tmp_path: Path) -> None:
    """Without the daemon: the text of lite, nft and ip, and a client's connection leaves by the other line."""
    config = tmp_path / "netpolicy"
    text = LINES.split("config outbound 'both'")[0].replace("interface 'wan'\n", "interface 'wana'\n")
    text = text.replace("ipv6_source 'masq'", "ipv6_source 'masq'\n\toption masq '1'")
    config.write_text(text + rule("to_b", "+dest_port=31000", "route=second"))
    shell = (
        '"$0" --config "$1" nft | nft -f - && "$0" --config "$1" ip4 | ip -4 -force -batch - && '
        '"$0" --config "$1" ip6 | ip -6 -force -batch -'
    )
    program = str(ROOT / "files/usr/bin/netpolicy-lite")
    settings = [f"NETPOLICY_HOME={ROOT}", f"NETPOLICY_PYTHON={shutil.which('python3')}"]
    for _ in range(2):  # again changes nothing and fails at nothing
        done = lab.run("router", ["env", *settings, "sh", "-c", shell, program, str(config)])
        assert done.returncode == 0, done.stderr
        assert lab.tcp("desk", SERVER4, 31000)["seen"] == B4
        assert lab.tcp("desk", SERVER6, 31000)["seen"] == B6
        assert lab.tcp("desk", SERVER4, 31001)["seen"] == A4
