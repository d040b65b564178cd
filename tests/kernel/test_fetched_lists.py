"""A daemon and a server of lists: the kernel follows what is fetched, and a server that is gone empties nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from netpolicy.config.kept_list import AFTER_BOOT
from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.booting import Booting
from tests.netns import needs_root
from tests.outbounds.web_server import WebServer, says, tagged
from tests.router import everything, router
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]


def entry(daemon: Netpolicyd) -> dict[str, object]:
    (found,) = daemon.call("lists")["lists"]
    return found


def test_the_kernel_follows_what_is_fetched_and_keeps_it_without_the_server(tmp_path: Path) -> None:
    first, second = b"203.0.113.0/24\n", b"203.0.113.0/24\n198.18.7.0/24\n"
    with router(), WebServer({"/ads": tagged(first, '"1"')}) as server:
        url = server.url("/ads?token=s3cret")
        config = f"{CONFIG}\nconfig list 'ads'\n\toption url '{url}'\n\toption refresh '1d'\n"
        config += "config rule 'no_ads'\n\tlist dest_addr '@ads'\n\toption block '1'\n"
        with netpolicyd(tmp_path, config) as daemon:
            until(lambda: "203.0.113.0/24" in everything() and daemon.settled())
            assert until(lambda: entry(daemon)["addresses"]) == 1
            generation = daemon.call("status")["confirmed"]
            server.pages["/ads"] = tagged(second, '"2"')
            assert daemon.call("refresh_lists", list="ads") == {"lists": ["ads"]}
            until(lambda: "198.18.7.0/24" in everything())
            assert daemon.call("status")["confirmed"] == generation, "flash is not written for what changes by itself"
            server.pages["/ads"] = says(b"", 503)
            daemon.call("refresh_lists")
            assert until(lambda: entry(daemon)["failures"]) == 1
            assert "198.18.7.0/24" in everything() and daemon.call("status")["lists"]["failing"] == ["ads"]
            assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
            assert "s3cret" not in daemon.said()
            daemon.start()
            assert daemon.settled()["rules"]["active"] == 3
            assert entry(daemon)["addresses"] == 2 and "198.18.7.0/24" in everything()
            until(lambda: not any(one.name.endswith((".new", ".tmp")) for one in (daemon.state / "lists").iterdir()))
            # At a boot RAM is empty; what the lock closes by the list stays so when the daemon has started.
            confirmed = daemon.call("status")["confirmed"]
            daemon.config.write_text(config + "config rule 'more'\n\tlist dest_port '9'\n\toption block '1'\n")
            daemon.send(signal.SIGHUP)
            until(lambda: daemon.call("status")["confirmed"] != confirmed)
            boot = Booting(None, daemon)
            boot.lose_power()
            assert boot.guard("lock").returncode == 0 and "198.18.7.0/24" in everything()
            assert (
                daemon.state / "lists" / AFTER_BOOT
            ).exists()  # a router without a clock does not know how old it is
            daemon.start()
            assert daemon.settled()["rules"]["active"] == 4 and daemon.call("plan")["changes"] == []
            assert entry(daemon)["addresses"] == 2 and "198.18.7.0/24" in everything()
            assert daemon.end() == 0
