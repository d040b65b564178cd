"""Format DSL text: the canonical form of the same rules, with every comment at its place.

A comment stays with its section and line. Where a line is not printed any more (two match
lines became one, a default went), its comment stands before the nearest one. Never loses or
changes a comment. Runs on MicroPython.
"""

from netpolicy.config.dsl import END, HEAD, HEADER, TAIL, Comment, DslFile
from netpolicy.config.print_dsl import block_of, in_order
from netpolicy.config.source import Section


def format_text(parsed: DslFile, sections: tuple[Section, ...]) -> str:
    """The text of the canonical sections of a file, with the file's comments."""
    kept = _comments_by_section(parsed, sections)
    head = [one.text + "\n" for one in parsed.comments if one.owner == HEAD]
    texts = ["".join(head)] if head else []
    for section in in_order(sections):
        texts.append(_with_comments(section, kept.get((section.type, section.name), [])))
    tail = [one.text for one in parsed.comments if one.owner == END]
    if tail:
        texts.append("\n".join(tail) + "\n")
    return "\n".join(texts)


def _comments_by_section(parsed: DslFile, sections: tuple[Section, ...]) -> "dict[tuple[str, str], list[Comment]]":
    """The comments of each canonical section: the nth of a type in the file is the nth of that type."""
    waiting: dict[str, list[Section]] = {}
    for section in reversed(sections):
        waiting.setdefault(section.type, []).append(section)
    owners = [waiting[section.type].pop() for section in parsed.sections]
    found: dict[tuple[str, str], list[Comment]] = {}
    for comment in parsed.comments:
        if comment.owner >= 0:
            owner = owners[comment.owner]
            found.setdefault((owner.type, owner.name), []).append(comment)
    return found


def _with_comments(section: Section, comments: "list[Comment]") -> str:
    is_inner = any(one.directive != HEADER for one in comments)
    block = block_of(section, is_inner)
    shown = {directive for directive, _ in block.lines}
    by_line: dict[str, list[Comment]] = {}
    for one in comments:
        by_line.setdefault(one.directive, []).append(one)
    lines: list[str] = []
    waiting = [one for one in comments if one.directive not in shown and one.directive != TAIL]
    for directive, text in block.lines:
        here = by_line.pop(directive, [])
        indent = "" if directive == HEADER or not block.is_open else "  "
        inline = [one for one in here if one.is_inline]
        before = [one for one in here if not one.is_inline] + inline[:-1]
        if directive != HEADER or not block.is_open:
            before = before + waiting  # their own line is gone
            waiting = []
        lines.extend(indent + one.text for one in before)
        lines.append(text + "  " + inline[-1].text if inline else text)
    rest = waiting + by_line.get(TAIL, [])
    lines.extend(("  " if block.is_open else "") + one.text for one in rest)
    return "".join([line + "\n" for line in lines])
