"""Which spelling a file is written in."""

import pytest

from netpolicy.config.spelling import DSL, FORMATS, UCI, YAML, format_of


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("rules.np", DSL),
        ("a/b/RULES.DSL", DSL),
        ("x.yaml", YAML),
        ("x.Yml", YAML),
        ("/etc/config/netpolicy", UCI),
        ("yaml", UCI),
        ("rules.dsl.orig", UCI),
        ("folder.yaml/netpolicy", UCI),
        ("", UCI),
        (".yaml", YAML),
    ],
)
def test_the_ending_decides(path, format):
    assert format_of(path) == format
    assert format in FORMATS
