"""The entry point `netpolicyd`: arguments in, one daemon or one decision out.

Never lets a traceback reach a person: what is theirs to mend is one sentence. Arguments:
docs/cli.md and `netpolicyd --help`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

from netpolicy.daemon.later import put_off
from netpolicy.daemon.lean import forget, forget_annotations, kept_out, one_heap

# sysexits.h: the predecessor used 1 for everything that stopped it.
FAILED = 1

# The guard's word at a boot (fill.py). Not in the help: nobody else says it, and no argument goes with it.
FILL = "--fill-sets"

# What the command line needs, and nobody after it.
PASSING = ("argparse", "fnmatch", "gettext", "locale", "shutil")


def main(argv: list[str] | None = None) -> int:
    """Runs netpolicyd; returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == [FILL]:
        from netpolicy.daemon.fill import main as fill

        return fill(words[1:])
    passing = tuple(name for name in PASSING if name not in sys.modules)
    with kept_out(), put_off():  # argparse asks shutil how wide the terminal is
        from netpolicy.daemon import arguments

        given = arguments.parse(words)
    if given.dry_run:
        from netpolicy.daemon.dry_run import main as dry_run

        return dry_run(given)
    forget(passing)
    return _serve(given)


def _serve(given: SimpleNamespace) -> int:
    one_heap()
    with kept_out(), put_off():
        import asyncio
        import signal

        from netpolicy.bus.paths import default_socket
        from netpolicy.daemon.process import CannotStart, Daemon
        from netpolicy.service.engine import Places
    # Nothing is read yet that a reload could change: until the daemon hears it, it must not end us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    forget_annotations()

    places = Places(given.config, given.state_dir, given.store_dir)
    daemon = Daemon(places, given.socket or default_socket(), given.mode or "", given.log_level)
    try:
        asyncio.run(daemon.run())
    except CannotStart as error:
        print(f"netpolicyd: {error}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
