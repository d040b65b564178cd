"""docs/doctor.md, made of the table of codes: `python -m netpolicy.service.doctor_page` prints it.

Text in, text out. The page is written by `make generated`; a test says when it is not current.
"""

from __future__ import annotations

from netpolicy.service.doctor_codes import AREAS, CODES

HEAD = """# What the doctor looks at

`netpolicy doctor` looks at the whole box, with the daemon or without one, changes nothing, and says of each finding
what to do. This page is made of the program's own table (`make generated`).

An **error** means that something does not work or will not after the next boot, a **warning** that it will hurt one
day or under load. **Info** is good to know. The exit code is 1 with errors or warnings, else 0. A code keeps its
meaning for ever; `--json` has every check, the fine ones too.
"""

TABLE = """
| code | what is found | what to do |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join([f"\n## {area}\n{TABLE}{_rows(area)}" for area in AREAS])


def _rows(area: str) -> str:
    return "".join([f"| {one.code} | {one.wrong} | {one.cure} |\n" for one in CODES.values() if one.area == area])


if __name__ == "__main__":
    print(page(), end="")
