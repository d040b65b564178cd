"""docs/lints.md, made of the table of codes: `python -m netpolicy.config.lint_page` prints it.

Text in, text out. The page is written by `make generated`; a test says when it is not current.
"""

from __future__ import annotations

from netpolicy.config.lint_codes import Code, every_code
from netpolicy.config.lint_examples import Example

HEAD = """# What lint finds

`netpolicy lint FILE…` reads files as the daemon does, and then looks more closely. This page is made of the program's
own table (`make generated`), and a test runs every example. `netpolicy lint --explain NP401` prints one section.

An **error** means that a part, or everything, cannot be used. A **warning** means that it can be used and is probably
not what was meant; with `--strict` it fails too. **Info** is good to know. A code keeps its meaning for ever.

| code | severity | meaning |
|---|---|---|
"""

GROUPS = (
    ("NP0", "Reading the file"),
    ("NP1", "Sections and options"),
    ("NP2", "What a part says"),
    ("NP3", "Converting"),
    ("NP4", "A closer look"),
)


def page() -> str:
    """The whole page."""
    codes = every_code()
    rows = [f"| [{one.code}](#{one.code.lower()}) | {one.severity} | {one.title} |" for one in codes]
    parts = [HEAD + "\n".join(rows) + "\n"]
    for prefix, title in GROUPS:
        parts.append(f"\n## {title}\n")
        parts += ["\n" + section(one) for one in codes if one.code.startswith(prefix)]
    return "".join(parts)


def section(code: Code) -> str:
    """One code: its meaning, why it matters, both examples."""
    return (
        f"### {code.code}\n\n"
        f"**{code.title[0].upper()}{code.title[1:]}** ({code.severity}).\n{code.why}\n\n"
        + _block("Fails", code.failing)
        + "\n"
        + _block("Fixed", code.fixed)
    )


def _block(title: str, example: Example) -> str:
    said = [example.note] if example.note else []
    said += [f"`{name}` holds `{_in_one_line(content)}`." for name, content in example.files if name in example.text]
    words = " ".join([f"{title}:", *said])
    shown = "".join(character if character.isprintable() or character in "\n\t" else "␇" for character in example.text)
    return f"{words}\n\n```{example.spelling}\n{shown}```\n"


def _in_one_line(text: str) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines())


if __name__ == "__main__":
    print(page(), end="")
