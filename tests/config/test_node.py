"""A node and its two ways to be a plain value."""

from netpolicy.config.node import Node, plain


def test_plain_gives_dicts_lists_and_scalars():
    rule = Node(
        "map",
        (
            (Node("text", "name", 1, 1, "name"), Node("text", "a b", 1, 7, '"a b"', True)),
            (Node("text", "port", 2, 1, "port"), Node("list", (Node("integer", 80, 2, 8, "0x50"),), 2, 7)),
        ),
        1,
        1,
    )
    assert plain(rule) == {"name": "a b", "port": [80]}


def test_a_key_is_the_text_that_was_written():
    tree = Node("map", ((Node("integer", 5, 1, 1, "0x5"), Node("null", None, 1, 5)),), 1, 1)
    assert plain(tree) == {"0x5": None}


def test_the_text_of_a_scalar_is_what_was_written_or_what_was_quoted():
    assert Node("integer", 5, 1, 1, "5").text == "5"
    assert Node("boolean", True, 1, 1, "True").text == "True"
    assert Node("text", "a\n", 1, 1, '"a\\n"', True).text == "a\n"
    assert Node("list", (), 1, 1).text == ""


def test_a_node_shows_all_of_itself():
    assert repr(Node("text", "a", 1, 2, "a")) == "Node('text', 'a', 1, 2, 'a', False)"
