"""The init script against recorded procd, ubus and configuration: what it asks for, and when.

`rc.common` and procd's shell functions are OpenWrt's; here stand-ins of the same names write
down every call. That the real ones accept the calls is a matter of docs/testing-openwrt.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netpolicy.dataplane.names import SCHEMA, TABLE
from tests.netns import needs_root, private_netns, run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "files/etc/init.d/netpolicy"

# Names and calling order as in OpenWrt's rc.common and procd.sh.
STAND_INS = r"""
note() { echo "$*"; }
extra_command() { note extra_command "$1"; }
config_load() { note config_load "$1" >/dev/null; }
config_get() { eval "$1=\"\${CFG_${2}_${3}:-\${4:-}}\""; }
config_get_bool() { config_get "$1" "$2" "$3" "$4"; }
config_foreach() { for section in $(eval "echo \$CFG_OF_$2"); do "$1" "$section"; done; }
for name in procd_open_instance procd_close_instance procd_set_param procd_open_data procd_close_data \
	procd_add_reload_trigger procd_add_reload_interface_trigger procd_send_signal \
	json_add_string json_add_int logger; do
	eval "$name() { note $name \"\$@\"; }"
done
rc_procd() { "$@"; service_triggers; note ubus call service set; }
sleep() { note sleep "$1"; }
kill() { note kill "$@"; [ "$KILL_ALIVE" -gt 0 ] && KILL_ALIVE=$((KILL_ALIVE - 1)); }
KILL_ALIVE="${KILL_ALIVE:-0}"
jsonfilter() { case "$4" in @.ok) echo "$REPLY_OK";; *) echo "$REPLY_ERROR";; esac; }
ubus() {
	case "$*" in
	"-S list netpolicy") [ "$ON_BUS" = 1 ] ;;
	*) note ubus "$@" >&2; echo reply; [ "$ON_BUS" = 1 ] ;;
	esac
}
start() { rc_procd start_service "$@"; }
stop() { stop_service "$@"; note procd_kill; service_stopped; }
restart() { stop; start; }
shutdown() { stop; }
reload() { reload_service "$@"; }
"""

SHELLS: list[list[str]] = [["dash"], ["busybox", "ash"]]


@dataclass
class Router:
    """A configuration and what the bus answers; `do` runs one action of the script."""

    folder: Path
    shell: list[str]
    settings: dict[str, str] = field(default_factory=dict)
    more: str = (
        'nft() { note nft "$@"; case "$*" in *list*) echo "chain np_schema_1 {" ;; esac; }; ip() { note ip "$@"; };'
    )

    def do(self, action: str) -> tuple[list[str], int]:
        """The calls in order, and the exit code."""
        own = f"RUN_DIR={self.folder}/run PID_FILE={self.folder}/pid RELEASE_FILE={self.folder}/RELEASE"
        own += f" DNSMASQ={self.folder}/dnsmasq"
        text = f"{STAND_INS}\n{self.more}\n. {SCRIPT}\n{own}\naction={action}\n{action}\n"
        environment = {"PATH": os.environ["PATH"], **self.settings}
        done = subprocess.run([*self.shell, "-c", text], env=environment, capture_output=True, text=True, check=False)
        return (done.stderr + done.stdout).splitlines(), done.returncode


@pytest.fixture(params=SHELLS, ids=" ".join)
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Router:
    if shutil.which(request.param[0]) is None:
        pytest.skip(f"needs {request.param[0]}")
    (tmp_path / "RELEASE").write_text("1.2.3-r4\n")
    settings = {
        "CFG_main_TYPE": "netpolicy",
        "CFG_main_enabled": "1",
        "CFG_OF_outbound": "wan wan_b offline",
        "CFG_OF_rule": "one two three",
        "CFG_wan_interface": "wan",
        "CFG_wan_b_interface": "wanb",
        "ON_BUS": "1",
        "REPLY_OK": "true",
    }
    return Router(tmp_path, request.param, settings)


TRIGGERS = [
    "procd_add_reload_trigger netpolicy firewall",
    "procd_add_reload_interface_trigger wan",
    "procd_add_reload_interface_trigger wanb",
]


def triggers(calls: list[str]) -> list[str]:
    return [call for call in calls if "_trigger " in call]


def test_start_runs_the_daemon_with_its_release_in_the_command_line(router: Router) -> None:
    calls, code = router.do("start")
    assert code == 0
    assert (
        "procd_set_param command /usr/bin/netpolicyd --config /etc/config/netpolicy --foreground --release 1.2.3-r4"
    ) in calls
    assert "procd_set_param env PYTHONUNBUFFERED=1" in calls
    assert any(call.startswith("procd_set_param respawn ") for call in calls)


def test_a_missing_release_file_does_not_keep_the_daemon_from_starting(router: Router) -> None:
    (router.folder / "RELEASE").unlink()
    calls, code = router.do("start")
    assert code == 0
    assert [call for call in calls if call.endswith("--release unknown")]


def test_a_killed_daemon_is_back_within_three_seconds(router: Router) -> None:
    calls, _ = router.do("start")
    respawn = next(call for call in calls if call.startswith("procd_set_param respawn ")).split()
    assert int(respawn[3]) <= 1


def test_the_summary_counts_rules_and_outbounds(router: Router) -> None:
    calls, _ = router.do("start")
    inside = calls[calls.index("procd_open_data") : calls.index("procd_close_data")]
    assert "json_add_int rules 3" in inside
    assert "json_add_int outbounds 3" in inside
    assert "json_add_string mode enforce" in inside


def test_a_service_that_is_off_starts_nothing_but_listens_to_every_trigger(router: Router) -> None:
    router.settings["CFG_main_enabled"] = "0"
    calls, code = router.do("start")
    assert code == 0
    assert "procd_open_instance main" not in calls
    assert triggers(calls) == TRIGGERS


@pytest.mark.parametrize("action", ["start", "reload", "restart"])
def test_every_path_registers_the_full_set_of_triggers(router: Router, action: str) -> None:
    calls, _ = router.do(action)
    assert triggers(calls) == TRIGGERS


def test_reload_asks_the_daemon_over_the_bus_and_sends_no_signal(router: Router) -> None:
    calls, code = router.do("reload")
    assert code == 0
    assert "ubus -S -t 20 call netpolicy reload {}" in calls
    assert not [call for call in calls if call.startswith("procd_send_signal")]


def test_a_refused_configuration_makes_reload_fail_with_the_reason(router: Router) -> None:
    router.settings |= {"REPLY_OK": "false", "REPLY_ERROR": "line 7: unknown option"}
    calls, code = router.do("reload")
    assert code == 1
    assert any("old configuration stays in force: line 7: unknown option" in call for call in calls)


def test_a_daemon_that_never_answers_gets_a_signal_after_the_wait(router: Router) -> None:
    router.settings["ON_BUS"] = "0"
    calls, _ = router.do("reload")
    assert calls.count("sleep 1") == 10
    assert calls[-1] == "procd_send_signal netpolicy main HUP"


def test_switching_off_by_reload_asks_nobody_and_clears_what_is_left(router: Router) -> None:
    router.settings["CFG_main_enabled"] = "0"
    calls, code = router.do("reload")
    assert code == 0
    assert not [call for call in calls if "call netpolicy" in call or "send_signal" in call]
    assert "nft delete table inet netpolicy" in calls


def test_stop_waits_for_the_daemon_before_it_clears_the_kernel(router: Router) -> None:
    (router.folder / "pid").write_text("4242\n")
    router.settings["KILL_ALIVE"] = "2"
    calls, code = router.do("stop")
    assert code == 0
    assert calls.count("kill -0 4242") == 3
    assert calls.index("procd_kill") < calls.index("kill -0 4242")
    assert calls[::-1].index("kill -0 4242") > calls[::-1].index("nft delete table inet netpolicy")


def test_stop_gives_up_waiting_for_a_process_that_does_not_die(router: Router) -> None:
    (router.folder / "pid").write_text("4242\n")
    router.settings["KILL_ALIVE"] = "1000"
    calls, _ = router.do("stop")
    assert calls.count("sleep 1") == 17
    assert "nft delete table inet netpolicy" in calls


@pytest.mark.parametrize(("action", "upgrade"), [("restart", "0"), ("stop", "1"), ("shutdown", "0")])
def test_restart_upgrade_and_the_end_of_the_router_keep_the_kernel_state(
    router: Router, action: str, upgrade: str
) -> None:
    (router.folder / "run").mkdir()
    router.settings["PKG_UPGRADE"] = upgrade
    calls, _ = router.do(action)
    assert not [call for call in calls if call.startswith(("nft ", "ip "))]
    assert (router.folder / "run/handover").exists()
    if action == "restart":
        assert "procd_open_instance main" in calls


def test_an_empty_file_does_not_switch_a_running_daemon_off(router: Router) -> None:
    router.settings.update({"CFG_main_TYPE": "", "CFG_main_enabled": ""})
    assert "procd_open_instance main" not in router.do("start")[0]
    (router.folder / "pid").write_text("1\n")
    calls, _ = router.do("reload")
    assert "procd_open_instance main" in calls
    assert not [call for call in calls if call.startswith(("nft ", "ip "))]


def test_at_a_boot_that_closed_something_an_empty_file_does_not_keep_the_daemon_away(router: Router) -> None:
    router.settings.update({"CFG_main_TYPE": "", "CFG_main_enabled": ""})
    (router.folder / "run").mkdir()
    (router.folder / "run/classes.json").write_text("{}\n")  # by the guard, with its locks
    calls, _ = router.do("start")
    assert "procd_open_instance main" in calls
    assert not [call for call in calls if call.startswith(("nft ", "ip "))]


def test_stop_asks_for_no_hand_over_also_after_a_restart_that_did(router: Router) -> None:
    (router.folder / "run").mkdir()
    router.do("restart")
    router.do("stop")
    assert not (router.folder / "run/handover").exists()


def test_stop_removes_the_text_that_the_firewall_would_load_again(router: Router) -> None:
    folder = router.folder / "run/fw4"
    folder.mkdir(parents=True)
    (folder / "10-netpolicy.nft").write_text("add table inet netpolicy\n")
    router.do("stop")
    assert list(folder.iterdir()) == []


def test_stop_takes_back_what_a_boot_gave_dnsmasq_where_no_daemon_came(router: Router) -> None:
    folder = router.folder / "dnsmasq.d"
    for one in (router.folder / "run", folder):
        one.mkdir()
    (router.folder / "run/dnsmasq.folders").write_text(f"{router.folder}/gone\n{folder}\n")
    (router.folder / "run/dnsmasq.conf").write_text("# ours\n")
    for name in ("netpolicy.conf", "theirs.conf"):
        (folder / name).write_text("")
    (router.folder / "dnsmasq").write_text('#!/bin/sh\necho "dnsmasq $*"\n')
    (router.folder / "dnsmasq").chmod(0o755)
    assert router.do("restart")[0].count("dnsmasq restart") == 0  # handed over
    assert router.do("stop")[0].count("dnsmasq restart") == 1
    assert [one.name for one in folder.iterdir()] == ["theirs.conf"]
    assert not any(one.name.startswith("dnsmasq") for one in (router.folder / "run").iterdir())
    assert router.do("stop")[0].count("dnsmasq restart") == 0


def kernel_state() -> str:
    commands: list[list[str]] = [["nft", "list", "ruleset"]]
    for family in ("-4", "-6"):
        commands += [["ip", family, "rule"], ["ip", family, "route", "show", "table", "all"]]
    return "\n".join(run(*command) for command in commands)


def add_state(run_in: Callable[..., str], table: str, protocol: str, base: int) -> None:
    """A table, a rule and a route of each family, under the given owner."""
    run_in("nft", "add", "table", "inet", table)
    run_in("nft", "add", "chain", "inet", table, SCHEMA if table == TABLE else "c")
    for family, route in (("-4", "198.51.100.0/24"), ("-6", "2001:db8:9::/64")):
        run_in(
            "ip",
            family,
            "rule",
            "add",
            "priority",
            str(base),
            "fwmark",
            "0x1",
            "lookup",
            str(base),
            "protocol",
            protocol,
        )
        run_in("ip", family, "route", "add", route, "dev", "lo", "table", str(base), "protocol", protocol)


@pytest.mark.kernel
@needs_root
def test_stop_removes_what_a_killed_daemon_left_and_nothing_else(router: Router) -> None:
    router.more = ""
    with private_netns():
        run("ip", "link", "set", "lo", "up")
        add_state(run, "foreign", "static", 6000)
        before = kernel_state()
        add_state(run, "netpolicy", "78", 7001)
        assert kernel_state() != before
        router.do("stop")
        assert kernel_state() == before


@pytest.mark.kernel
@needs_root
def test_stop_leaves_a_table_of_our_name_that_another_made(router: Router) -> None:
    router.more = ""
    with private_netns():
        run("nft", "add", "table", "inet", TABLE)
        run("nft", "add", "chain", "inet", TABLE, "somebodys")
        before = kernel_state()
        router.do("stop")
        assert kernel_state() == before
