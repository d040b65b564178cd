"""Runs nft: load a text, list our table, rehearse a text in a scratch namespace.

Text goes in by stdin, never a shell; each run has a time limit. Holds no decision about
what to load. Options: nft(8); `unshare -n` gives a namespace that dies with the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass

from netpolicy.dataplane import listing, names, program

TIME_LIMIT = 30.0  # seconds; a load of 100 000 elements takes about one

# Where network namespaces are missing: a second table of ours, without hooks, for some milliseconds.
BESIDE = f"{names.TABLE}_rehearsal"


# Older ones leave the last part of a map's key, the label, in the machine's byte order, where a range
# needs the network's (seen: 1.0.2, 1.0.4, 1.0.5): the text loads, and packets go wrong ways.
OLDEST = (1, 0, 6)

# JSON, and without the elements of sets: those may be a hundred thousand, and netlink tells them cheaper.
TERSE = ("-t", "-j", "list", "table")

# Asked for one table nft fetches all elements even so (1.0.6: 132 MB for 100 000); asked for all it does not (10 MB).
TERSE_OF_ALL = ("-t", "-j", "list", "ruleset", names.FAMILY)


class NftError(Exception):
    """nft could not be run or refused; the text says which and why."""


class NoRehearsal(NftError):
    """This machine has no scratch network namespaces."""


@dataclass(frozen=True, slots=True)
class Nft:
    """The nft tool, found on PATH unless a path is given."""

    program: str = "nft"
    seconds: float = TIME_LIMIT

    async def load(self, text: str) -> None:
        """Loads a text as one transaction. Raises NftError; then nothing was changed."""
        await self._run([self.program, "-f", "-"], text)

    async def check(self, text: str) -> None:
        """Asks nft and the kernel whether the text would load. Raises NftError."""
        await self._run([self.program, "-c", "-f", "-"], text)

    async def list_table(self) -> listing.Listing | None:
        """Our table as loaded, its sets without elements, None when there is none.

        Raises NftError, UnreadableListing.
        """
        text = await self._run([self.program, *TERSE_OF_ALL], "")
        try:
            return await asyncio.to_thread(listing.parse_ours, text)
        except listing.UnreadableListing:  # for what stands in somebody else's table, perhaps
            return await self._list_alone()

    async def tables_of_others(self) -> dict[str, str]:
        """The listing of every table that is not ours, by family and name; without elements and counters. NftError."""
        found: dict[str, str] = {}
        name = ""
        for line in (await self._run([self.program, "-s", "-t", "list", "ruleset"], "")).splitlines():
            if line.startswith("table "):
                name = " ".join(line.split()[1:3])
            if name != f"{names.FAMILY} {names.TABLE}":
                found[name] = found.get(name, "") + line + "\n"
        return found

    async def _list_alone(self) -> listing.Listing | None:
        try:
            text = await self._run([self.program, *TERSE, names.FAMILY, names.TABLE], "")
        except NftError as error:
            if "No such file or directory" in str(error):
                return None
            raise
        try:
            return await asyncio.to_thread(listing.parse, text)
        except listing.UnreadableListing:
            plain = await self._run([self.program, "-t", "list", "table", names.FAMILY, names.TABLE], "")
            flagged = listing.parse_flagged(plain)
            if flagged is None:
                raise
            return flagged

    async def rehearse_beside(self, text: str) -> listing.Listing:
        """Loads the text (of an unhooked table) under another name, lists it and removes it. Raises NftError."""
        beside = f"{names.FAMILY} {BESIDE}"
        text = text.replace(f"{names.FAMILY} {names.TABLE}", beside)
        await self.load(f"add table {beside}\ndelete table {beside}\n{text}")
        try:
            out = await self._run([self.program, *TERSE, names.FAMILY, BESIDE], "")
        finally:
            await self.load(f"delete table {beside}\n")
        return await asyncio.to_thread(_rehearsed, out)

    async def rehearse(self, text: str) -> listing.Listing:
        """Really loads the text in a fresh network namespace and lists it. Raises NftError, NoRehearsal."""
        unshare = program.find("unshare")
        if unshare is None:
            raise NoRehearsal("the `unshare` tool is not installed")
        # A constant script: the text is its standard input. `ip` may be missing, lo is not needed.
        script = '"$1" -f - && exec "$1" -t -j list table inet netpolicy'
        command = [unshare, "--net", "sh", "-c", script, "sh", self.program]
        try:
            out = await self._run(command, text)
        except NftError as error:
            if str(error).startswith("unshare:"):  # util-linux and busybox put their name first
                raise NoRehearsal(str(error)) from error
            raise
        return await asyncio.to_thread(_rehearsed, out)

    async def _run(self, command: list[str], text: str) -> str:
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
                # A group of its own, so that a rehearsal can be ended together with the nft inside it.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise NftError(f"{command[0]} is not installed: install nftables") from error
        except OSError as error:
            raise NftError(f"cannot start {command[0]}: {error.strerror}") from error
        try:
            out, err = await asyncio.wait_for(child.communicate(text.encode()), self.seconds)
        except asyncio.TimeoutError as error:
            raise NftError(f"{command[0]} did not finish within {self.seconds:g} s") from error
        finally:
            await _end(child)
        if child.returncode != 0:
            raise NftError(_reason(err.decode(errors="replace"), child.returncode or 0))
        return out.decode(errors="replace")


def _rehearsed(text: str) -> listing.Listing:
    """What a rehearsal listed. Raises NftError, also where this nft would load something else than it lists."""
    version = listing.version(text)
    if version is not None and version < OLDEST:
        told, oldest = (".".join(str(part) for part in found) for found in (version, OLDEST))
        raise NftError(f"nft {told} would send packets wrong ways: install nftables {oldest} or newer")
    found = listing.parse(text)
    if found is None:
        raise NftError("the rehearsal loaded no table")
    return found


async def _end(child: asyncio.subprocess.Process) -> None:
    """Nothing that was started outlives the run, also when the run was cancelled."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _reason(text: str, status: int) -> str:
    """nft's first complaint, short enough for one line of a log."""
    if "not permitted" in text and "must be root" in text:
        return "nft is not permitted to read or change rules: root or CAP_NET_ADMIN is needed"
    for line in text.splitlines():
        if "rror" in line or "failed" in line or "denied" in line or "not permitted" in line:
            return line.strip()[:400]
    return text.strip()[:400] or f"nft ended with status {status}"
