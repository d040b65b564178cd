"""Every code of the doctor: its area, what it is called when it is fine and when not, and what to do then.

Only words; docs/doctor.md is made of them (doctor_page.py). A code keeps its meaning for ever.
"""

from __future__ import annotations

from typing import NamedTuple

# In the order in which they are looked at and shown.
AREAS = ("daemon", "kernel", "fw4", "dnsmasq", "collisions", "clock", "store", "guard", "memory", "lines", "lists",
         "inspector")  # fmt: skip


class Code(NamedTuple):
    """One row of the table."""

    code: str
    area: str
    fine: str
    wrong: str
    cure: str


_ROWS = (
    ("ND101", "daemon", "the daemon runs", "the daemon is not running or does not answer",
     "start it; until then the kernel goes on as it was told last, and nobody heals it"),
    ("ND102", "daemon", "the configuration on disk is the one in force", "the configuration on disk is not in force",
     "correct it and reload; until then the earlier one stays"),
    ("ND103", "daemon", "the kernel follows the rules", "the kernel does not follow the rules",
     "the text says what refused; the daemon tries again by itself"),
    ("ND104", "daemon", "the daemon has no warnings", "the daemon has warnings",
     "`netpolicy status` shows each with a hint"),
    ("ND105", "daemon", "looked at as root", "not everything could be looked at: this user is not root",
     "run the command as root"),
    ("ND106", "daemon", "every area could be looked at", "an area could not be looked at",
     "run the command again; if it stays so, please report it with the bundle"),
    ("ND107", "daemon", "every rule of the configuration is used", "rules are left out because of mistakes in them",
     "mend them and reload; `netpolicy lint` shows every mistake with its place"),
    ("ND201", "kernel", "nf_tables answers", "the kernel's nf_tables cannot be used",
     "install nftables and its kernel part (OpenWrt: nftables-json, kmod-nft-core)"),
    ("ND202", "kernel", "nft is new enough", "nft is missing, too old, or has no JSON",
     "install nftables 1.0.6 or newer, with JSON (OpenWrt: nftables-json)"),
    ("ND203", "kernel", "connections are tracked", "the kernel does not track connections",
     "install conntrack (OpenWrt: kmod-nf-conntrack); every class is kept in the conntrack mark"),
    ("ND204", "kernel", "the connection table can be read", "the connection table cannot be read (ctnetlink)",
     "install kmod-nf-conntrack-netlink; without it open connections are neither shown nor decided again"),
    ("ND205", "kernel", "policy routing works in both families", "policy routing is missing",
     "use a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES"),
    ("ND206", "kernel", "changes can be rehearsed", "changes cannot be rehearsed in a scratch namespace",
     "install kmod-veth, ip-full and python3-ctypes, on a kernel with network namespaces; until then a change is "
     "judged by calculation only, and the plan says so"),
    ("ND207", "kernel", "packets can be logged", "the kernel cannot log packets to the daemon: `log` has no effect",
     "install kmod-nfnetlink-log"),
    ("ND208", "kernel", "ip has what the guard needs", "the `ip` tool lacks what the guard needs",
     "install ip-full (elsewhere iproute2): busybox's ip has no -batch and no protocol"),
    ("ND209", "kernel", "bridged packets stay below the firewall", "bridged packets pass the IP firewall",
     "set it to 0: port forwards from the own LAN (hairpin) fail with it, whatever the rules say"),
    ("ND210", "kernel", "answers may come in by every line", "answers on a line are dropped: rp_filter is strict",
     "set it to 2 (loose) for the line"),
    ("ND211", "kernel", "forwarding is on", "forwarding is off: only the router's own traffic goes anywhere",
     "switch it on, unless this machine is no router"),
    ("ND212", "kernel", "the connection table has room", "the connection table is nearly full: new connections fail",
     "raise net.netfilter.nf_conntrack_max, and look who opens so many (`netpolicy connections`)"),
    ("ND213", "kernel", "the kernel's own ip rules are there", "an ip rule of the kernel itself is gone",
     "put it back; they are not ours, so the daemon does not"),
    ("ND301", "fw4", "the firewall is fw4, or there is none to share with", "there is no fw4 on this OpenWrt",
     "install firewall4; with the older firewall the table is not loaded again when it restarts"),
    ("ND302", "fw4", "fw4 loads our table with its own", "fw4 does not load our table with its own",
     "install the package again; without the include a restart of the firewall takes our table away for a moment"),
    ("ND303", "fw4", "what fw4 includes is a text that loads", "fw4 includes a text that does not load",
     "remove the file: at the next boot there would be NO firewall; the daemon writes it anew"),
    ("ND304", "fw4", "only our file is in the included folder", "files that are not ours are in the included folder",
     "move them away: a mistake in one takes the whole firewall with it"),
    ("ND305", "fw4", "fw4's table is loaded", "fw4 is installed, and its table is not loaded: there is no firewall",
     "start it; `fw4 check` says why it does not load"),
    ("ND306", "fw4", "no connections are offloaded", "connections are offloaded: open ones pass by the rules",
     "good to know: a change reaches an open connection when its entry is deleted, which the daemon does; counters, "
     "`log` and speed limits do not see offloaded packets. With hardware offload test what you rely on, or switch "
     "it off"),
    ("ND401", "dnsmasq", "dnsmasq is there", "dnsmasq is not there",
     "install dnsmasq-full, if names are to steer addresses"),
    ("ND402", "dnsmasq", "dnsmasq can fill nft sets", "dnsmasq cannot fill nft sets",
     "install dnsmasq-full in its place: the small one is built without nftset"),
    ("ND501", "collisions", "marks, priorities and tables are free",
     "another program uses what is ours: nothing is steered",
     "move one of the two: options fwmark_mask, rule_priority and table_base"),
    ("ND502", "collisions", "no program here is known to use our numbers", "a program here is known to use our numbers",
     "set the option to a free range before the two meet"),
    ("ND503", "collisions", "no other program steers traffic here", "another program steers traffic here",
     "let one of the two decide about a line"),
    ("ND504", "collisions", "no chain of others stands beside ours", "a chain of others has our hook and priority",
     "give the other chain another priority: which of the two runs first is decided by who was loaded first"),
    ("ND505", "collisions", "nobody overwrites our bits of the mark", "a foreign rule overwrites our bits of the mark",
     "have the other rule set its own bits only: meta mark set meta mark & MASK | VALUE"),
    ("ND506", "collisions", "nobody matches whole marks", "packets with a mark of others are left alone",
     "good to know: their owner matches the whole number, so our bits are not added to it"),
    ("ND601", "clock", "the clock is right, or near", "the clock is wrong",
     "set it, and let a time server keep it (OpenWrt: /etc/init.d/sysntpd restart)"),
    ("ND602", "clock", "the time zone is known", "no time zone is set: schedules are in UTC",
     "set it (OpenWrt: system.@system[0].zonename and timezone, elsewhere /etc/localtime)"),
    ("ND701", "store", "the store can be written", "the store cannot be written",
     "no change can be guarded without it: mount its file system writable, or make room"),
    ("ND702", "store", "there is room on the flash", "the flash is nearly full",
     "remove packages or files; a change is refused when its way back cannot be kept"),
    ("ND703", "store", "every generation is whole", "a generation is damaged",
     "an older one is used in its place; while it is the one in force every change is refused, and `netpolicy reload` "
     "makes a new one of the configuration file"),
    ("ND704", "store", "the journal is what was written", "the journal was damaged or changed",
     "`netpolicy history verify` shows the line; keep a copy before the next change begins it anew"),
    ("ND705", "store", "only root reads the store", "others may read the store",
     "take the permissions away: it holds configurations of the past"),
    ("ND706", "store", "the generation in force is well", "the generation in force has not run well yet",
     "after two such boots the one before it is taken; leave the router on for three minutes, or go back now"),
    ("ND801", "guard", "the guard's program is there", "the guard's program is not there or cannot run",
     "install the package again: without it every change is refused"),
    ("ND802", "guard", "the guard answers", "the guard does not answer",
     "look at /var/run/netpolicy/guard/log"),
    ("ND803", "guard", "the guard is supervised", "nobody starts the guard again when it dies",
     "run it as a service; without that the daemon starts one for each change"),
    ("ND804", "guard", "no change is pending", "a change is pending",
     "confirm it (`netpolicy confirm TOKEN`) or take it back (`netpolicy abort`)"),
    ("ND805", "guard", "no change is without a watcher", "a change is pending, and nobody watches it",
     "have the guard finish it"),
    ("ND806", "guard", "no end of a change waits to be written down", "the end of a change is not in the journal yet",
     "start the daemon: it writes the line"),
    ("ND807", "guard", "the guard can lead back everything", "the guard cannot lead queues back: there is no tc",
     "install tc (OpenWrt: tc-tiny); without it, limits of speed that a change touched drop what is too much until the "
     "daemon is back"),
    ("ND901", "memory", "there is enough memory", "memory is short",
     "shorten lists, stop what you do not need, or leave Xray out; the kernel ends what takes most when it is gone"),
    ("ND951", "lines", "every outbound has its interface", "an outbound names an interface that does not exist",
     "correct `option interface`, or create the interface"),
    ("ND952", "lines", "every outbound can be used", "an outbound cannot be used now",
     "see the reason; its rules follow their on_fail meanwhile"),
    ("ND981", "lists", "every list that is fetched is there", "a list was never fetched: its rules match nothing by it",
     "`netpolicy lists` says why; option file may hold a copy for the time until then"),
    ("ND982", "lists", "no list that is fetched is too old", "a list is too old: it could not be fetched for days",
     "`netpolicy lists` says why; what it had stays in force"),
    ("ND971", "inspector", "connections are seen as well as can be", "connections on a device are seen less well",
     "the text says why; it needs Linux 5.8, python3-ctypes and, before 6.6, kmod-sched-bpf. What is missing then: "
     "docs/inspector.md"),
    ("ND972", "inspector", "no qdisc of others keeps the inspector away",
     "an `ingress` qdisc of another program is on the device",
     "nothing has to be done: names are read another way there; Linux 6.6 and later need no place in it"),
    ("ND973", "inspector", "the kernel compiles BPF programs", "BPF programs are interpreted: four times the cost",
     "switch the compiler on, where the machine has one"),
    ("ND974", "inspector", "conntrack counts bytes", "conntrack counts no bytes: connections show none",
     "switch its accounting on; it counts connections that begin afterwards"),
    ("ND975", "inspector", "next to nothing was lost", "more than one event or connection in a hundred was lost",
     "the machine is too busy, or somebody opens thousands of connections: read fewer names (list inspect)"),
    ("ND976", "inspector", "no client was seen to ask name servers elsewhere, hidden in TLS",
     "clients ask name servers elsewhere, hidden in TLS",
     "rules for names know their connections by handshakes alone, from the second one on; option dns_guard '1' refuses "
     "such servers, and clients ask this router instead"),
    ("ND977", "inspector", "nobody took the inspector's programs off a device",
     "somebody took the inspector's programs off a device within ten minutes",
     "they were put back, three times at most; look which program removes filters that it does not know, or set option "
     "inspector 'packet'"),
)  # fmt: skip

CODES = {row[0]: Code(*row) for row in _ROWS}
