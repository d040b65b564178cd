"""Whether the firewall lets packets of open connections bypass the bridge and the rules: OpenWrt's `flow_offloading`.

Reads one file, with a limit; never asks nft: the inspector also hears of connections that conntrack calls offloaded.
Source: the `defaults` section of /etc/config/firewall, as fw4 has it.
"""

from __future__ import annotations

import os

from netpolicy.config import value
from netpolicy.core.value import ValueProblem

FIREWALL = "/etc/config/firewall"
SECTION, OPTION = "defaults", "flow_offloading"


def is_on(path: str = FIREWALL) -> bool:
    """Whether fw4 is told to make a flowtable; False where there is no such file."""
    if not os.path.exists(path):
        return False
    from netpolicy.config.uci import BuiltinReader  # elsewhere than on OpenWrt there is nothing to read

    for section in BuiltinReader().read(path).sections:
        option = section.option(OPTION) if section.type == SECTION else None
        if option is not None and option.values:
            try:
                return value.boolean(option.values[-1])
            except ValueProblem:
                return False
    return False
