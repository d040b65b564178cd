"""For every code of lint a text that has it and one that has not. Data only; a test runs each of them.

The spelling is the DSL unless it is said. `files` stand beside the text, which is then a file
itself; `dnsmasq`, `steps` and `few` stand for a machine on which the finding shows.
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.config.spelling import DSL, UCI, YAML


class Example(NamedTuple):
    """One text. `note` says what else is needed, in words."""

    text: str
    spelling: str = DSL
    files: tuple[tuple[str, str], ...] = ()  # (name, content)
    note: str = ""
    has_nftset: bool | None = None  # of the dnsmasq of the machine
    steps: int = 0  # the most that comparing may cost; 0: the usual
    few: int = 0  # the most rules that are no matter; 0: the usual


Pair = tuple[Example, Example]


def _dsl(failing: str, fixed: str) -> Pair:
    return Example(failing), Example(fixed)


def _uci(failing: str, fixed: str) -> Pair:
    return Example(failing, UCI), Example(fixed, UCI)


LINE = "outbound wan interface wan\n"
LINES = LINE + "outbound vpn interface wg0\n"
MAIL = "rule mail:\n  match port=25\n  action block\n"
VIDEO = "rule films:\n  match domain=@video\n  action route=direct\n"
NO_ADS = "rule no_ads:\n  match dest_addr=@ads\n  action block\n"
UCI_MAIL = "config rule 'mail'\n\tlist dest_port '25'\n\toption block '1'\n"
MAIN_WITH_FILE = "netpolicy:\n  enabled true\n  ruleset {}\n\n" + MAIL
ADS = "netpolicy:\n  enabled true\n\nlist ads:\n  entry 192.0.2.0/24\n  entry 2001:db8::/32\n  file ads.txt\n\n"
ADS += "rule no_ads:\n  match dest_addr=@ads\n  action block\n"
MORE = "rule web:\n  match port=80\n  action block\n"

FIVE = "".join(f"outbound wan{number} interface wan{number}\n" for number in range(1, 6)) + "\n"

EXAMPLES: dict[str, Pair] = {
    "NP001": (
        Example(MAIN_WITH_FILE.format("more.np"), note="There is no file `more.np`.", files=(("unrelated.np", MORE),)),
        Example(MAIN_WITH_FILE.format("more.np"), files=(("more.np", MORE),)),
    ),
    "NP002": _dsl("# since \x07 spring\n" + MAIL, "# since spring\n" + MAIL),
    "NP003": _dsl("rule mail:\n  match port='25\n  action block\n", "rule mail:\n  match port='25'\n  action block\n"),
    "NP004": (
        Example("rules: " + "[" * 100 + "]" * 100 + "\n", YAML),
        Example("rules:\n  - name: mail\n    priority: 1\n    match: {port: 25}\n    action: {block: true}\n", YAML),
    ),
    "NP005": _uci(UCI_MAIL + "\toption block 'reject'\n", UCI_MAIL),
    "NP006": _uci(UCI_MAIL + "\toption log ''\n", UCI_MAIL + "\toption log '1'\n"),
    "NP007": (
        Example(MAIN_WITH_FILE.format("/srv/more.np"), DSL, (("more.np", MORE),), "`/srv` is none of the folders."),
        Example(MAIN_WITH_FILE.format("more.np"), files=(("more.np", MORE),)),
    ),
    "NP101": _dsl("rule mail:\n  match prot=25\n  action block\n", MAIL),
    "NP102": _uci("config rulle 'web'\n\n" + UCI_MAIL, UCI_MAIL),
    "NP105": _dsl("rule mail:\n  match port=99999\n  action block\n", MAIL),
    "NP106": _dsl("rule :\n  match port=25\n  action block\n", MAIL),
    "NP107": _dsl(MAIL + "\n" + MAIL.replace("25", "587"),
                  MAIL + "\n" + MAIL.replace("25", "587").replace("mail", "mail2")),
    "NP108": _uci(UCI_MAIL.replace(" 'mail'", ""), UCI_MAIL),
    "NP109": _dsl("rule mail:\n  match port=25\n  action block on_fail=direct\n", MAIL),
    "NP201": _dsl("rule all:\n  action block\n", "rule all:\n  match any\n  action block\n"),
    "NP202": _dsl("rule mail:\n  match port=25\n  action log\n", "rule mail:\n  match port=25\n  action block log\n"),
    "NP203": _dsl(MAIL + "  when state=,\n", MAIL + "  when state=NORMAL\n"),
    "NP204": _dsl(LINE + "\nrule web:\n  match port=80\n  action route=wann\n",
                  LINE + "\nrule web:\n  match port=80\n  action route=wan\n"),
    "NP205": _dsl("netpolicy:\n  enabled true\n  primary wann\n\n" + LINE + "\n" + MAIL,
                  "netpolicy:\n  enabled true\n  primary wan\n\n" + LINE + "\n" + MAIL),
    "NP206": _dsl("rule ping:\n  match protocol=icmp port=7\n  action block\n",
                  "rule echo:\n  match protocol=udp port=7\n  action block\n"),
    "NP207": _dsl(LINE + "\nrule calls:\n  match latency_ms=\">150\"\n  action route=wan\n",
                  LINE + "\nrule calls:\n  match port=5060\n  action route=wan\n"),
    "NP208": _dsl("netpolicy:\n  enabled true\n", "netpolicy:\n  enabled true\n\n" + MAIL),
    "NP209": _dsl(LINE + "\nrule calls:\n  match sni=*zoom.us\n  action route=wan\n",
                  LINE + "\nrule calls:\n  match sni=*.zoom.us\n  action route=wan\n"),
    "NP210": (
        Example(MAIL, files=(("more.np", MORE),), note="As a file of its own."),
        Example("netpolicy:\n  enabled true\n\n" + MAIL, files=(("more.np", MORE),)),
    ),
    "NP211": _dsl("netpolicy:\n  enabled true\n  default wan\n\n" + LINE + "\n" + MAIL,
                  LINE + "\n" + MAIL + "\nrule rest:\n  match any\n  action route=wan on_fail=block\n"),
    "NP212": _dsl("rule ads:\n  match dest_addr=@ads\n  action block\n",
                  "list ads 192.0.2.0/24 2001:db8::/32\n\nrule ads_rule:\n  match dest_addr=@ads\n  action block\n"),
    "NP213": _dsl("outbound any_line group any_line direct\n\n" + MAIL,
                  LINE + "outbound any_line group wan direct\n\n" + MAIL),
    "NP214": _dsl(LINES + "outbound both group wan vpm\n\n" + MAIL, LINES + "outbound both group wan vpn\n\n" + MAIL),
    "NP215": _dsl("throttle slow down=2mbit\n\nrule bulk:\n  match port=80\n  action throttle=slwo\n",
                  "throttle slow down=2mbit\n\nrule bulk:\n  match port=80\n  action throttle=slow\n"),
    "NP216": _dsl("schedule night from=22:00 to=06:00\n\nrule kids:\n  match schedule=nihgt\n  action block\n",
                  "schedule night from=22:00 to=06:00\n\nrule kids:\n  match schedule=night\n  action block\n"),
    "NP217": (
        Example(ADS, files=(("ads.txt", "198.51.100.7\nnot an address!\n"),)),
        Example(ADS, files=(("ads.txt", "198.51.100.7\n# a comment\n"),)),
    ),
    "NP219": _dsl("netpolicy:\n  primary wan\n\n" + LINE + "\n" + MAIL,
                  "netpolicy:\n  enabled true\n  primary wan\n\n" + LINE + "\n" + MAIL),
    "NP301": (
        Example(UCI_MAIL + "\t# since spring\n", UCI, note="Converted to the DSL."),
        Example(UCI_MAIL + "\toption name 'Mail, since spring'\n", UCI, note="Converted to the DSL."),
    ),
    "NP401": _dsl("rule web:\n  priority 10\n  match protocol=tcp\n  action block\n\n"
                  "rule mail:\n  priority 5\n  match protocol=tcp port=25\n  action block=reject\n",
                  "rule web:\n  priority 10\n  match protocol=tcp\n  action block\n\n"
                  "rule mail:\n  priority 20\n  match protocol=tcp port=25\n  action block=reject\n"),
    "NP402": (
        Example(MAIL + "\nrule web:\n  match port=80\n  action block\n", steps=1, note="And some thousand rules more."),
        Example(MAIL + "\nrule web:\n  match port=80\n  action block\n"),
    ),
    "NP403": _dsl(MAIL + "\nrule smtp:\n  match port=25\n  action block\n", MAIL),
    "NP404": _dsl("rule web:\n  match port=80,443,80\n  action block\n",
                  "rule web:\n  match port=80,443\n  action block\n"),
    "NP405": _dsl("rule net:\n  match dest_addr=192.0.2.0/24,192.0.2.128/25,2001:db8::/32\n  action block\n",
                  "rule net:\n  match dest_addr=192.0.2.0/24,2001:db8::/32\n  action block\n"),
    "NP406": _dsl("rule net:\n  match dest_addr=192.0.2.0/24,!192.0.3.7,2001:db8::/32\n  action block\n",
                  "rule net:\n  match dest_addr=192.0.2.0/24,!192.0.2.7,2001:db8::/32\n  action block\n"),
    "NP408": _dsl(LINE + "\nrule slow:\n  match latency_ms=>=0\n  action route=wan\n",
                  LINE + "\nrule slow:\n  match latency_ms=>=120\n  action route=wan\n"),
    "NP409": _dsl(LINE + "\nrule named:\n  match sni=**\n  action route=wan\n",
                  LINE + "\nrule named:\n  match sni=*\n  action route=wan\n"),
    "NP410": _dsl(LINE + "outbound second interface wanb\n\nrule web:\n  match src_iface=wan\n  action route=second\n",
                  LINE + "outbound second interface wanb\n\nrule web:\n  match src_iface=lan\n  action route=second\n"),
    "NP411": _dsl(LINE + "\nrule everything:\n  priority 100\n  match any\n  action route=wan\n\n"
                  "rule mail:\n  priority 10\n  match port=25\n  action block\n",
                  LINE + "\nrule everything:\n  priority 100\n  match any\n  action route=wan\n\n"
                  "rule mail:\n  priority 200\n  match port=25\n  action block\n"),
    "NP420": _dsl("rule site:\n  match dest_addr=198.51.100.0/24\n  action block\n",
                  "rule site:\n  match dest_addr=198.51.100.0/24,2001:db8:77::/48\n  action block\n"),
    "NP421": _dsl(LINE + "\nrule site:\n  match dest_addr=198.51.100.0/24\n  action route=wan\n",
                  LINE + "\nrule site:\n  match dest_addr=198.51.100.0/24 family=ipv4\n  action route=wan\n"),
    "NP430": _dsl(LINES + "\nrule work:\n  match sni=*.corp.example\n  action route=vpn on_fail=block\n",
                  LINES + "\nrule work:\n  match src_iface=work\n  action route=vpn on_fail=block\n"),
    "NP431": _dsl("rule ads:\n  match domain=ads.example\n  action block\n",
                  "rule ads:\n  match dest_addr=192.0.2.0/24,2001:db8::/32\n  action block\n"),
    "NP432": _dsl(LINES + "\nrule work:\n  match src_iface=work\n  action fallback=vpn,direct on_fail=block\n",
                  LINES + "\nrule work:\n  match src_iface=work\n  action route=vpn on_fail=block\n"),
    "NP433": _dsl(LINES + "\nrule work:\n  match src_iface=work\n  action route=vpn\n",
                  LINES + "\nrule work:\n  match src_iface=work\n  action route=vpn on_fail=block\n"),
    "NP440": _dsl(LINE + "\nrule video:\n  match domain=video.example\n  action route=wan\n",
                  LINE + "\nrule video:\n  match dest_addr=192.0.2.0/24,2001:db8::/32\n  action route=wan\n"),
    "NP441": (
        Example(LINE + "\nrule video:\n  match domain=video.example\n  action route=wan\n", has_nftset=False,
                note="On a machine whose dnsmasq was built without nftset.", files=(("more.np", MORE),)),
        Example(LINE + "\nrule video:\n  match domain=video.example\n  action route=wan\n", has_nftset=True,
                note="With dnsmasq-full.", files=(("more.np", MORE),)),
    ),
    "NP442": _dsl(LINE + "\nrule video:\n  match domain=keyword:tube\n  action route=wan\n",
                  LINE + "\nrule video:\n  match domain=tube.example\n  action route=wan\n"),
    "NP450": _dsl("netpolicy:\n  enabled true\n  fwmark_mask 0x00ff0000\n\n" + MAIL,
                  "netpolicy:\n  enabled true\n  fwmark_mask 0x77000000\n\n" + MAIL),
    "NP451": _dsl("netpolicy:\n  enabled true\n  table_base 51700\n\n" + MAIL,
                  "netpolicy:\n  enabled true\n  table_base 7000\n\n" + MAIL),
    "NP460": _dsl(LINE + "outbound wan2 interface wan\n\n" + MAIL, LINE + "outbound wan2 interface wanb\n\n" + MAIL),
    "NP461": _dsl(LINES + "outbound both group wan\n\n" + MAIL, LINES + "outbound both group wan vpn\n\n" + MAIL),
    "NP462": _dsl(LINES + "outbound both group direct wan\n\n" + MAIL,
                  LINES + "outbound both group wan direct\n\n" + MAIL),
    "NP463": _dsl("list ads 192.0.2.0/24\n\n" + MAIL,
                  "list ads 192.0.2.0/24 2001:db8::/32\n\nrule no_ads:\n  match dest_addr=@ads\n  action block\n"),
    "NP464": _dsl('rule mail:\n  title "Mail"\n  match port=25\n  action block\n\n'
                  'rule smtp:\n  title "MAIL"\n  match port=587\n  action block\n',
                  'rule mail:\n  title "Mail"\n  match port=25\n  action block\n\n'
                  'rule smtp:\n  title "Mail, the newer port"\n  match port=587\n  action block\n'),
    "NP465": (
        Example("rule no_mail:\n  match src_iface=!office\n  action block\n\n"
                "rule no_news:\n  match proto=!tcp,!udp\n  action block\n", few=1, note="And some dozens more."),
        Example("rule no_mail:\n  match src_iface=guest,home\n  action block\n\n"
                "rule no_news:\n  match proto=icmp,gre\n  action block\n", few=1),
    ),
    "NP466": _dsl("assert br-gest cannot lan\n\nrule guests:\n  match src_iface=br-guest port=25\n  action block\n",
                  "assert br-guest cannot lan\n\nrule guests:\n  match src_iface=br-guest port=25\n  action block\n"),
    "NP467": _dsl(LINES + "outbound home group wan vpn\n\n" + MAIL,
                  "outbound wan interface wan probe=ping:9.9.9.9\n\n"
                  "outbound vpn interface wg0 probe=ping:10.9.0.1\n\noutbound home group wan vpn\n\n" + MAIL),
    "NP468": _dsl("netpolicy:\n  fwmark_mask 0x71000000\n\n" + FIVE + MAIL,
                  "netpolicy:\n  fwmark_mask 0x77000000\n\n" + FIVE + MAIL),
    "NP469": (
        Example(LINE + "\nrule video:\n  match domain=video.example\n  action route=wan\n\n"
                "rule news:\n  match domain=news.example\n  action route=wan\n", few=1, note="And some dozens more."),
        Example(LINE + "\nrule both:\n  match domain=video.example,news.example\n  action route=wan\n", few=1),
    ),
    "NP470": _dsl("list video url=http://lists.example.net/video.txt refresh=1d\n\n" + VIDEO,
                  "list video url=https://lists.example.net/video.txt refresh=1d\n\n" + VIDEO),
    "NP471": _dsl("list video url=https://lists.example.net/video.txt\n\n" + VIDEO,
                  "list video url=https://lists.example.net/video.txt refresh=1d\n\n" + VIDEO),
    "NP472": (
        Example("list ads url=https://lists.example.net/ads.txt refresh=1d\n\n" + NO_ADS),
        Example("list ads url=https://lists.example.net/ads.txt refresh=1d file=ads.txt\n\n" + NO_ADS,
                files=(("ads.txt", "198.51.100.7\n"),)),
    ),
}  # fmt: skip
