"""Read the main section: the settings and the list of further files.

Never opens a file; a broken main section gives no settings at all. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import MAIN, SECTIONS
from netpolicy.config.section import Reading, read_section
from netpolicy.config.source import Option, Section
from netpolicy.core.model import Settings

TABLES = 200  # we own so many routing tables and ip rule priorities from the configured base on
KERNEL_TABLES = (253, 254, 255)


def read_settings(section: Section, file: str, findings: Findings) -> "tuple[Settings | None, Option | None]":
    """The settings (None after an error) and the option that lists further files."""
    reading = read_section(section, SECTIONS["netpolicy"], Place(file, section.line, 1), findings)
    _check_tables(reading)
    includes = section.option("ruleset") if "ruleset" in reading.values else None
    if not reading.ok:
        return None, includes
    settings = Settings()
    for spec in MAIN:
        if spec.name in reading.values:
            setattr(settings, spec.attribute, reading.values[spec.name])
    return settings, includes


def _check_tables(reading: Reading) -> None:
    base = reading.values.get("table_base")
    if base is not None and any(base <= table < base + TABLES for table in KERNEL_TABLES):
        text = f"table_base {base}: our {TABLES} tables would cover the kernel's own 253 to 255"
        reading.error("NP105", text, "7000 is free on most systems", "table_base")
