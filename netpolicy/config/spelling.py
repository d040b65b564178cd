"""The three spellings of the rule language, and which one a file is written in.

The name of a file decides, never its content: a file must not change its meaning with its
first line. Runs on MicroPython.
"""

UCI = "uci"
DSL = "dsl"
YAML = "yaml"
FORMATS = (DSL, UCI, YAML)

ENDINGS = ((".np", DSL), (".dsl", DSL), (".yaml", YAML), (".yml", YAML))


def format_of(path: str) -> str:
    """The spelling of a file: by its ending, UCI without a known one."""
    for ending, format in ENDINGS:
        if path.lower().endswith(ending):
            return format
    return UCI
