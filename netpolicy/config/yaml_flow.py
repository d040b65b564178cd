"""Read what stands in brackets: `[a, b]` and `{a: 1}`, nested, over as many lines as it likes.

Stricter than YAML, where its readers differ or people err: an entry of a list is no `key: value`,
a key has its value and its colon in the same line. Not recursive.
"""

from __future__ import annotations

from netpolicy.config.node import Node
from netpolicy.config.yaml_cursor import FLOW_END, Cursor
from netpolicy.config.yaml_scalar import YamlFault, begins_plain, flow_node
from netpolicy.config.yaml_tree import Frame, Tree

OPENING = {"[": "list", "{": "map"}
CLOSING = {"list": "]", "map": "}"}


def read_flow(cursor: Cursor, tree: Tree) -> None:
    """Add the list or map that begins here; stands behind its bracket. Raises YamlFault.

    Of a frame, `waiting` says that a value must come; `indent` counts the entries that a comma or
    the first place allows: 1 before an entry, 0 behind one.
    """
    depth = len(tree.frames)
    _open(cursor, tree)
    opened = tree.top
    while len(tree.frames) > depth:
        cursor.go_on()
        if cursor.at_end or cursor.marker():
            raise _unclosed(opened)
        _step(cursor, tree, opened)


def _step(cursor: Cursor, tree: Tree, opened: Frame) -> None:
    first, top = cursor.text[cursor.at], tree.top
    if first == CLOSING[top.kind] and not top.waiting:
        cursor.at += 1
        tree.close()
    elif top.indent == 0 and first == ",":
        cursor.at += 1
        top.indent = 1
    elif top.indent == 0:
        raise _no_comma(cursor, opened)
    elif top.kind == "list" or top.waiting:
        _value(cursor, tree)
    else:
        _key(cursor, tree)


def _open(cursor: Cursor, tree: Tree) -> None:
    tree.open(OPENING[cursor.text[cursor.at]], cursor.line, cursor.column, 1)
    cursor.at += 1


def _value(cursor: Cursor, tree: Tree) -> None:
    top = tree.top
    if cursor.text[cursor.at] in OPENING:
        top.indent = 0
        _open(cursor, tree)
        return
    node = _scalar(cursor)
    tree.add(node)
    top.indent = 0
    cursor.skip_spaces()
    if cursor.text[cursor.at] == ":":
        hint = "put the pair into braces: [{key: value}]" if top.kind == "list" else "quote a text that holds a colon"
        raise cursor.fault("a colon behind a value", hint)


def _key(cursor: Cursor, tree: Tree) -> None:
    if cursor.text[cursor.at] in OPENING:
        raise cursor.fault("a list or map cannot be a key")
    node = _scalar(cursor)
    behind = cursor.at
    cursor.skip_spaces()
    colon = cursor.at
    # As in JSON, a value may follow at once if the key is quoted.
    if cursor.text[colon] != ":" or (cursor.text[colon + 1] not in " \n" and not (node.quoted and colon == behind)):
        raise YamlFault(node.line, node.column, f"{node.raw[:60]} has no value", "write key: value, with a blank")
    cursor.at = colon + 1
    tree.key(node, cursor.line, cursor.column)


def _scalar(cursor: Cursor) -> Node:
    text, at = cursor.text, cursor.at
    if text[at] in "\"'":
        return cursor.quoted_node()
    if not begins_plain(text, at, True):
        raise cursor.start_fault(True)
    end = FLOW_END.search(text, at).start()  # type: ignore[union-attr]
    raw = text[at:end].rstrip(" ")
    if text.startswith(":", end) and text[end + 1] not in " \n":
        cursor.at = end
        raise cursor.fault("a colon without a blank behind it", "write key: value, or quote the text")
    node = flow_node(raw, cursor.line, cursor.column)
    cursor.at = end
    return node


def _no_comma(cursor: Cursor, opened: Frame) -> YamlFault:
    bracket = CLOSING[opened.kind]
    if cursor.line > opened.line:
        return cursor.fault(f"a comma or {bracket} is missing before this; opened in line {opened.line}")
    return cursor.fault(f"a comma or {bracket} is missing before this", "quote a text that holds brackets or commas")


def _unclosed(opened: Frame) -> YamlFault:
    bracket = CLOSING[opened.kind]
    return YamlFault(opened.line, opened.column, f"this is not closed: no {bracket} follows", f"add {bracket}")
