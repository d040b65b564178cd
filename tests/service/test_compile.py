"""From rules to the policy of the kernel. The cases for reading are in tests/data/golden/."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import pytest

from netpolicy.config.load import load_text
from netpolicy.core.address import parse_address
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import parse_facts
from netpolicy.core.pairs import needs_class
from netpolicy.dataplane.chains import FORWARDED, OWN
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.policy import Tunnel
from netpolicy.dataplane.routing import desired
from netpolicy.dataplane.state import Address, Link, Route
from netpolicy.dataplane.table import Table, build
from netpolicy.outbounds.group_order import Condition, uses
from netpolicy.outbounds.lines import LogicalInterface, View, line_states
from netpolicy.service.compile import compile_policy
from tests.netns import needs_root, private_netns

GOLDEN = sorted((Path(__file__).parents[1] / "data/golden").glob("*.txt"))

HEAD = """
config netpolicy 'main'
	option enabled '1'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
config outbound 'closed'
	option type 'block'
"""


def view(down: tuple[str, ...] = ()) -> View:
    """wana and wanb with an address each, and the lan; `wan` is netifd's name of wana."""
    links = {
        name: Link(index, name, True, name not in down, f"02:00:00:00:00:0{index}")
        for index, name in enumerate(("lan", "wana", "wanb"), 1)
    }
    addresses = (
        Address(4, "lan", "192.168.1.1", 24),
        Address(4, "wana", "192.0.2.2", 24),
        Address(4, "wanb", "198.51.100.2", 24),
    )
    routes = (
        Route(4, 254, "192.168.1.0/24", device="lan"),
        Route(4, 254, "192.0.2.0/24", device="wana"),
        Route(4, 254, "198.51.100.0/24", device="wanb"),
    )
    return View(links, addresses, routes, {"office": LogicalInterface("br-office", True)})


def compiled(text: str, state: str = "NORMAL", down: tuple[str, ...] = (), ports: dict[str, int] | None = None):
    loaded = load_text(text)
    assert not loaded.fatal and not loaded.skipped, loaded.diagnostics
    seen = view(down)
    if ports:
        routes = (*seen.routes, Route(4, 100, "default", device="wanb"))
        seen = View(seen.links, seen.addresses, routes, seen.logical, ports)
    numbers = {name: index for index, name in enumerate(needs_class(loaded.ruleset), 1)}
    states = line_states(loaded.ruleset.outbounds, seen)
    return loaded.ruleset, compile_policy(loaded.ruleset, state, states, seen, numbers)


# -- golden cases --------------------------------------------------------------------------------


class Case:
    """Sections: a sentence, `-- rules --`, `-- world --`, `-- flows --`, `-- nft: chain NAME --`, `-- maps --`."""

    def __init__(self, path: Path) -> None:
        head, *parts = re.split(r"^-- (.+) --\n", path.read_text(), flags=re.MULTILINE)
        self.sentence = head.strip()
        sections = dict(zip(parts[::2], parts[1::2], strict=True))
        self.rules = sections.pop("rules")
        world = dict(line.split("=", 1) for line in sections.pop("world", "").split())
        self.down = tuple(world.get("down", "").split(","))
        self.state = world.get("state", "NORMAL")
        self.flows = [line for line in sections.pop("flows").splitlines() if line.strip()]
        self.chains = {name.removeprefix("nft: chain "): text.strip() for name, text in sections.items()}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden(path):
    case = Case(path)
    ruleset, made = compiled(HEAD + case.rules, case.state, case.down)
    assert case.sentence and case.flows and case.chains
    for line in case.flows:
        given, _, expected = line.partition("->")
        facts = parse_facts(dict(part.split("=", 1) for part in given.split()))
        decision = decide(ruleset, facts, case.state, made.world)
        rule = f"rule {decision.rule.name}" if decision.rule else "no rule"
        assert f"{decision.outbound}, {rule}" == expected.strip(), line
    table = build(made.policy)
    for name, text in case.chains.items():
        shown = maps(table) if name == "maps" else chain(table, name)
        assert "\n".join(shown) == text, name


def chain(table: Table, name: str) -> list[str]:
    """The rules of a chain, without hashes in the names of sets."""
    rules = list(table.chains[name].rules) if name in table.chains else ["(no such chain)"]
    if name in (FORWARDED, OWN):
        # What is never steered is the same in every table: tests/dataplane/test_table.py.
        rules = rules[next(n for n, rule in enumerate(rules) if "ct state established,related" in rule) + 1 :]
    return [readable(rule, table) for rule in rules]


def maps(table: Table) -> list[str]:
    """What the maps hold, with rules instead of labels: `443 . 6 → tcp_web`."""
    shown = []
    for one in table.sets:
        if one.name in ("restore", "alive") or not one.data:  # what no rule changes
            continue
        shown.append(readable(one.name, table))
        for element in one.elements:
            key, _, value = one.element_text(element).rpartition(" : ")
            key = re.sub(r" \. 0x[0-9a-f]+-0xffffffff$", "", key)
            shown.append(readable(f"\t{key} → {value.removeprefix('goto ')}", table))
    return shown


def readable(text: str, table: Table) -> str:
    """Rules instead of labels, names of sets without what tells their content."""
    for rule, label in table.labels.items():
        text = text.replace(f"{label:#x}", rule)
    return re.sub(r"(_[0-9a-f]{10})\b", "", text)


@pytest.mark.kernel
@needs_root
async def test_every_golden_table_can_be_loaded():
    with private_netns():
        for path in GOLDEN:
            case = Case(path)
            _, made = compiled(HEAD + case.rules, case.state, case.down)
            assert not (await Kernel(open_netlink("builtin")).plan(made.policy)).conflicts


# -- single facts --------------------------------------------------------------------------------


def test_a_rule_that_cannot_be_enforced_says_why():
    text = HEAD + "".join(
        f"config rule '{name}'\n\t{match}\n\toption route '{target}'\n\t{more}\n"
        for name, match, target, more in (
            ("names", "list sni 'x.example'", "wan_a", ""),
            ("gone", "option any '1'", "wan_b", ""),
            ("off", "option any '1'", "wan_a", "option enabled '0'"),
            ("later", "option any '1'", "wan_a", "list state 'FAILOVER'"),
            ("slow", "option rtt_ms '>50'", "wan_a", ""),
            ("fine", "option any '1'", "wan_a", ""),
        )
    )
    _, made = compiled(text, down=("wanb",))
    standing = dict(made.standing)
    assert standing.pop("fine") == "kernel"
    assert standing.pop("names") == "kernel"
    assert standing.pop("gone") == "waits: outbound wan_b is down"
    assert standing.pop("off") == "is switched off"
    assert standing.pop("later") == "applies only in state FAILOVER"
    assert standing.pop("slow").startswith("not enforced yet: rtt_ms")
    assert [entry.rule.name for entry in made.policy.entries] == ["names", "fine"]


def test_the_class_of_a_line_is_that_of_its_device_too():
    _, made = compiled(HEAD)
    assert made.policy.ingress == (("wana", 1), ("wanb", 2))
    assert made.world.ingress == {"wana": "wan_a", "wanb": "wan_b"}


def test_the_routers_own_and_broadcast_addresses_are_known():
    _, made = compiled(HEAD)
    texts = {(number >> 24, number & 255) for family, number in made.world.local if family == 4}
    assert {(192, 1), (192, 255), (198, 2), (198, 255)} <= texts


def test_a_default_that_blocks_spares_the_router():
    _, made = compiled(HEAD.replace("option enabled '1'", "option enabled '1'\n\toption default 'block'"))
    assert made.policy.default_forwarded == made.policy.marks.reject
    assert made.policy.default_own == 0


def test_translations_follow_the_device():
    _, made = compiled(HEAD.replace("option gateway '192.0.2.1'", "option gateway '192.0.2.1'\n\toption masq '1'"))
    assert [(one.device, one.ipv4, one.ipv6) for one in made.policy.translations] == [("wana", True, False)]


def test_the_routers_own_addresses_are_also_the_broadcast_and_anycast_ones_of_its_subnets():
    seen = view()
    more = (
        Address(6, "lan", "fd00:1::1", 64),
        Address(6, "wana", "fd00:2::1", 127),
        Address(4, "wanb", "10.0.0.1", 31),
    )
    loaded = load_text(HEAD)
    with_more = View(seen.links, (*seen.addresses, *more), seen.routes, seen.logical)
    numbers = {"wan_a": 1, "wan_b": 2}
    states = line_states(loaded.ruleset.outbounds, with_more)
    local = compile_policy(loaded.ruleset, "NORMAL", states, with_more, numbers).world.local
    for text, is_local in (
        ("192.168.1.255", True), ("192.168.1.1", True), ("192.168.1.2", False), ("fd00:1::", True), ("fd00:1::1", True),
        ("fd00:1::2", False), ("fd00:2::", False), ("fd00:2::1", True), ("10.0.0.0", False),
    ):  # fmt: skip
        assert (parse_address(text) in local) is is_local, text


# -- after another one ---------------------------------------------------------------------------

CHANGING = (
    HEAD
    + """
config schedule 'work'
	option from '08:00'
	option to '18:00'
config outbound 'later'
	option type 'tunnel'
	option server 'ssh://a@192.0.2.9'
config rule 'plain'
	list dest_port '443'
	option route 'wan_a'
config rule 'logged'
	list dest_port '25'
	option block 'drop'
	option log '1'
config rule 'at_work'
	list dest_port '80'
	option schedule 'work'
	option route 'wan_b'
config rule 'sealed'
	list dest_port '22'
	option route 'wan_b'
	option on_fail 'block'
config rule 'in_need'
	list state 'DEGRADED'
	list dest_port '53'
	list fallback 'wan_b'
	list fallback 'wan_a'
config rule 'not_yet'
	list dest_port '99'
	option route 'later'
"""
)


def test_after_other_states_lines_and_schedules_a_policy_is_what_it_is_alone():
    ruleset = load_text(CHANGING).ruleset
    worlds = itertools.product(
        ("NORMAL", "DEGRADED"), ((), ("wana",), ("wana", "wanb")), ((), ("work",)), (True, False)
    )
    drawn = list(worlds) * 3
    random.Random(78).shuffle(drawn)
    before = None
    stood = set()
    for state, down, active, log in drawn:
        seen = view(down)
        numbers = {name: index for index, name in enumerate(needs_class(ruleset), 1 + len(down))}
        states = line_states(ruleset.outbounds, seen)
        alone = compile_policy(ruleset, state, states, seen, numbers, log=log, active=active)
        after = compile_policy(ruleset, state, states, seen, numbers, log=log, active=active, before=before)
        assert (after.policy, after.standing) == (alone.policy, alone.standing)
        assert (after.not_enforced, after.enforceable) == (alone.not_enforced, alone.enforceable)
        stood.add(tuple([entry.rule.name for entry in after.policy.entries]))
        before = after
    assert len(stood) > 4


def test_what_stays_is_kept_once():
    rules = "".join(
        f"config rule 'r{n}'\n\tlist dest_port '{n}'\n\tlist src_iface 'office'\n\toption route 'wan_a'\n"
        for n in range(1, 5)
    )
    ruleset = load_text(HEAD + rules).ruleset
    seen = view()
    states = line_states(ruleset.outbounds, seen)
    numbers = {"wan_a": 1, "wan_b": 2}
    first = compile_policy(ruleset, "NORMAL", states, seen, numbers)
    again = compile_policy(ruleset, "NORMAL", states, seen, numbers, before=first)
    assert again.policy.entries is first.policy.entries and again.policy.ranked is first.policy.ranked
    assert again.standing == first.standing and again.enforced is first.enforced
    assert first.enforceable is ruleset.ranked
    down = view(("wana",))
    later = compile_policy(ruleset, "NORMAL", line_states(ruleset.outbounds, down), down, numbers, before=first)
    assert later.policy.entries != first.policy.entries and later.standing != first.standing
    assert later.policy.ranked is first.policy.ranked


SLOW = """
config throttle 'slow'
	option down '2mbit'
config rule 'calls'
	list dest_port '5060'
	option route 'wan_a'
	option on_fail 'block'
	option throttle 'slow'
config rule 'rest'
	option any '1'
	option throttle 'slow'
config rule 'none'
	list dest_port '25'
	option block 'reject'
"""


def test_a_throttled_rule_has_the_class_of_a_pair_whose_packets_go_by_the_table_of_its_line():
    _, made = compiled(HEAD + SLOW)
    policy = made.policy
    assert {line.name: (line.number, line.home) for line in policy.lines} == {
        "wan_a": (1, 0), "wan_a/slow": (3, 1), "wan_b": (2, 0),
    }  # fmt: skip
    assert [(one.name, one.up, one.down, one.per_client, one.numbers) for one in policy.limits] == [
        ("slow", 0, 2_000_000, False, (3, 4))
    ]
    assert {rule.name: number for rule, number in policy.entries.pairs()} == {
        "calls": 3, "rest": 4, "none": policy.marks.reject,
    }  # fmt: skip
    routing = desired(policy, view().routes)
    assert {(rule.mark >> 24, rule.table) for rule in routing.rules if rule.mark} == {(1, 7001), (2, 7002), (3, 7001)}
    assert {route.table for route in routing.routes} == {7001, 7002}
    assert {number for number, _ in policy.forbidden} == {1, 3}  # sealed: both classes


def test_counters_and_queues_of_a_limit_stay_when_its_rules_take_other_lines():
    client = SLOW.replace("'2mbit'", "'2mbit'\n\toption per 'client'")
    before, after = (compiled(HEAD + text)[1].policy for text in (client, client.replace("'wan_a'", "'wan_b'")))
    assert before.limits[0].number == after.limits[0].number != before.limits[0].numbers[0]
    alone = client[: client.index("config rule 'calls'")] + client[client.index("config rule 'rest'") :]
    names = [
        {one.name for one in build(policy).sets if one.timeout} for policy in (before, compiled(HEAD + alone)[1].policy)
    ]
    assert names[0] == names[1] and len(names[0]) == 2


def test_where_each_rule_has_the_speed_for_itself_two_rules_of_one_way_have_two_classes():
    text = SLOW.replace("'2mbit'", "'2mbit'\n\toption per 'rule'") + SLOW[SLOW.index("config rule 'rest'") :].replace(
        "'rest'", "'more'"
    ).partition("config rule 'none'")[0].replace("option any '1'", "list dest_port '80'")
    _, made = compiled(HEAD + text)
    numbers = {rule.name: number for rule, number in made.policy.entries.pairs()}
    assert len({numbers["calls"], numbers["rest"], numbers["more"]}) == 3
    assert {one.name: one.numbers for one in made.policy.limits} == {
        f"slow:{rule}": (numbers[rule],) for rule in ("calls", "rest", "more")
    }


def test_a_throttled_rule_whose_line_is_down_is_refused_like_any_other():
    _, made = compiled(HEAD + SLOW, down=("wana",))
    assert (
        dict((rule.name, number) for rule, number in made.policy.entries.pairs())["calls"] == made.policy.marks.reject
    )


SPREAD = """
config outbound 'both'
	option type 'group'
	option strategy 'balance'
	option sticky '600'
	list member 'wan_a'
	list member 'wan_b'
config rule 'all'
	option any '1'
	option route 'both'
"""


def spread(text: str, down: tuple[str, ...] = ()) -> Table:
    ruleset = load_text(text).ruleset
    numbers = {name: index for index, name in enumerate(needs_class(ruleset), 1)}
    states = line_states(ruleset.outbounds, view(down))
    conditions = {one.name: Condition(is_down=not one.up) for one in states}
    used = uses(ruleset, conditions, {})
    return build(compile_policy(ruleset, "NORMAL", states, view(down), numbers, groups=used).policy)


def shares_of(text: str) -> set[str]:
    return {name for name in spread(text).chains if re.fullmatch("v_[0-9]{4,}", name)}


def test_clients_of_a_line_stay_with_it_while_the_other_one_is_down():
    before, after = spread(HEAD + SPREAD), spread(HEAD + SPREAD, down=("wanb",))
    sets = [{one.declaration for one in table.sets if one.name.startswith("y")} for table in (before, after)]
    assert len(sets[0]) == 4 and len(sets[1]) == 2 and sets[1] < sets[0]


def test_clients_stay_with_their_line_when_another_outbound_or_limit_comes_before_their_group():
    """The sets that hold them are called after the number of the share."""
    limited = "config throttle 't_{0}'\n\toption up '1mbit'\n" + SPREAD[SPREAD.index("config rule") :].replace(
        "'all'", "'{0}'"
    ) + "\toption throttle 't_{0}'\n"  # fmt: skip
    other = "config outbound 'new'\n\toption type 'group'\n\tlist member 'wan_b'\n"
    few = shares_of(HEAD + SPREAD + limited.format("slow"))
    more = shares_of(HEAD + other + SPREAD + limited.format("quick") + limited.format("slow"))
    assert len(few) == 2 and len(more) == 3 and few < more


def test_a_list_that_is_fetched_is_nothing_that_waits():
    text = "config list 'ads'\n\toption url 'https://lists.example.net/ads.txt'\n\toption refresh '1d'\n"
    assert compiled(HEAD + text)[1].not_enforced == ()


LEADING = (
    HEAD
    + """
config outbound 'vpn'
	option type 'table'
	option table '100'
config outbound 'both'
	option type 'group'
	list member 'wan_a'
	list member 'wan_b'
config rule 'first'
	option priority '40'
	list dest_port '1'
	option route 'wan_b'
	option on_fail 'block'
config rule 'by_group'
	option priority '30'
	list dest_port '2'
	option route 'both'
config rule 'by_table'
	option priority '20'
	list dest_port '3'
	option route 'vpn'
config rule 'elsewhere'
	list dest_port '4'
	option route 'wan_a'
config rule 'refused'
	list dest_port '5'
	option block 'drop'
"""
)


@pytest.mark.parametrize("down", [(), ("wanb",)])
def test_rules_that_lead_to_a_wireguard_device_are_told_also_while_it_is_down(down):
    _, made = compiled(LEADING, down=down, ports={"wanb": 51821, "wg7": 9})
    classes = tuple(line.number for line in made.policy.lines if line.name in ("wan_b", "vpn"))
    assert made.policy.tunnels == (Tunnel(51821, ("first", "by_group", "by_table"), classes),)
    assert compiled(LEADING, down=down)[1].policy.tunnels == ()


def test_a_default_that_leads_there_is_told_too():
    text = HEAD.replace("option enabled '1'", "option enabled '1'\n\toption default 'wan_b'")
    assert [one.rules for one in compiled(text, ports={"wanb": 51821})[1].policy.tunnels] == [("",)]
