"""From a file to a rule set: what is skipped, what is fatal, and what is said."""

from pathlib import Path

import pytest

from netpolicy.config.diagnostic import CODES
from netpolicy.config.load import Loaded, load, load_text

GOOD = """
config netpolicy 'main'
	option enabled 'yes'
	option primary 'wana'
	option default 'direct'
	option fwmark_mask '0x77000000'

config outbound 'wana'
	option type 'interface'
	option interface 'wana'

config outbound 'vpn'
	option type 'table'
	option table '100'
	option name 'The tunnel'

config rule 'mail'
	option name 'No mail from guests'
	option priority '90'
	list src_addr '192.168.3.0/24'
	option proto 'tcp'
	option dest_port '25'
	option block 'reject'
	option log '1'

config rule 'work'
	list dest_addr '10.20.0.0/16'
	option route 'vpn'
	option on_fail 'block'
	list state 'normal'
"""


def found(loaded: Loaded, severity: str = "error") -> list[tuple[str, int]]:
    return [(item.code, item.line) for item in loaded.diagnostics if item.severity == severity]


def rule(*lines: str, name: str = "r") -> Loaded:
    """One rule in a file without outbounds."""
    return load_text(f"config rule '{name}'\n" + "".join(f"\t{line}\n" for line in lines))


def only(code: str, loaded: Loaded) -> str:
    """The one error's text."""
    errors = [item for item in loaded.diagnostics if item.severity == "error"]
    assert [item.code for item in errors] == [code], errors
    return errors[0].text()


def test_a_good_file_gives_everything_and_no_finding():
    loaded = load_text(GOOD)
    ruleset = loaded.ruleset
    assert (loaded.diagnostics, loaded.skipped, loaded.fatal, loaded.blocked_skip) == ((), (), False, False)
    assert (ruleset.settings.enabled, ruleset.settings.primary, ruleset.settings.default) == (True, "wana", "direct")
    assert [(one.name, one.type, one.table, one.title) for one in ruleset.outbounds] == [
        ("wana", "interface", 0, "wana"),
        ("vpn", "table", 100, "The tunnel"),
    ]
    mail, work = ruleset.rules
    assert (mail.title, mail.priority, mail.match_text) == (
        "No mail from guests", 90, "src_addr=192.168.3.0/24 proto=tcp dest_port=25",
    )  # fmt: skip
    assert (mail.action.text, mail.action.log, mail.position) == ("block reject", True, "<text>:17")
    assert (work.action.target, work.action.on_fail, work.when) == ("vpn", "block", ("NORMAL",))


def test_an_empty_text_is_a_rule_set_that_does_nothing():
    loaded = load_text("")
    assert not loaded.fatal
    assert not loaded.ruleset.settings.enabled
    assert found(loaded, "info") == [("NP208", 0)]


def test_one_broken_rule_is_skipped_and_takes_no_other_down():
    loaded = load_text(GOOD + "config rule 'bad'\n\toption dest_prot '1'\n\toption route 'vpn'\n")
    assert [one.name for one in loaded.ruleset.rules] == ["mail", "work"]
    assert loaded.skipped == (("bad", "unknown option 'dest_prot' in a rule section"),)
    assert (loaded.fatal, loaded.blocked_skip) == (False, False)
    error = next(item for item in loaded.diagnostics if item.severity == "error")
    assert error.text() == (
        "<text>:32:2: error[NP101] rule 'bad': unknown option 'dest_prot' in a rule section\n"
        "  hint: did you mean 'dest_port'?"
    )


@pytest.mark.parametrize(
    "line", ["option block '1'", "option block 'dorp'", "option route 'block'", "option on_fail 'block'"]
)
def test_a_skipped_rule_that_protects_is_flagged(line):
    assert rule("option foo '1'", "option any '1'", line).blocked_skip
    assert not rule("option foo '1'", "option any '1'", line, "option enabled '0'").blocked_skip


def test_a_skipped_route_to_a_blocking_outbound_is_flagged():
    text = "config outbound 'pit'\n\toption type 'block'\nconfig rule 'r'\n\toption foo '1'\n\toption route 'pit'\n"
    assert load_text(text).blocked_skip


def test_a_syntax_error_is_fatal_wherever_it_is():
    loaded = load_text(GOOD + "\toption broken 'x\n")
    assert loaded.fatal
    assert found(loaded) == [("NP003", 31)]


@pytest.mark.parametrize(
    "lines",
    ["option mode 'off'", "option primery 'wana'", "option primary 'wanb'", "option default 'wanb'",
     "option fwmark_mask '7'",
     "option table_base '100'", "option rule_priority '32700'",
     "option enabled 'perhaps'", "list mode 'enforce'"],
)  # fmt: skip
def test_a_broken_main_section_is_fatal(lines):
    loaded = load_text(f"config netpolicy 'main'\n\t{lines}\nconfig outbound 'wana'\n\toption type 'direct'\n")
    assert loaded.fatal


def test_the_main_section_is_called_main():
    assert load_text("config netpolicy 'other'\n").fatal
    assert load_text("config netpolicy\n").fatal


def test_mask_forms():
    for text, mask in (("0xff00", 0xFF00), ("240", 240)):
        assert (
            load_text(f"config netpolicy 'main'\n\toption fwmark_mask '{text}'\n").ruleset.settings.fwmark_mask == mask
        )


BROKEN_OUTBOUNDS = {
    "no type": "",
    "an unknown type": "option type 'interfcae'",
    "an interface without its name": "option type 'interface'",
    "a table without its number": "option type 'table'",
    "the kernel's own table": "option type 'table'\n\toption table '254'",
    "one of our own tables": "option type 'table'\n\toption table '7010'",
    "an option of another type": "option type 'direct'\n\toption interface 'wan'",
    "a gateway of the wrong family": "option type 'interface'\n\toption interface 'w'\n\toption gateway '::1'",
    "a prefix without the source": "option type 'interface'\n\toption interface 'w'\n\toption ipv6_prefix 'fd00::/56'",
    "the source without a prefix": "option type 'interface'\n\toption interface 'w'\n\toption ipv6_source 'prefix'",
    "masq on a table": "option type 'table'\n\toption table '9'\n\toption masq '1'",
    "IPv6 translation on a table": "option type 'table'\n\toption table '9'\n\toption ipv6_source 'masq'",
    "a prefix on a table": "option type 'table'\n\toption table '9'\n\toption ipv6_prefix 'fd00::/56'",
    "a type of later": "option type 'group'\n\tlist member 'wan'",
}


@pytest.mark.parametrize("case", BROKEN_OUTBOUNDS)
def test_a_broken_outbound_is_fatal_only_when_something_names_it(case):
    text = f"config outbound 'x'\n\t{BROKEN_OUTBOUNDS[case]}\n"
    unused = load_text(text)
    assert found(unused)
    assert not unused.fatal
    used = load_text(text + "config rule 'r'\n\toption any '1'\n\toption route 'x'\n")
    assert used.fatal
    assert used.ruleset.rules == ()
    assert load_text(text + "config netpolicy 'main'\n\toption default 'x'\n").fatal


def test_an_ipv6_prefix_is_asked_for_and_not_said_to_be_learned():
    text = "config outbound 'w'\n\toption type 'interface'\n\toption interface 'w'\n\toption ipv6_source 'prefix'\n"
    loaded = load_text(text)
    assert found(loaded) == [("NP109", 4)]
    assert "it is not learned" in only("NP109", loaded)


def test_a_default_that_can_go_down_is_questioned():
    head = "config netpolicy 'main'\n\toption default 'w'\nconfig outbound 'w'\n\toption type "
    for kind in ("'interface'\n\toption interface 'w'\n", "'table'\n\toption table '9'\n"):
        assert found(load_text(head + kind), "warning") == [("NP211", 2)]
    for kind in ("'direct'\n", "'block'\n"):
        assert not found(load_text(head + kind), "warning")


def test_built_in_outbounds_cannot_be_something_else():
    assert found(load_text("config outbound 'direct'\n\toption type 'block'\n")) == [("NP106", 1)]
    assert not found(load_text("config outbound 'direct'\n\toption type 'direct'\n"))


def test_a_route_to_nowhere_is_an_error_with_outbounds_and_a_warning_without():
    text = "config rule 'r'\n\toption any '1'\n\toption route 'wanna'\n"
    alone = load_text(text)
    assert found(alone, "warning") == [("NP204", 3)]
    assert len(alone.ruleset.rules) == 1
    full = load_text("config outbound 'wana'\n\toption type 'direct'\n" + text)
    assert "did you mean 'wana'?" in only("NP204", full)
    assert full.skipped[0][0] == "r"
    assert not full.fatal


def test_the_built_in_outbounds_need_no_definition():
    assert not found(load_text(GOOD + "config rule 'd'\n\toption any '1'\n\toption route 'direct'\n"))


PHRASES = {
    "match must contain at least one field or any: true": ["option route 'x'"],
    "action must include one primary action": ["option any '1'", "option log '1'"],
    "action must not include multiple primary actions": ["option any '1'", "option route 'x'", "option block '1'"],
    "port pattern must not contain empty entries": ["option port ''", "option route 'x'"],
    "invalid port value: http": ["list dest_port 'http'", "option route 'x'"],
    "invalid port range start: x": ["option port 'x-5'", "option route 'x'"],
    "invalid port range end: x": ["option port '5-x'", "option route 'x'"],
    "invalid port range (start > end): 2000-1000": ["option port '2000-1000'", "option route 'x'"],
    "invalid state value: BROKEN": ["option any '1'", "option state 'BROKEN'", "option route 'x'"],
    "priority must be >= 0": ["option any '1'", "option priority '-1'", "option route 'x'"],
}


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_predecessors_phrases_with_rule_and_line(phrase):
    text = rule(*PHRASES[phrase])
    errors = [item.text() for item in text.diagnostics if item.severity == "error"]
    assert len(errors) == 1
    assert phrase in errors[0]
    assert "rule 'r'" in errors[0]


def test_what_is_missing_has_its_own_code():
    assert only("NP201", rule("option route 'x'"))
    assert only("NP205", load_text("config netpolicy 'main'\n\toption primary 'x'\n"))


def test_the_old_names_of_fields_are_accepted_and_two_names_for_one_are_not():
    loaded = rule("option protocol 'tcp'", "option port '1'", "option block '1'")
    assert loaded.ruleset.rules[0].match_text == "proto=tcp dest_port=1"
    assert only("NP109", rule("option proto 'tcp'", "option protocol 'udp'", "option block '1'"))


def test_any_makes_other_fields_idle_but_not_their_garbage():
    loaded = rule("option any '1'", "option dest_port '1'", "option route 'x'")
    assert loaded.ruleset.rules[0].fields == ()
    assert ("NP109", 2) in found(loaded, "warning")
    assert only("NP105", rule("option any '1'", "option dest_port 'zzz'", "option route 'x'"))
    assert not found(rule("option any '0'", "option dest_port '1'", "option route 'x'"))


WHOLE = """config netpolicy 'main'
	option enabled '1'
	option primary 'wan'
	option confirm '60'
	list assert 'lan  can wan tcp/443'

config outbound 'wan'
	option type 'interface'
	option interface 'wan'
	list probe 'ping:192.0.2.1'

config outbound 'wg'
	option type 'interface'
	option interface 'wg0'
	option weight '3'

config outbound 'tunnel'
	option type 'group'
	option strategy 'balance'
	list member 'wg'
	list member 'wan'

config outbound 'proxy'
	option type 'xray'
	option node 'frankfurt'

config outbound 'office'
	option type 'tunnel'
	option server 'ssh://me@vps.example.net:22'
	option key 'vps'

config schedule 'evening'
	list days 'fri-mon'
	option from '22:00'
	option to '6:30'

config throttle 'slow'
	option down '1.5mbit'

config list 'video'
	list entry 'Example.COM'
	list entry '192.0.2.0-192.0.2.255'
	option url 'https://lists.example/video'
	option refresh '24h'

config rule 'films'
	option name 'Films, in the evening'
	list domain '@video'
	list dest_addr '@video'
	list dscp 'ef'
	option error_rate '>5%'
	option schedule 'evening'
	list fallback 'tunnel'
	list fallback 'proxy'
	option throttle 'slow'
	option notify '1'
	option on_fail 'block'
"""


def test_every_section_type_and_action_gives_its_record():
    loaded = load_text(WHOLE)
    assert not found(loaded)
    ruleset = loaded.ruleset
    assert (ruleset.settings.confirm, ruleset.settings.asserts) == (60, ("lan can wan tcp/443",))
    assert ruleset.outbound("tunnel").member == ("wg", "wan")
    assert ruleset.outbound("office").server == "ssh://me@vps.example.net:22"
    schedule, throttle, named, rule = ruleset.schedules[0], ruleset.throttles[0], ruleset.lists[0], ruleset.rules[0]
    assert (schedule.days, schedule.start, schedule.stop) == ((0, 4, 5, 6), 22 * 60, 6 * 60 + 30)
    assert (throttle.down, throttle.up) == (1_500_000, 0)
    assert (named.entries, named.refresh) == (("example.com", "192.0.2.0/24"), 86400)
    assert rule.match_text == "dest_addr=@video domain=@video dscp=ef error_rate=>0.05 schedule=evening"
    assert rule.action.text == "fallback tunnel,proxy throttle slow"
    assert (rule.action.notify, rule.action.on_fail, rule.title) == (True, "block", "Films, in the evening")


def test_an_unknown_section_is_an_error_and_flagged_when_it_blocks():
    loaded = load_text("config rul 'r'\n\toption any '1'\n\toption block '1'\n")
    assert "did you mean 'rule'?" in only("NP102", loaded)
    assert loaded.blocked_skip


def test_two_values_in_one_option_get_a_hint():
    assert "write one `list proto` line for each" in only("NP105", rule("option proto 'tcp udp'", "option block '1'"))


def test_a_list_where_one_value_is_wanted():
    assert "takes one value" in only("NP105", rule("option any '1'", "list route 'a'", "list route 'b'"))


def test_on_fail_belongs_to_routes():
    assert only("NP109", rule("option any '1'", "option block '1'", "option on_fail 'direct'"))


@pytest.mark.parametrize(("word", "target"), [("1", "drop"), ("drop", "drop"), ("reject", "reject"), ("yes", "drop")])
def test_ways_to_block(word, target):
    assert rule("option any '1'", f"option block '{word}'").ruleset.rules[0].action.target == target
    assert only("NP202", rule("option any '1'", "option block '0'"))


def test_anonymous_rules_have_names_that_stay():
    text = "config rule\n\toption any '1'\n\toption block '1'\n"
    first = load_text(text)
    name = first.ruleset.rules[0].name
    assert name.startswith("rule_")
    assert len(name) == 11
    assert found(first, "info") == [("NP108", 1)]
    other = "config rule\n\toption any '1'\n\toption route 'x'\n"
    assert [one.name for one in load_text(other + text + text).ruleset.rules][1:] == [name, name + "_2"]


def test_a_name_that_is_too_long_is_refused():
    assert only("NP106", rule("option any '1'", "option block '1'", name="a" * 65))
    assert found(load_text("config outbound\n\toption type 'direct'\n")) == [("NP106", 1)]


def test_more_rules_than_the_limit_are_refused_as_a_whole():
    loaded = load_text("config rule\n\toption any '1'\n\toption block '1'\n" * 10_001)
    assert loaded.fatal
    assert "at most 10000" in only("NP004", loaded)
    assert loaded.ruleset.rules == ()


LINTED = {
    "dest_port with proto=icmp": ["option dest_port '1'", "option proto 'icmp'"],
    "src_addr leaves nothing": ["list src_addr '10.0.0.1'", "list src_addr '!10.0.0.0/8'"],
    "exclude each other": ["option src_addr '10.0.0.1'", "option dest_addr '2001:db8::1'"],
    "family exclude each other": ["option src_addr '10.0.0.1'", "option family 'ipv6'"],
    "disable names every state": ["option any '1'", "option state 'NORMAL'", "option disable 'NORMAL'"],
    "latency_ms leaves nothing": ["option latency_ms '<0'"],
    "dest_port leaves nothing": ["list dest_port '5'", "list dest_port '!1-9'"],
    "src_mac leaves nothing": ["list src_mac '02:00:00:00:00:01'", "list src_mac '!02:00:00:00:00:01'"],
}


@pytest.mark.parametrize("reason", LINTED)
def test_a_rule_that_can_never_match_is_kept_and_reported(reason):
    loaded = rule(*LINTED[reason], "option block '1'")
    text = next(item.message for item in loaded.diagnostics if item.code == "NP206")
    assert reason in text
    assert len(loaded.ruleset.rules) == 1


def test_what_the_kernel_cannot_know_at_the_first_packet_is_said():
    assert ("NP207", 1) in found(rule("option rtt_ms '>5'", "option route 'direct'"), "info")
    assert ("NP207", 1) in found(rule("option sni '!*.a.b'", "option route 'direct'"), "info")
    assert not found(rule("option sni '*.a.b'", "option route 'direct'"), "info")


def test_a_plain_suffix_pattern_is_questioned():
    assert ("NP209", 2) in found(rule("option sni '*zoom.us'", "option route 'direct'"), "warning")


def test_every_registered_code_is_shown_by_some_test_of_this_room():
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [code for code in CODES if code not in texts] == []


# Files.


def write(folder, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_file_that_cannot_be_read_is_fatal(tmp_path):
    loaded = load(str(tmp_path / "none"), "builtin")
    assert loaded.fatal
    assert "failed to read" in only("NP001", loaded)


def test_an_unknown_reader_is_fatal(tmp_path):
    assert load(str(tmp_path / "none"), "magic").fatal


def test_further_files_add_rules_and_outbounds(tmp_path):
    write(
        tmp_path,
        "more",
        "config outbound 'x'\n\toption type 'direct'\nconfig rule 'b'\n\toption any '1'\n\toption route 'x'\n",
    )
    path = write(
        tmp_path,
        "netpolicy",
        "config netpolicy 'main'\n\tlist ruleset 'more'\nconfig rule 'a'\n\toption any '1'\n\toption block '1'\n",
    )
    loaded = load(path)
    assert (loaded.diagnostics, loaded.fatal) == ((), False)
    assert [one.name for one in loaded.ruleset.rules] == ["a", "b"]
    assert loaded.ruleset.rules[1].position == f"{tmp_path}/more:3"


def test_a_further_file_counts_once_however_its_path_is_written(tmp_path):
    write(tmp_path, "more", "config rule 'a'\n\toption any '1'\n\toption block '1'\n")
    again = f"../{tmp_path.name}/more"
    loaded = load(
        write(tmp_path, "netpolicy", f"config netpolicy 'main'\n\tlist ruleset more\n\tlist ruleset {again}\n")
    )
    assert loaded.fatal
    assert "included twice" in only("NP007", loaded)


@pytest.mark.parametrize("name", ["missing", "netpolicy", "rules.np", "settings"])
def test_a_further_file_that_cannot_be_used_is_fatal(tmp_path, name):
    write(tmp_path, "settings", "config netpolicy 'main'\n")
    path = write(tmp_path, "netpolicy", f"config netpolicy 'main'\n\tlist ruleset '{name}'\n")
    loaded = load(path, "builtin")
    assert loaded.fatal
    assert found(loaded)[0][0] in ("NP001", "NP007")


RULE_ALONE = "config rule 'a'\n\toption any '1'\n\toption block '1'\n"


@pytest.mark.parametrize("text", ["", "\n# nothing\n", RULE_ALONE], ids=["empty", "blank", "a rule alone"])
def test_a_file_without_main_section_never_replaces_what_is_running(tmp_path, text):
    path = write(tmp_path, "netpolicy", text)
    loaded = load(path)
    assert loaded.fatal
    assert "enabled '0'" in only("NP210", loaded)
    tried = load(path, needs_main=False)
    assert not tried.fatal
    assert found(tried, "warning") == [("NP210", 0)]


def test_a_file_with_a_main_section_is_never_said_to_have_none(tmp_path):
    good = write(tmp_path, "good", "config netpolicy 'main'\n\toption enabled '0'\n")
    assert not load(good).fatal
    broken = write(tmp_path, "broken", "config netpolicy 'main'\n\toption mode 'off'\n")
    for needs_main in (True, False):
        assert "NP210" not in [item.code for item in load(broken, needs_main=needs_main).diagnostics]


def test_the_file_of_a_fresh_install_has_a_main_section():
    loaded = load(str(Path(__file__).parents[2] / "files" / "etc" / "config" / "netpolicy"))
    assert not loaded.fatal
    assert not loaded.ruleset.settings.enabled


@pytest.mark.parametrize("name", ["{elsewhere}/shadow", "../elsewhere/shadow", "link", "linked/shadow"])
def test_a_further_file_from_elsewhere_is_refused_unread(tmp_path, name):
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    elsewhere.mkdir()
    home.mkdir()
    write(elsewhere, "shadow", "root:$6$hidden:1::\n")
    (home / "link").symlink_to(elsewhere / "shadow")
    (home / "linked").symlink_to(elsewhere)
    text = f"config netpolicy 'main'\n\tlist ruleset '{name.format(elsewhere=elsewhere)}'\n"
    loaded = load(write(home, "netpolicy", text))
    assert loaded.fatal
    assert "must be in the folder of the main file" in only("NP007", loaded)
    assert {item.file for item in loaded.diagnostics} == {str(home / "netpolicy")}


def test_the_folders_of_the_system_are_open_to_further_files(tmp_path):
    text = "config netpolicy 'main'\n\tlist ruleset '/etc/netpolicy/no_such'\n\tlist ruleset '/etc/config/no_such'\n"
    codes = [code for code, _ in found(load(write(tmp_path, "netpolicy", text), "builtin"))]
    assert codes == ["NP001", "NP001"]


SECRET = "hunter2$Ab"
SECRET_FILES = {
    "passwords": f"root:{SECRET}:1:0:::\n",
    "a bare word": f"{SECRET}\n",
    "a word of small letters": f"{SECRET[:6]}\n",
    "a package": f"package {SECRET}\n",
    "a section name": f"config rule {SECRET}\n",
    "an option name": f"config rule 'a'\n\toption {SECRET} 'x'\n",
    "an option outside": f"option x {SECRET}\n",
    "too many words": f"option a b {SECRET}\n",
    "a section type": f"config {SECRET} 'a'\n",
    "two section types": f"config {SECRET} 'a'\nconfig b 'a'\n",
    "an open quote": f"option x '{SECRET}\n",
    "binary": f"\x7fELF\x00\x01{SECRET}\x00\n",
    "no text": b"\xff\xfe" + SECRET.encode() + b"\n",
    "the password of a wireless network": f"config wifi-iface 'a'\n\toption key '{SECRET}'\n",
    "an unknown option": f"config rule 'a'\n\toption key '{SECRET}'\n",
}


@pytest.mark.parametrize("place", ["main", "further"])
@pytest.mark.parametrize("case", SECRET_FILES)
def test_a_file_of_something_else_is_never_quoted(tmp_path, case, place):
    content = SECRET_FILES[case]
    (tmp_path / "secret").write_bytes(content if isinstance(content, bytes) else content.encode())
    main = write(tmp_path, "netpolicy", "config netpolicy 'main'\n\tlist ruleset 'secret'\n")
    loaded = load(str(tmp_path / "secret") if place == "main" else main, "builtin")
    assert found(loaded)
    told = " ".join([*(item.text() for item in loaded.diagnostics), *map(str, loaded.skipped)])
    assert SECRET[:6] not in told


def test_a_mistake_in_a_further_file_carries_its_name(tmp_path):
    write(tmp_path, "more", "konfig\n")
    loaded = load(write(tmp_path, "netpolicy", f"config netpolicy 'main'\n\tlist ruleset '{tmp_path}/more'\n"))
    assert loaded.fatal
    assert loaded.diagnostics[0].file == f"{tmp_path}/more"


def test_the_same_name_in_two_files_is_an_error_and_the_first_stays(tmp_path):
    text = "config rule 'a'\n\toption any '1'\n\toption block '1'\n"
    write(tmp_path, "more", text)
    loaded = load(write(tmp_path, "netpolicy", "config netpolicy 'main'\n\tlist ruleset 'more'\n" + text))
    assert "already used at" in only("NP107", loaded)
    assert len(loaded.ruleset.rules) == 1
    assert loaded.blocked_skip


def test_an_outbound_defined_twice_is_broken(tmp_path):
    text = "config outbound 'x'\n\toption type 'direct'\n"
    write(tmp_path, "more", text)
    rule_text = "config rule 'a'\n\toption any '1'\n\toption route 'x'\n"
    loaded = load(write(tmp_path, "netpolicy", "config netpolicy 'main'\n\tlist ruleset 'more'\n" + text + rule_text))
    assert loaded.fatal


def test_a_text_reads_no_further_file():
    loaded = load_text("config netpolicy 'main'\n\tlist ruleset '/etc/passwd'\n")
    assert found(loaded, "warning") == [("NP007", 2)]
    assert not found(loaded)


def test_equal_fields_of_one_load_are_parsed_once_and_a_mistake_is_reported_for_every_rule():
    text = "config rule 'r{0}'\n\toption proto '{1}'\n\toption dest_port '443'\n\toption block '1'\n"
    first, second = load_text(text.format(1, "tcp") + text.format(2, "tcp")).ruleset.rules
    assert first.field("dest_port") is second.field("dest_port")
    assert found(load_text(text.format(1, "tpc") + text.format(2, "tpc"))) == [("NP105", 2), ("NP105", 6)]


def test_further_files_may_be_in_any_spelling(tmp_path):
    write(tmp_path, "a.np", "# mine\nrule films:\n  match domain=@video\n  action route=wan\nassert lan can wan\n")
    write(tmp_path, "b.yaml", "rules: [{name: last one, priority: 0, match: {any: true}, action: {block: true}}]\n")
    write(tmp_path, "c", "config list 'video'\n\tlist entry 'example.com'\n")
    main = "config netpolicy 'main'\n\tlist ruleset 'a.np'\n\tlist ruleset 'b.yaml'\n\tlist ruleset 'c'\n"
    wan = "config outbound 'wan'\n\toption type 'direct'\n"
    loaded = load(write(tmp_path, "netpolicy", main + wan))
    assert not found(loaded)
    assert [one.name for one in loaded.ruleset.rules] == ["films", "last_one"]
    assert loaded.ruleset.settings.asserts == ("lan can wan",)
    write(tmp_path, "a.np", "netpolicy:\n  enabled true\n")
    assert "hold no netpolicy section" in only("NP007", load(str(tmp_path / "netpolicy")))


def test_a_list_takes_the_entries_of_its_file_and_says_what_is_none(tmp_path):
    text = (
        "config list 'video'\n\toption file 'video.txt'\nconfig rule 'r'\n\tlist domain '@video'\n\toption block '1'\n"
    )
    path = write(tmp_path, "netpolicy", "config netpolicy 'main'\n" + text)
    missing = load(path)
    assert ("NP217", 3) in found(missing, "warning")
    assert len(missing.ruleset.rules) == 1, "it may not have been fetched yet"
    write(tmp_path, "video.txt", "# films\nexample.com\n\n192.0.2.0/24  # net\nnot a name\n*.example.org\n")
    loaded = load(path)
    assert [item.line for item in loaded.diagnostics if item.code == "NP217"] == [5]
    field = loaded.ruleset.rules[0].field("domain")
    assert field.matches("a.example.com") and field.matches("b.example.org") and not field.matches("example.org")
    assert loaded.ruleset.lists[0].entries == (), "what the file holds is not printed into the configuration"
    outside = text.replace("video.txt", "../video.txt")
    refused = load(write(tmp_path, "other", "config netpolicy 'main'\n" + outside))
    assert [code for code, _ in found(refused)] == ["NP007", "NP212"]
    assert "must be in the folder" in refused.diagnostics[0].message
    assert refused.blocked_skip, "a block without its list would let everything pass"


RULE = "config rule 'r'\n\toption block '1'\n"
REFERENCES = {
    "NP212": RULE + "\tlist domain '@vidoe'\nconfig list 'video'\n\tlist entry 'a.example'\n",
    "NP213": "config outbound 'g'\n\toption type 'group'\n\tlist member 'g'\n",
    "NP214": "config outbound 'g'\n\toption type 'group'\n\tlist member 'wann'\n",
    "NP215": "config rule 'r'\n\toption any '1'\n\toption throttle 'slw'\n"
    "config throttle 'slow'\n\toption up '1mbit'\n",
    "NP216": RULE + "\toption schedule 'evning'\nconfig schedule 'evening'\n\toption to '5:00'\n",
}


@pytest.mark.parametrize("code", REFERENCES)
def test_a_name_that_leads_nowhere_is_said_with_the_one_that_was_meant(code):
    message = only(code, load_text(REFERENCES[code]))
    if code in ("NP212", "NP215", "NP216"):
        assert "did you mean" in message


def test_the_files_that_were_looked_for_are_told_and_contents_may_be_given_instead(tmp_path: Path):
    main = tmp_path / "netpolicy"
    listing = "\nconfig list 'local'\n\toption file 'local.txt'\n"
    main.write_text("config netpolicy 'main'\n\tlist ruleset 'more.dsl'\n" + listing)
    further = tmp_path / "more.dsl"
    further.write_text("rule one:\n  match dest_port=1\n  action block=drop\n")
    found = load(str(main))
    assert found.paths == (str(main), str(further), str(tmp_path / "local.txt"))
    before = b"rule two:\n  match dest_port=2\n  action block=drop\n"
    found = load(str(main), instead={str(further): before, str(tmp_path / "unknown"): b"never looked at"})
    assert [rule.name for rule in found.ruleset.rules] == ["two"]
    found = load(str(main), instead={str(main): b"config netpolicy 'main'\n"})
    assert (found.ruleset.rules, found.paths) == ((), (str(main),))


def test_contents_that_are_given_are_read_as_strictly_as_files(tmp_path: Path):
    main = tmp_path / "netpolicy"
    main.write_text("config netpolicy 'main'\n")
    found = load(str(main), instead={str(main): b"config \xff"})
    assert found.fatal
    assert [item.code for item in found.diagnostics if item.severity == "error"][:1] == ["NP002"]
