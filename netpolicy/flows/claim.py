"""What a client says of the connection that its confirmation came by, read strictly.

Believes nothing and judges nothing (`evidence` does): it turns words of a request into a claim, or refuses them
with what to say instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netpolicy.core.address import parse_address
from netpolicy.core.value import ValueProblem
from netpolicy.flows.evidence import Claim, SshClaim, WebClaim
from netpolicy.flows.session import parse_ssh_connection
from netpolicy.flows.sockets import canonical

SSH_WORDS, WEB_WORDS = "ssh_connection", "web_client"
ADDRESS_LIMIT = 45
SOURCE_LIMIT = 256


def read_claim(said: Mapping[str, object], administered: Iterable[str] = (), asked_by_web: bool = False) -> Claim:
    """The claim of a request: its `ssh_connection`, or its `web_client`, which is "" where the page does not know.

    `administered`: addresses that administered by the web when the change was asked for; `asked_by_web`: it was
    asked for by the web itself. Raises ValueProblem; other keys are left alone.
    """
    ssh, web = said.get(SSH_WORDS), said.get(WEB_WORDS)
    if (ssh is None) == (web is None):
        raise ValueProblem(
            "the confirmation does not say by which connection it came",
            "confirm from a new SSH login or from the page; at the router's console, apply and confirm with --console",
        )
    if ssh is not None:
        if not isinstance(ssh, str):
            raise ValueProblem(f"{SSH_WORDS} is not a text")
        return SshClaim(parse_ssh_connection(ssh))
    sources = list(administered)[:SOURCE_LIMIT]
    if not isinstance(web, str) or len(web) > ADDRESS_LIMIT:
        raise ValueProblem(f"{WEB_WORDS} is not an address")
    if web:
        sources.append(canonical(*parse_address(web)))
    return WebClaim(frozenset(sources), asked_by_web)
