"""The decision itself: one look-up for each kind of key that rules use, then the rules found there, by rank.

The path of every decision, so it is one long function on purpose: a call costs CPython as much as two
look-ups. Which rules stand, and where they lead, is not known here but asked once and kept.
"""

from netpolicy.core.bisection import bisect_left, bisect_right
from netpolicy.core.evaluate import UNSTEERED_PORTS
from netpolicy.core.field_name import normalise_name
from netpolicy.core.index_column import NOBODY
from netpolicy.core.index_interval import EXEMPT
from netpolicy.core.index_literal import grams

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

    from netpolicy.core.facts import Facts
    from netpolicy.core.index_column import Entry
    from netpolicy.core.index_table import Tables
    from netpolicy.core.index_view import Choice, Outcomes

    Hits = list[Entry]
    # With a list as second argument, that gets the lists of entries which the facts meet.
    Decide = Callable[..., Choice]
    Add = Callable[[Facts, Hits], None]

DHCP_PORTS = frozenset([port for _, _, port in UNSTEERED_PORTS])


def decider(tables: "Tables", outcomes: "Outcomes") -> "Decide":
    """The function that decides where rules have these outcomes; all that it needs is at hand."""
    starts4, cells4 = tables.dest[4]
    starts6, cells6 = tables.dest[6]
    pages, page_bits = tables.pages
    of_port = tables.dest_ports.get if tables.dest_ports else None
    of_mac = tables.macs.get if tables.macs else None
    of_name = tables.names.get if tables.names else None
    tops = tables.tops
    of_host = tables.hosts.get if tables.hosts else None
    rest = tables.rest
    add_names = _more_names(tables)
    add_more = _more(tables)
    exempt, usual, sides = outcomes.exempt, outcomes.usual, outcomes.sides
    usual_standing = usual.standing
    local = frozenset(outcomes.world.local)
    worst = len(outcomes.rules)

    def decide(facts: "Facts", gathered: "Hits | None" = None) -> "Choice":
        hits: Hits = []
        address = facts.dest_addr
        if address is not None:
            family, number = address
            if family != 4:
                entry = cells6[bisect_right(starts6, number)]
            elif pages is None:
                entry = cells4[bisect_right(starts4, number)]
            else:
                page = number >> page_bits
                entry = cells4[bisect_right(starts4, number, pages[page], pages[page + 1])]
            if entry is not None:
                if entry is EXEMPT:
                    return exempt
                hits.append(entry)
        proto = facts.proto
        port = facts.dest_port
        if port in DHCP_PORTS and (proto, facts.src_port, port) in UNSTEERED_PORTS:
            return exempt
        if of_port is not None:
            entry = of_port(port)
            if entry is not None:
                hits.append(entry)
        sni = facts.sni
        if of_name is not None:
            name = facts.domain
            if name is not None:
                is_sni = sni is not None and (sni is name or sni == name)
                top = name.rfind(".")
                dot = name.rfind(".", 0, top)
                row = of_name(name[dot + 1 :])
                # Mostly names are written as they are compared; where no more is looked at, it does not matter.
                if (row is None or row[4]) and not (name.islower() and top + 1 != len(name)):
                    name = normalise_name(name)
                    top = name.rfind(".")
                    dot = name.rfind(".", 0, top)
                    row = of_name(name[dot + 1 :])
                if tops and top >= 0:
                    above = of_name(name[top + 1 :])
                    if above is not None:
                        if top and above[0] is not None:
                            hits.append(above[0])
                        if is_sni and above[2] is not None:
                            hits.append(above[2])
                while row is not None:
                    below, exact, sni_below, sni_exact, is_more = row
                    if dot <= 0:
                        if dot and exact is not None:
                            hits.append(exact)
                        if is_sni:
                            entry = sni_exact if dot else sni_below
                            if entry is not None:
                                hits.append(entry)
                        break
                    if below is not None:
                        hits.append(below)
                    if is_sni and sni_below is not None:
                        hits.append(sni_below)
                    if not is_more:
                        break
                    dot = name.rfind(".", 0, dot)
                    row = of_name(name[dot + 1 :])
                if sni is not None and not is_sni:
                    add_names(sni, hits)
            elif sni is not None:
                add_names(sni, hits)
        if of_mac is not None:
            entry = of_mac(facts.src_mac)
            if entry is not None:
                hits.append(entry)
        if of_host is not None:
            entry = of_host(facts.src_addr)
            if entry is not None:
                hits.append(entry)
        if add_more is not None:
            add_more(facts, hits)
        if rest is not None:
            hits.append(rest)
        if gathered is not None:
            gathered += hits
        side = usual
        standing = usual_standing
        iface = facts.src_iface
        if iface in sides:
            side = outcomes.side(iface)
            standing = side.standing
        if local and address in local:
            return side.local
        best = worst
        winner = side.default
        for entry in hits:
            while entry is not None:
                rank, protocols, ports, check, entry = entry
                if rank >= best:
                    break
                if protocols is not None and proto not in protocols:
                    if protocols is NOBODY:
                        hits += check  # lists beside each other: each will have its turn
                    continue
                if ports is not None and port not in ports:
                    continue
                if check is not None and not check(facts):
                    continue
                choice = standing[rank]
                if choice is None:
                    choice = outcomes.choice(side, rank)
                if choice:
                    best = rank
                    winner = choice
                    break
        return winner

    return decide


def _more_names(tables: "Tables") -> "Callable[[str, Hits], None]":
    """Adds what an sni meets in the table of names; for one that is not the domain as well."""
    rows, tops = tables.names, tables.tops

    def add(sni: str, hits: "Hits") -> None:
        name = normalise_name(sni)
        dot = name.rfind(".")
        row = rows.get(name[dot + 1 :]) if tops and dot >= 0 else None
        if row is not None and row[2] is not None:
            hits.append(row[2])
        dot = name.rfind(".", 0, dot)
        row = rows.get(name[dot + 1 :])
        while row is not None:
            entry = row[3] if dot < 0 else row[2]
            if entry is not None:
                hits.append(entry)
            if dot <= 0 or not row[4]:
                return
            dot = name.rfind(".", 0, dot)
            row = rows.get(name[dot + 1 :])

    return add


def _more(tables: "Tables") -> "Add | None":
    """Adds what the kinds of keys meet that few rule sets need, None if this one needs none."""
    sources = tables.src if tables.src[4][0] or tables.src[6][0] else None
    if not (sources or tables.exact or tables.intervals or tables.measured or tables.grams or tables.large):
        return None

    def add(facts: "Facts", hits: "Hits") -> None:
        for name, table in tables.exact:
            _append(table.get(getattr(facts, name)), hits)
        if sources is not None:
            source = facts.src_addr
            if source is not None:
                starts, cells = sources[source[0]]
                _append(cells[bisect_right(starts, source[1])], hits)
        for name, (starts, cells) in tables.intervals:
            fact = getattr(facts, name)
            if fact is not None:
                _append(cells[bisect_right(starts, fact)], hits)
        for name, (bounds, cells) in tables.measured:
            fact = getattr(facts, name)
            if fact is not None:
                _append(cells[bisect_left(bounds, fact) + bisect_right(bounds, fact)], hits)
        for name, size, parts in tables.grams:
            fact = getattr(facts, name)
            if fact is not None:
                for gram in grams(normalise_name(fact), size):
                    if gram in parts:
                        hits.append(parts[gram])
        for check, entry in tables.large:
            if check(facts):
                hits.append(entry)

    return add


def _append(entry: "Entry | None", hits: "Hits") -> None:
    if entry is not None:
        hits.append(entry)
