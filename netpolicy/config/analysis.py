"""A closer look at a rule set: what loads without an error and is still suspicious.

placeholder until the analysis is written in this same change
"""

from netpolicy.config.assemble import Loaded
from netpolicy.config.diagnostic import Findings


def analyse(loaded: Loaded, findings: Findings) -> None:
    """Report what is suspicious."""
