"""Every code of lint explained, with an example that has it and one that has not: the text of docs/lints.md.

For people, SARIF and `lint --explain`; nothing else imports it, so that a router never pays for it.
Titles are those of diagnostic.py. Each example is run by a test.
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.config.diagnostic import CODES
from netpolicy.config.lint_examples import EXAMPLES, Example

# Code, how serious it is (the most serious form where it has several), and why it matters.
TABLE = """
NP001 error
Nothing is used while a part of the configuration cannot be read: half of the rules would be another policy than the
one that was written.

NP002 error
What people see on the screen must be what is read. Characters that cannot be seen, and other encodings than UTF-8,
make the two differ.

NP003 error
From there on nobody can say what the file was to mean, so nothing of it is used. In UCI files the text itself is
never shown: the file may be another than was meant, with a password in it.

NP004 error
Reading is bounded in time and memory, so that no file can stop the router. The limits are far above what a person
writes by hand.

NP005 warning
The earlier line has no effect, or both count together. Mostly one of them was forgotten.

NP006 warning
UCI drops such a line when it writes the file. What looks like an empty value is no value.

NP007 error
Further files must be beside the main file or in a folder of the system's administrator: whoever may write the
configuration must not have any file of the system read.

NP101 error
A misspelt option would silently not count, and the rule would match more, or do something else.

NP102 error
A misspelt section would silently not count; with it a block may be gone.

NP105 error
The value has no meaning for that option. A rule with it is left out rather than guessed at.

NP106 error
Names are how logs, other sections and the interface refer to a part, so each has one of a plain form.

NP107 error
Nobody can say which of the two is meant.

NP108 info
The name is made of the content and changes with it; statistics begin anew then.

NP109 error
The parts of a section must make a whole: a table needs its number, on_fail belongs to a route.

NP201 error
An empty match would be everything. That must be said on purpose: any.

NP202 error
A rule does one thing. Two actions, or only a note in the log, are no decision.

NP203 error
A rule for no state would never count, and an empty list reads as if it counted in all.

NP204 error
The rule cannot send anything there, and is left out. In a file that defines no outbounds it is a warning: such a
file can be tried, not applied.

NP205 error
The main section decides for all traffic, so a mistake in it means that nothing is used.

NP206 warning
Its parts exclude each other, so the rule has no effect. What it was to stop passes.

NP207 info
The rule is read, checked and explained, and the kernel does not do it yet. `netpolicy plan` lists the same. It is a
warning where somebody waits for it: a block, a kill switch.

NP208 info
All traffic goes where the default leads. That may be meant; an empty DSL or YAML file is an error.

NP209 warning
A * without a dot also matches names that merely end alike, which anybody can register.

NP210 warning
Such a file can be tried and can be listed by another one, but not be applied: an empty or cut file must not switch
off what is running.

NP211 warning
A default has no on_fail. While the line is down, traffic without a rule goes by the main table.

NP212 error
Without its list the rule would match nothing or everything, so it is left out.

NP213 error
Which line is meant could never be found out.

NP214 error
The group cannot be used, and no rule that leads to it.

NP215 error
Nothing would be slowed down, so the rule is left out.

NP216 error
Without its hours the rule would count always or never, so it is left out.

NP217 warning
The list works with the entries that are good. A file that is not there yet may still be fetched.

NP219 warning
`enabled` is 0 unless it is written: NetPolicy then does nothing at all. Written as 0 it is meant, and only a note.

NP301 warning
Only the DSL formatter keeps comments. Said by convert, not by lint.

NP401 warning
Rules above it match everything that it matches, in every state in which it counts, so it has no effect. This is
exact, for one rule as for several together. A route whose line may be down and whose on_fail is next covers
nothing, because then the next rule decides (NP411 tells of a block below it); lists from files and addresses are not
judged, because they change.

NP402 info
Comparing is bounded in time. What is reported is right; more may be there.

NP403 warning
It has the same match, states and action as a rule above it. Later somebody will correct only one of the two.

NP404 info
It changes nothing. Mostly another value was meant.

NP405 info
It changes nothing, because a wider value beside it has it already. Mostly one of the two was meant to be excluded,
or is left from earlier.

NP406 warning
The other values of the field do not have it, so nothing is excluded. Mostly it is misspelt, and the exception that
somebody relies on does not exist.

NP408 warning
Every measured number satisfies it, so it only says that something was measured.

NP409 warning
It means the same as the shorter pattern.

NP410 warning
What comes in by an outbound is a connection from outside, such as a port forward. Its answers must leave by the
same line; only a block that names src_iface is asked.

NP411 info
A route above it matches all that the block matches, and more. As long as its line is up the route decides; while it
is down its on_fail, next, leaves the decision to the block. Not said of a block of just the same, which is a kill
switch in two rules, nor of one with states.

NP420 warning
Clients and sites have addresses of both families, and programs prefer IPv6. A block or a kill switch that names
IPv4 addresses only is passed by. A judgement with limits: private destinations, rules that say family ipv4, lists
that may change, and configurations in which another rule or the default stops the same in IPv6 are not reported.

NP421 info
As NP420, for routes to a line: the same site by IPv6 goes another way.

NP430 warning
A kill switch that cannot hold: while the name is not known or nothing was measured, the rule does not match, and
what it is to stop passes. Not said where the default blocks.

NP431 info
Addresses of names are known from the DNS answers that this router gave. A client that asks elsewhere, or knows the
address, passes. The option dns_guard of the main section refuses the secret ways to other name servers.

NP432 warning
A kill switch that cannot hold: on_fail counts when every target is down, and one of them needs no line. With it the
traffic leaves in the open.

NP433 info
on_fail is next unless it is written, so while the line is down the following rules decide, at last the default. For
a VPN or proxy that is often not what was meant. Lines are taken for private by type or by names such as wg0 and
vpn.

NP440 info
The kernel sees addresses, not names. dnsmasq writes the addresses of its answers into sets when it was built with
nftset, which the package dnsmasq-full is; the inspector reads names in handshakes.

NP441 warning
The dnsmasq that is installed here was built without nftset and cannot tell which addresses a name has.

NP442 info
dnsmasq follows names and everything under them. For a keyword or an expression it would have to know all names.

NP450 warning
Two programs that write the same bits of a packet's mark send each other's packets astray. What really runs is
checked again before anything is changed.

NP451 warning
Two programs that fill the same routing tables or use the same priorities undo each other's work.

NP460 warning
Of two outbounds on one device the first answers for what comes in, and both are up and down together.

NP461 info
A group of one is that one. Mostly a member is missing.

NP462 warning
The first that is up is used, and an outbound such as direct is never down. What stands behind it has no effect.

NP463 info
It has no effect. Mostly it is left from earlier, or a name elsewhere is another than was meant. Not said while
rules are left out because of errors.

NP464 info
They differ in capitals or blanks only. In logs and in the interface people will take one for the other.

NP465 info
Rules are found by what they want: an address, a port, a name. One that says only what it does not want is looked at for
every connection; with more than 32 of them decisions take longer with each.

NP466 info
The networks and devices of the router are not known here, so the name may be right. If it is not, the assertion cannot
be tried.

NP467 info
A line may be dead behind a device that is up: the modem has power, the provider has not. Only a probe tells.

NP468 warning
Each outbound that is a line has a class number, and so has each pair of a line (or direct) and a throttle profile that
rules use together; of a profile with per rule, each pair of a line and a rule. The bits of fwmark_mask number 28 at the
default. With more the daemon refuses the rules and keeps those in force.

NP469 info
Each different value of domain or sni has its own sets of addresses in the kernel, which the first packet of every
connection is looked up in, one after the other. A list of names is one question, however long it is.

NP470 warning
Whoever is on the way can put an address into it that is then blocked, or sent by another line. HTTPS costs nothing.

NP471 info
A list is for what changes. More often than every five minutes it is not fetched, whatever is written.

NP472 info
Copies of fetched lists are in memory, so that flash is not worn out. Until it was fetched for the first time the rule
matches nothing by the list. A boot finds the copy that was kept for it, once a day, where that is not too long (1 MiB
for all); a file of the list on flash, however old, counts where there is none.
"""


class Code(NamedTuple):
    """One code as docs/lints.md shows it."""

    code: str
    severity: str
    title: str
    why: str
    failing: Example
    fixed: Example


def explained(code: str) -> Code | None:
    """What is known of a code, None for one that is not lint's."""
    return next((one for one in every_code() if one.code == code), None)


def every_code() -> tuple[Code, ...]:
    """All codes, in their order."""
    return tuple(_code(part) for part in TABLE.strip().split("\n\n"))


def _code(part: str) -> Code:
    head, *lines = part.splitlines()
    code, severity = head.split()
    failing, fixed = EXAMPLES[code]
    return Code(code, severity, CODES[code], " ".join(lines), failing, fixed)
