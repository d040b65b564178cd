"""Which lists of entries the facts of a connection meet: one look-up for each kind of key that rules use.

The path of every decision, so it is one long function on purpose: a call costs CPython as much as two
look-ups. Never verifies a rule; it says nothing of traffic that no rule is asked about.
"""

from netpolicy.core.bisection import bisect_left, bisect_right
from netpolicy.core.evaluate import UNSTEERED_PORTS
from netpolicy.core.field import normalise_name
from netpolicy.core.index_interval import EXEMPT
from netpolicy.core.index_literal import grams

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

    from netpolicy.core.facts import Facts
    from netpolicy.core.index_column import Cell, Column, Entries
    from netpolicy.core.index_table import Tables

    Hits = list[Entries]
    Find = Callable[[Facts], "Hits | None"]
    Add = Callable[[Facts, Hits], None]

DHCP_PORTS = frozenset([port for _, _, port in UNSTEERED_PORTS])


def finder(tables: "Tables") -> "Find":
    """The lists that facts meet, None for packets that are never steered."""
    starts4, cells4 = tables.dest[4]
    starts6, cells6 = tables.dest[6]
    port_column = tables.dest_ports.get if tables.dest_ports else None
    mac_column = tables.macs.get if tables.macs else None
    row_of = tables.names.get if tables.names else None
    tops = tables.tops
    sources = tables.src if tables.src[4][0] or tables.src[6][0] else None
    rest = tables.rest
    add_more = _more(tables)
    add_names = _more_names(tables)

    def find(facts: "Facts") -> "Hits | None":
        hits: Hits = []
        column: "Column | None"
        address = facts.dest_addr
        if address is not None:
            family, number = address
            cell = cells4[bisect_right(starts4, number)] if family == 4 else cells6[bisect_right(starts6, number)]
            if cell is EXEMPT:
                return None
            while cell is not None:
                column, cell = cell
                hits += column
        port = facts.dest_port
        if port in DHCP_PORTS and (facts.proto, facts.src_port, port) in UNSTEERED_PORTS:
            return None
        if port_column is not None:
            column = port_column(port)
            if column is not None:
                hits += column
        name = facts.domain
        sni = facts.sni
        if row_of is not None and name is not None:
            is_sni = sni is not None and (sni is name or sni == name)
            name = name.lower()
            if name[-1:] == ".":
                name = name[:-1]
            dot = name.rfind(".")
            if tops and dot >= 0:
                row = row_of(name[dot + 1 :])
                if row is not None:
                    if dot:
                        hits += row[0]
                    if is_sni:
                        hits += row[2]
            dot = name.rfind(".", 0, dot)
            row = row_of(name[dot + 1 :])
            while row is not None:
                below, exact, sni_below, sni_exact, is_more = row
                if dot <= 0:
                    if dot:
                        hits += exact
                    if is_sni:
                        hits += sni_exact if dot else sni_below
                    break
                hits += below
                if is_sni:
                    hits += sni_below
                if not is_more:
                    break
                dot = name.rfind(".", 0, dot)
                row = row_of(name[dot + 1 :])
            if sni is not None and not is_sni:
                add_names(sni, hits)
        elif sni is not None:
            add_names(sni, hits)
        if mac_column is not None:
            column = mac_column(facts.src_mac)
            if column is not None:
                hits += column
        if sources is not None:
            address = facts.src_addr
            if address is not None:
                starts, cells = sources[address[0]]
                cell = cells[bisect_right(starts, address[1])]
                while cell is not None:
                    column, cell = cell
                    hits += column
        if add_more is not None:
            add_more(facts, hits)
        if rest:
            hits += rest
        return hits

    return find


def _more_names(tables: "Tables") -> "Callable[[str, Hits], None]":
    """Adds what an sni meets in the table of names; for one that is not the domain as well."""
    rows, tops = tables.names, tables.tops

    def add(sni: str, hits: "Hits") -> None:
        name = normalise_name(sni)
        dot = name.rfind(".")
        if tops and dot >= 0 and name[dot + 1 :] in rows:
            hits += rows[name[dot + 1 :]][2]
        dot = name.rfind(".", 0, dot)
        row = rows.get(name[dot + 1 :])
        while row is not None:
            hits += row[3] if dot < 0 else row[2]
            if dot <= 0 or not row[4]:
                return
            dot = name.rfind(".", 0, dot)
            row = rows.get(name[dot + 1 :])

    return add


def _more(tables: "Tables") -> "Add | None":
    """Adds what the kinds of keys meet that few rule sets need, None if this one needs none."""
    if not (tables.exact or tables.intervals or tables.measured or tables.grams or tables.large):
        return None

    def add(facts: "Facts", hits: "Hits") -> None:
        for name, columns in tables.exact:
            hits += columns.get(getattr(facts, name), ())
        for name, (starts, cells) in tables.intervals:
            fact = getattr(facts, name)
            if fact is not None:
                _add_cells(cells[bisect_right(starts, fact)], hits)
        for name, (bounds, cells) in tables.measured:
            fact = getattr(facts, name)
            if fact is not None:
                _add_cells(cells[bisect_left(bounds, fact) + bisect_right(bounds, fact)], hits)
        for name, literals in tables.grams:
            fact = getattr(facts, name)
            if fact is not None:
                for gram in grams(normalise_name(fact)):
                    if gram in literals:
                        hits += literals[gram]
        for matches, column in tables.large:
            if matches(facts.domain):
                hits += column

    return add


def _add_cells(cell: "Cell | None", hits: "Hits") -> None:
    while cell is not None:
        column, cell = cell
        hits += column
