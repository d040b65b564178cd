"""The formatter: the same rules, every comment at its place, nothing to do the second time."""

import random
import time

import pytest

from netpolicy.config.convert import convert_text
from netpolicy.config.dsl import read_dsl
from netpolicy.config.format_dsl import format_text
from netpolicy.config.load import load_text
from netpolicy.config.unload import as_key

UNTIDY = """\
# head of the file

# second line
   rule  a :    # why a
# before the match, at the margin
  action log route=x # by x
  # before the match
\tmatch port=80
  match protocol=tcp   # two match lines
  # last words of a
priority 7

# about b
rule b
  match any=true
  action block=true
# the end
"""

TIDY = """\
# head of the file

# second line
rule a:  # why a
  priority 7
  # before the match
  match protocol=tcp port=80  # two match lines
  # before the match, at the margin
  action route=x log=true  # by x
  # last words of a

# about b
rule b:
  priority 0
  match any
  action block

# the end
"""


def formatted(text: str) -> str:
    made = convert_text(text, "f", "dsl", "dsl")
    assert made.text is not None, made.diagnostics
    return made.text


def test_comments_stay_with_their_rule_and_line():
    assert formatted(UNTIDY) == TIDY.replace("  # last words of a\n", "").replace(
        "  priority 7\n", "  # last words of a\n  priority 7\n"
    )
    assert formatted(TIDY) == TIDY


def test_comments_before_one_line_keep_their_order_however_they_are_indented():
    text = "rule a:\n  match any\n# one\n  # two\n\t# three\n# four\n  action block\n"
    assert "  # one\n  # two\n  # three\n  # four\n  action block\n" in formatted(text)


def test_indented_comments_end_a_block_up_to_the_first_at_its_margin():
    text = "rule a:\n  match any\n  action block\n  # a\n# b\n  # still b\nrule b:\n  match any\n  action block\n"
    assert "  # a\n\n# b\n# still b\nrule b:\n" in formatted(text)


def test_the_margin_of_a_text_that_is_indented_as_a_whole_is_its_own():
    text = "rule a:\n  match any\n  action block\n# of b\nrule b:\n  # in b\n  match any\n  action block\n"
    indented = "".join(["    " + line + "\n" for line in text.splitlines()])
    assert formatted(indented) == formatted(text)


def test_many_comments_are_placed_in_linear_time():
    text = "list l:\n" + "".join([f"  # about {i}\n  entry h{i}.example  # c{i}\n" for i in range(20_000)])
    parsed = read_dsl(text)
    start = time.process_time()
    assert format_text(parsed, parsed.sections) == text
    assert time.process_time() - start < 5  # quadratic takes half a minute


def test_a_section_of_one_line_opens_for_its_comments():
    text = "outbound wan:\n  type interface\n  # the fibre\n  interface wan\nrule a:\n  match any\n  action route=wan\n"
    assert formatted(text).startswith("outbound wan:\n  type interface\n  # the fibre\n  interface wan\n\n")
    inline = "outbound wan interface wan  # fibre\n\nrule a:\n  priority 0\n  match any\n  action route=wan\n"
    assert formatted(inline) == inline


def test_what_is_wrong_is_not_formatted():
    assert convert_text("rule a:\n  match prt=1\n  action route=x\n", "f", "dsl", "dsl").text is None


LINES = [
    "outbound wan interface wan", "outbound g:\n  type group\n  member wan", "throttle slow down=1mbit",
    "list l a.example b.example", "netpolicy:\n  enabled false\n  assert lan can wan", "assert lan cannot wan",
    "schedule s days=mon", "rule one:\n  match any\n  action route=wan\n  priority 3",
    "rule two words:\n  disable NORMAL\n  match sni=x.example\n  match port=5\n  action block log",
    "rule three:\n  title \"T # t\"\n  when state = NORMAL\n  match latency_ms=>5\n  enabled false\n  action route=g",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_wherever_comments_stand_none_is_lost_and_the_second_time_changes_nothing(seed):
    rng = random.Random(seed)
    chosen = [one for one in LINES if rng.random() < 0.7] or LINES[:1]
    rng.shuffle(chosen)
    out, count = [], 0
    for line in "\n".join(chosen).split("\n"):
        for _ in range(rng.choice((0, 0, 1, 2))):
            out.append(rng.choice(("", "  ", "\t")) + f"# comment {count} \"' = ,")
            count += 1
        if rng.random() < 0.3:
            line += f"  # inline {count}"
            count += 1
        out.append(line)
        if rng.random() < 0.2:
            out.append("")
    out += [rng.choice(("# tail", "  # tail"))] if rng.random() < 0.5 else []
    text = "\n".join(out) + "\n"
    if load_text(text, "f", "dsl").skipped or convert_text(text, "f", "dsl", "dsl").text is None:
        return  # a reference without its outbound: nothing to format
    once = formatted(text)
    assert formatted(once) == once
    assert sorted(comments(once)) == sorted(comments(text))
    assert as_key(load_text(once, "f", "dsl").ruleset) == as_key(load_text(text, "f", "dsl").ruleset)


def comments(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        start = line.find("# ") if "T # t" not in line else line.find("# ", line.find("T # t") + 5)
        if start >= 0:
            found.append(line[start:].strip())
    return found
