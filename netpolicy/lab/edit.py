"""Decide how the lab's configuration changes when the user asks for another edit.

Text in, text out; touches only options of one rule and keeps every comment.
The text is UCI as in examples/lab/netpolicy.
"""

from __future__ import annotations

RULE = "video"
# What the rule is in turn; the first is how it stands in the file.
STAGES = (
    ({"enabled": "1", "route": "wan_b"}, "video goes by wan_b"),
    ({"enabled": "1", "route": "wan_a"}, "video goes by wan_a"),
    ({"enabled": "0", "route": "wan_b"}, "rule video is switched off"),
)


def next_edit(text: str) -> tuple[str, str]:
    """The text with rule `video` in its next stage, and that stage in words. ValueError without such a rule."""
    present = options(text, RULE)
    current = next((n for n, (wanted, _) in enumerate(STAGES) if wanted.items() <= present.items()), -1)
    wanted, words = STAGES[(current + 1) % len(STAGES)]
    for name, value in wanted.items():
        text = with_option(text, RULE, name, value)
    return text, words


def options(text: str, rule: str) -> dict[str, str]:
    """The single-valued options of a rule as they stand in the text."""
    start, end = _section(text.splitlines(), rule)
    found = {}
    for line in text.splitlines()[start + 1 : end]:
        words = line.split(None, 2)
        if len(words) == 3 and words[0] == "option":
            found[words[1]] = words[2].split("#")[0].strip().strip("'\"")
    return found


def with_option(text: str, rule: str, name: str, value: str) -> str:
    """The text with one option of a rule set, in place or as the rule's first line."""
    lines = text.splitlines()
    start, end = _section(lines, rule)
    wanted = f"\toption {name} '{value}'"
    for number in range(start + 1, end):
        if lines[number].split()[:2] == ["option", name]:
            lines[number] = wanted
            break
    else:
        lines.insert(start + 1, wanted)
    return "\n".join(lines) + "\n"


def _section(lines: list[str], rule: str) -> tuple[int, int]:
    heads = [number for number, line in enumerate(lines) if line.split()[:1] == ["config"]]
    for number, following in zip(heads, [*heads[1:], len(lines)], strict=True):
        if [word.strip("'\"") for word in lines[number].split()[1:3]] == ["rule", rule]:
            return number, following
    raise ValueError(f"the lab's configuration has no rule {rule!r} to edit")
