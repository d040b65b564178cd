"""`netpolicyd --dry-run`: one decision on paper, as the predecessor printed it.

Reads the configuration, touches nothing else. What is printed: service/dry_run.py.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

from netpolicy.config.load import load
from netpolicy.service import dry_run
from netpolicy.service.local_time import local_time


def main(given: SimpleNamespace) -> int:
    """Prints the decision for the given facts; 1 when the configuration cannot be used."""
    loaded = load(given.config, needs_main=False)
    for found in loaded.diagnostics:
        if found.severity == "error":
            print(found.text(), file=sys.stderr)
    if loaded.fatal:
        return 1
    at = dry_run.moment(given.given, dry_run.local_moment(local_time()))
    document = dry_run.document(loaded.ruleset, given.facts, given.state, at=at)
    if given.json:
        print(json.dumps(document))
    else:
        print(dry_run.text(document, given.given, "dry-run decision"))
    return 0
