"""The text of the whole data plane, loaded by `nft -f` and `ip`, does what the daemon's own apply does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.policy import Entry, Hop, Line, Policy, SourceTranslation
from netpolicy.dataplane.routing import Routing, desired
from netpolicy.dataplane.script import ip_batch, ip_commands, nft_script
from netpolicy.dataplane.shape import MOST_RANGES
from tests.netns import needs_root, run
from tests.router import WAN_B, of_others, ours, policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

MARKS = Marks(0x77000000)
VIDEO = Entry(rule("video", dest_port="443", proto="tcp"), 2, log=True)
MAIL = Entry(rule("mail", ("block", "reject"), src_addr="192.168.3.0/24", dest_port="25"), MARKS.reject, blocks=True)
WORK = Entry(rule("work", ("route", "wan_a"), dest_addr="203.0.113.0/24 !203.0.113.9 2001:db8::/32"), 1)

TO_THE_DEVICE = Line("wan_a", 1, "wana", (Hop(4, ""), Hop(6, "")), leaves_by=("wana",), sealed=True)
FOREIGN = Line("other", 3, "lan", foreign_table=901)

LONG = " ".join(f"10.{number // 9}.{number % 9}.64/26 2001:db8:{number:x}::/48" for number in range(MOST_RANGES + 1))

POLICIES = {
    "nothing": Policy(),
    "two lines": policy(VIDEO, MAIL, WORK),
    "everything": policy(
        WORK,
        VIDEO,
        MAIL,
        lines=(TO_THE_DEVICE, WAN_B, FOREIGN),
        ranked=("work", "gone", "video", "mail"),
        ingress=(("wana", 1), ("wanb", 2)),
        default_forwarded=2,
        translations=(SourceTranslation("wana", True, True), SourceTranslation("wanb", True, True, "2001:db8:b::/64")),
        ways_out=("wana", "wanb"),
        near=("198.51.100.0/24",),
        skip_marks=(1,),
    ),
    "long lists, wide keys and overlaps": policy(
        Entry(rule("long", dest_addr=LONG, src_addr="2001:db8::/32 10.0.0.0/8 !10.1.0.0/16"), 1),
        Entry(
            rule(
                "wide",
                dest_addr="203.0.113.0/24",
                src_addr="192.168.1.0/24",
                src_mac="!02:00:00:00:00:01",
                dest_port="1-99 443",
                src_port="1024-65535",
                proto="tcp udp",
            ),
            2,
        ),
        Entry(rule("over", dest_addr="203.0.0.0/16", dest_port="50-500"), 1),
        Entry(rule("lap", dest_addr="203.0.113.0/24", dest_port="1-60"), 2),
        MAIL,
    ),
    "another mask and other tables": policy(VIDEO, marks=Marks(0x7E000000), table_base=9000, rule_priority=12000),
}


@pytest.fixture(params=sorted(POLICIES))
def wanted(request: pytest.FixtureRequest) -> Policy:
    return POLICIES[request.param]


def needed(wanted: Policy) -> Routing:
    netlink = open_netlink("builtin")
    return desired(wanted, netlink.routes(), netlink.addresses())


def load(wanted: Policy) -> None:
    """What a shell line does with the text."""
    routing = needed(wanted)
    for family in (4, 6):
        run("ip", f"-{family}", "-batch", "-", text="\n".join(ip_batch(routing, family)) + "\n")
    run("nft", "-f", "-", text=nft_script(wanted))


async def apply(wanted: Policy) -> None:
    kernel = Kernel(open_netlink("builtin"))
    await kernel.apply(await kernel.plan(wanted))


async def by_the_daemon(wanted: Policy) -> str:
    """What of ours is in the kernel of a fresh router after an apply."""
    with router():
        await apply(wanted)
        return ours()


async def test_loaded_into_an_empty_kernel_it_is_what_the_daemon_applies(wanted: Policy) -> None:
    expected = await by_the_daemon(wanted)
    with router():
        before = of_others()
        load(wanted)
        assert ours() == expected
        assert of_others() == before


async def test_loaded_over_another_policy_or_twice_it_is_the_same(wanted: Policy) -> None:
    expected = await by_the_daemon(wanted)
    for older in POLICIES.values():
        with router():
            await apply(older)
            load(wanted)
            assert ours() == expected
            load(wanted)
            assert ours() == expected


async def test_the_daemon_finds_nothing_to_do_after_it(wanted: Policy) -> None:
    with router():
        load(wanted)
        plan = await Kernel(open_netlink("builtin")).plan(wanted)
        assert plan.changes == ()


def test_the_command_lines_do_what_the_batches_do() -> None:
    wanted = POLICIES["everything"]
    with router():
        load(wanted)
        expected = ours()
    with router():
        for command in ip_commands(needed(wanted)):
            run(*command.split())
        run("nft", "-f", "-", text=nft_script(wanted))
        assert ours() == expected
        assert "oif wana" in expected and "unreachable" in expected


# -- the example in the documentation ------------------------------------------------------------

EXAMPLE = policy(
    Entry(rule("mail", ("block", "reject"), src_addr="192.168.3.0/24", proto="tcp", dest_port="25"), MARKS.reject,
          blocks=True),
    Entry(rule("lab", dest_addr="10.20.7.0/24", proto="tcp", dest_port="443"), 2),
    Entry(rule("work", ("route", "wan_a"), dest_addr="10.20.0.0/16", proto="tcp", dest_port="443"), 1),
    Entry(rule("rest", ("route", "wan_a"), src_iface="guest"), 1),
)  # fmt: skip


def objects() -> dict[str, str]:
    """Our sets, maps and chains by name, as nft prints them."""
    listed = run("nft", "-s", "list", "table", "inet", "netpolicy")
    return dict(re.findall(r"^\t(\w+ \w+) \{\n(.*?)^\t\}", listed, re.DOTALL | re.MULTILINE))


def test_the_example_in_the_documentation_loads_and_is_what_we_would_load() -> None:
    text = (Path(__file__).parents[2] / "docs/dataplane.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```nft\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    with router():
        run("nft", "-f", "-", text=nft_script(EXAMPLE))
        ours_ = objects()
        run("nft", "delete", "table", "inet", "netpolicy")
        run("nft", "-f", "-", text=example)
        shown = objects()
    assert {name for name in ours_ if name.split()[0] in ("set", "map")} <= set(shown)
    for name, body in shown.items():
        if name == "chain classify":
            # The documentation leaves out what is settled before.
            assert ours_[name].endswith(body)
        else:
            assert ours_[name] == body, name
