"""The DSL and UCI front ends, printed: sections, findings, formatted text, the same under both interpreters.

Plain asserts where the answer is known, lines of output where only equality matters. Written in
the dialect itself.
"""

from netpolicy.config.assemble import assemble
from netpolicy.config.dsl import read_dsl
from netpolicy.config.format_dsl import format_text
from netpolicy.config.print_dsl import to_dsl
from netpolicy.config.print_uci import to_uci
from netpolicy.config.uci_text import read_carefully
from netpolicy.config.unload import as_key, to_sections, with_titles_as_names
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import parse_facts

GOOD = """\
# lines first

netpolicy:
  enabled true
  primary wan
  assert lan can wan tcp/443
outbound wan interface wan probe=ping:192.0.2.1,tcp:192.0.2.2:443 masq  # fibre
outbound wg0 interface wg0
outbound tunnel group wg0 wan
schedule evening days=fri-sun,mon from=22:00 to=6:30
throttle slow down=1.5mbit
list video youtube.com =googlevideo.com 192.0.2.0-192.0.2.255 "regex:^a{1,2}b"
rule video calls:   # by name
  title "Calls, first"
  match domain=@video,keyword:call protocol=tcp,udp
  # the port of before
  match port=443,80 dscp=ef
  when state = normal, DEGRADED
  action fallback=tunnel,wan throttle=slow on_fail=block log
rule "a # b":
  match any
  action block
"""

BAD = """\
priority 5
rule a:
  prioritty 5
  match prot=tcp port=99999 sni="*a*b"
  action rout=x
rule b:
  match sni="x
  action route=wn
outbond wan interface wan
rule :
  match any
throttle slow dwn=2mbit
list l 1.2.3.4.5 a..b
"""

parsed = read_dsl(GOOD, "good")
loaded = assemble((parsed,))
for item in loaded.diagnostics:
    print(item.text())
assert not loaded.fatal
assert [rule.name for rule in loaded.ruleset.rules] == ["video_calls", "a___b"]
sections = with_titles_as_names(to_sections(loaded.ruleset))
formatted = format_text(parsed, sections)
print(formatted)
assert format_text(read_dsl(formatted, "again"), sections) == formatted
uci = to_uci(to_sections(loaded.ruleset))
print(uci)
for text, read in ((to_dsl(sections), read_dsl), (uci, read_carefully)):
    assert as_key(assemble((read(text, "again"),)).ruleset) == as_key(loaded.ruleset)
for facts in ({"domain": "a.youtube.com", "proto": "tcp", "port": "443", "dscp": "46"}, {"port": "25"}):
    made = decide(loaded.ruleset, parse_facts(facts))
    print("decision", made.rule.name if made.rule else "none", made.action, made.outbound, made.why)

broken = assemble((read_dsl(BAD, "bad"),))
assert broken.fatal
for item in broken.diagnostics:
    print(item.text(), item.length, item.fix)
