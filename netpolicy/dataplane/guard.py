"""The daemon's side of the guard: everything that must be in place before a change, and how it ends.

Never changes the kernel; the guard itself (files/usr/lib/netpolicy/guard, POSIX sh) does, when the daemon cannot.
The files and their order: docs/guard.md.

    guard = Guard(GuardPlaces())
    pending = await guard.arm(in_force, candidate_text, candidate=…, before=…, numbers=(7, 8), seconds=120)
    await guard.advance("applying")     # the kernel may be changed from here on
    …
    await guard.advance("await")
    if await guard.confirm(nonce): …    # True: this call decided; the generation is the new one
    await guard.finish()
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from netpolicy.dataplane import bundle, guard_files, program
from netpolicy.dataplane.limits import Shaped
from netpolicy.dataplane.pending import ABSENT, Pending, Unreadable, parse_record, print_record

if TYPE_CHECKING:
    from netpolicy.dataplane.guard_trial import Tried

# How long the guard has to answer; a slow router starts a shell in a tenth of it, a busy one in more.
ANSWER_SECONDS = 10.0
ANSWER_STEP_SECONDS = 0.05

# A guard that leads back may try three times, with long lists.
RECOVER_SECONDS = 300.0

# Constant: the second fork of a process that is to outlive this one.
DETACH = '"$@" </dev/null >/dev/null 2>&1 &'

NO_WAY_BACK = "the way back does not work, so nothing was changed: {}"

# Where the guard looks beside PATH.
SYSTEM_PATH = "/usr/sbin:/sbin"

# In the state folder: what belongs to what is in force, and is put back with it.
IN_RAM = ("fw4/netpolicy.nft", "classes.json", "dnsmasq.conf")

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class GuardError(Exception):
    """The change cannot be guarded, so it must not be made; the text says what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class GuardPlaces:
    """Where the guard and the daemon meet."""

    config: str = "/etc/config/netpolicy"
    store: str = "/etc/netpolicy"
    state: str = "/var/run/netpolicy"
    program: str = "/usr/lib/netpolicy/guard"

    @property
    def pending(self) -> str:
        """The folder with what a reboot must find."""
        return os.path.join(self.store, "pending")

    @property
    def guard(self) -> str:
        """The folder with what it need not find: RAM."""
        return os.path.join(self.state, "guard")

    @property
    def record(self) -> str:
        """The file of the change that is pending."""
        return os.path.join(self.pending, "record")

    @property
    def verdict(self) -> str:
        """The file that says how it was decided."""
        return os.path.join(self.pending, "verdict")

    @property
    def outcome(self) -> str:
        """The file that says how it ended."""
        return os.path.join(self.pending, "outcome")

    @property
    def words(self) -> tuple[str, ...]:
        """The guard program and where it looks."""
        return (self.program, "--store", self.store, "--run", self.state, "--config", self.config)


@dataclass(slots=True)
class Guard:
    """One pending change at a time. `arm` is not for several tasks at once."""

    places: GuardPlaces = field(default_factory=GuardPlaces)
    pending: Pending | None = None
    tried: str = ""  # how the bundle was tried: "namespace", "checked"
    leads_queues: bool = True  # whether the bundle leads queues back too
    _process: tuple[int, int] | None = None  # number and start time of who acknowledged
    _one_writer: asyncio.Lock = field(default_factory=asyncio.Lock)  # of the record

    async def arm(
        self,
        old: bundle.InForce | None,
        candidate_text: str,
        *,
        candidate: bytes,
        before: bytes | None,
        numbers: tuple[int, int],
        seconds: int,
        id: str = "",
        shaped: Sequence[Shaped] = (),
        beside: Mapping[str, str] | None = None,
        outlives: Mapping[str, str] | None = None,
    ) -> Pending:
        """Saves, renders, tries, records and has the guard answer. Nothing in the kernel changes before or by that.

        `old`: what is in force, as reading back showed it just now; None: nothing of ours. `candidate_text`: the new
        table as a text for nft, long lists empty, from which the trial leads back. `candidate`, `before`: the bytes
        of the configuration, new and old (None: there was no file). `numbers`: the generation that is confirmed (0:
        none) and the one that this change becomes. `seconds`: until it has to be confirmed. `id`: "r" and eight
        hexadecimal digits, where the change has one already. `shaped`: the queues of the candidate. `beside`:
        further texts of the bundle; `outlives`: what a reboot must find too, by its path in the folder `old`. Raises
        GuardError.
        """
        made = Pending(
            id=id or new_id(),
            nonce=os.urandom(16).hex(),
            boot_id=_boot_id(),
            state="armed",
            deadline=uptime() + seconds,
            applier_pid=os.getpid(),
            applier_start=start_of(os.getpid()) or 0,
            old=numbers[0],
            new=numbers[1],
            config=self.places.config,
            old_sha256=ABSENT if before is None else _digest(before),
            new_sha256=_digest(candidate),
            store=self.places.store,
            run=self.places.state,
            bundle_sha256="0" * 64,
            sealed=int(old is not None and old.is_sealed),
        )
        try:
            await asyncio.to_thread(self._save, made, candidate, before, outlives or {})
            try:
                made = await self._try(made, old, candidate_text, shaped, beside or {})
                # Only from here on: on a slow machine the trial alone takes a minute.
                made = made.with_deadline(uptime() + seconds)
                await asyncio.to_thread(self._write_record, made)
                self.pending = made
                await self.ensure_alive()
            except BaseException:
                self.pending = None
                await asyncio.to_thread(guard_files.remove_pending, self.places.pending)
                raise
        except OSError as error:
            raise GuardError(f"{error.filename or self.places.store}: {error.strerror}; nothing was changed") from error
        except ValueError as error:
            raise GuardError(NO_WAY_BACK.format(error)) from error
        return made

    async def advance(self, state: str) -> None:
        """The record says so from now on: "applying" before the first change, "await" when it was verified. OSError."""
        await self._rewrite(lambda pending: pending.with_state(state))

    async def extend(self, deadline: int) -> None:
        """Another end, in seconds of `uptime`. Raises OSError: the old one holds."""
        await self._rewrite(lambda pending: pending.with_deadline(deadline))

    async def confirm(self, nonce: str) -> bool:
        """Whether this decided for the change, or it was decided so before; False: too late, or another nonce."""
        pending = self._armed()
        if not hmac.compare_digest(nonce.encode(), pending.nonce.encode()):
            return False
        return await self._claim(f"confirmed {pending.nonce}")

    async def claim_revert(self, reason: str) -> bool:
        """Whether the change is decided against, by this or before; False: it was confirmed. `reason`: some words."""
        await self._claim(f"revert {reason_word(reason)}")
        return not replace(self._armed(), verdict=self.verdict()).is_confirmed

    async def _claim(self, verdict: str) -> bool:
        """Who links the file first decides, for ever. Raises OSError: undecided."""
        won = await asyncio.to_thread(guard_files.link_once, self.places.verdict, f"{verdict}\n".encode())
        return won or self.verdict() == verdict

    def verdict(self) -> str:
        """ "", "confirmed NONCE" or "revert REASON"."""
        return guard_files.read_line(self.places.verdict)

    def outcome(self) -> str:
        """ "" while nobody finished; "reverted ID REASON …", "rescue …", "confirmed …", "fallback FROM TO …"."""
        return guard_files.read_line(self.places.outcome)

    def has_record(self) -> bool:
        """Whether there is the record of a change, readable or not."""
        return os.path.exists(self.places.record)

    async def write_outcome(self, text: str) -> None:
        """What the daemon did itself: with that the guard's task is over. Raises OSError."""
        await asyncio.to_thread(guard_files.write, self.places.outcome, f"{text}\n".encode())

    async def finish(self) -> None:
        """The change is over and written down elsewhere: its record goes. May be repeated. Raises OSError."""
        async with self._one_writer:
            await asyncio.to_thread(guard_files.remove_pending, self.places.pending)
            self.pending = None
            self._process = None

    # -- the process -----------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Whether who acknowledged this change still watches it, or somebody who took over."""
        if self._process is not None and start_of(self._process[0]) == self._process[1]:
            return True
        return self._see_answer()

    async def ensure_alive(self) -> None:
        """Wakes the resident guard or starts one, until one answers. Raises GuardError."""
        if self.is_alive():
            return
        if not await asyncio.to_thread(self._wake):
            await self._spawn()
        if await self._is_answered():
            return
        # One that reads its FIFO and does not answer is no help: one of our own.
        await self._spawn()
        if not await self._is_answered():
            raise GuardError(
                f"the guard did not answer within {ANSWER_SECONDS:g} s, so nothing was changed: "
                f"see {self.places.guard}/log and try `{self.places.program} status`"
            )

    async def recover(self) -> str:
        """Finishes what an earlier life left, before the configuration is read. Returns the outcome or "".

        Raises GuardError: the guard could not; the outcome, if any, says what was done.
        """
        try:
            child = await asyncio.create_subprocess_exec(
                *self.places.words, "recover", stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise GuardError(f"cannot start {self.places.program}: {error.strerror}") from error
        try:
            _, said = await asyncio.wait_for(child.communicate(), RECOVER_SECONDS)
        except asyncio.TimeoutError as error:
            child.kill()
            await child.wait()
            raise GuardError(f"{self.places.program} recover did not finish") from error
        if child.returncode not in (0, 5):
            raise GuardError(said.decode(errors="replace").strip()[-400:] or "the guard could not recover")
        return self.outcome()

    def _wake(self) -> bool:
        try:
            handle = os.open(os.path.join(self.places.guard, "wake"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # nobody reads it
            return False
        try:
            os.write(handle, b"\n")
        except OSError as error:
            return error.errno == errno.EAGAIN  # full of words that it has not read yet
        finally:
            os.close(handle)
        return True

    async def _spawn(self) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", DETACH, "sh", *self.places.words, "watch", start_new_session=True, cwd="/"
            )
            await child.wait()
        except OSError as error:
            raise GuardError(f"cannot start {self.places.program}: {error.strerror}") from error

    async def _is_answered(self) -> bool:
        for _ in range(int(ANSWER_SECONDS / ANSWER_STEP_SECONDS)):
            if self._see_answer():
                return True
            await asyncio.sleep(ANSWER_STEP_SECONDS)
        return False

    def _see_answer(self) -> bool:
        words = guard_files.read_line(os.path.join(self.places.guard, "ack")).split()
        if self.pending is None or words[:1] != [self.pending.id] or not all(map(str.isdecimal, words[1:])):
            return False
        # A resident guard of an earlier release tells its number alone.
        number, *said = [int(word) for word in words[1:3]] or [0]
        start = start_of(number)
        if start is None or said not in ([start], []):
            return False  # it is dead, and another process has its number
        self._process = (number, start)
        return True

    # -- files -----------------------------------------------------------------------------

    async def _try(
        self,
        made: Pending,
        old: bundle.InForce | None,
        candidate_text: str,
        shaped: Sequence[Shaped],
        beside: Mapping[str, str],
    ) -> Pending:
        state = self.places.state
        kept = tuple([os.path.join(state, name) for name in IN_RAM])
        from netpolicy.dataplane import guard_trial  # a change alone needs it

        self.leads_queues = has_tc()
        try:
            tried = await self._tried(old, candidate_text, shaped, beside, kept)
        except guard_trial.BundleRefused as error:
            raise GuardError(NO_WAY_BACK.format(error)) from error
        self.tried = tried.how
        return replace(made, bundle_sha256=tried.sum)

    async def _tried(
        self,
        old: bundle.InForce | None,
        candidate_text: str,
        shaped: Sequence[Shaped],
        beside: Mapping[str, str],
        kept: tuple[str, ...],
    ) -> Tried:
        from netpolicy.dataplane import guard_trial

        texts = {**await asyncio.to_thread(bundle.render, old, shaped, self.leads_queues), **beside}
        try:
            return await guard_trial.prepare(self.places.program, self.places.state, texts, candidate_text, kept)
        except guard_trial.QueuesRefused:
            # A tc without HTB, or another kernel's: limits hold by dropping until the daemon is back.
            self.leads_queues = False
            texts = {**await asyncio.to_thread(bundle.render, old, shaped, False), **beside}
            return await guard_trial.prepare(self.places.program, self.places.state, texts, candidate_text, kept)

    def _save(self, made: Pending, candidate: bytes, before: bytes | None, outlives: Mapping[str, str]) -> None:
        """Everything but the record: without that it means nothing to anybody."""
        folder = self.places.pending
        if os.path.exists(self.places.record):
            raise GuardError("a change is pending already: confirm or abort it first")
        if os.path.exists(self.places.outcome):
            raise GuardError(f"{folder}/outcome is not written into the journal yet: restart the service, then apply")
        print_record(made)  # ValueError before anything is written
        guard_files.remove_pending(folder)
        guard_files.make_folder(os.path.join(folder, "old"))
        os.chmod(folder, 0o700)
        try:
            if before is not None:
                guard_files.write(os.path.join(folder, "old", "config"), before)
            for path, text in outlives.items():
                guard_files.make_folder(os.path.dirname(os.path.join(folder, "old", path)))
                guard_files.write(os.path.join(folder, "old", path), text.encode())
            guard_files.write(os.path.join(folder, "candidate"), candidate)
            # For a guard that finds the disk full when it has to decide, and when it is done.
            guard_files.write(os.path.join(folder, ".revert"), b"revert by-guard\n")
            for end in ("reverted", "rescue"):
                guard_files.write(os.path.join(folder, f".{end}"), f"{end} {made.id} disk-full by-guard\n".encode())
            links = os.path.join(folder, ".links")
            os.link(os.path.join(folder, ".revert"), links)  # a file system without links decides nothing
            os.unlink(links)
        except OSError:
            with contextlib.suppress(OSError):
                guard_files.remove_pending(folder)
            raise

    def _write_record(self, pending: Pending) -> None:
        guard_files.write(self.places.record, print_record(pending).encode())

    async def _rewrite(self, changed: Callable[[Pending], Pending]) -> None:
        async with self._one_writer:
            pending = changed(self._armed())
            await asyncio.to_thread(self._write_record, pending)
            self.pending = pending

    def _armed(self) -> Pending:
        if self.pending is None:
            raise GuardError("no change is pending")
        return self.pending


def find_pending(places: GuardPlaces) -> Pending | None:
    """The change that a former life left, with verdict and outcome. None: none. Raises Unreadable; blocks."""
    text = guard_files.read(places.record)
    if text is None:
        return None
    found = parse_record(text.decode("utf-8", "replace"))
    if (found.store, found.run) != (places.store, places.state):
        raise Unreadable(f"it is of another place: {found.store}, {found.run}")
    verdict = guard_files.read_line(places.verdict)
    return replace(found, verdict=verdict, outcome=guard_files.read_line(places.outcome))


def has_tc() -> bool:
    """Whether the guard finds a tc."""
    return program.find("tc", SYSTEM_PATH) is not None


def new_id() -> str:
    """A name for one change, short enough to be said."""
    return f"r{os.urandom(4).hex()}"


def uptime() -> int:
    """Whole seconds since boot, sleep included: the clock of deadlines."""
    return int(float(guard_files.read_text("/proc/uptime").split()[0]))


def start_of(process: int) -> int | None:
    """When the process began, in ticks since boot; None when it is gone or a zombie. Source: proc(5), stat."""
    try:
        words = guard_files.read_text(f"/proc/{process}/stat").rpartition(")")[2].split()
    except OSError:
        return None
    return int(words[19]) if words[0] not in ("Z", "X") else None


def reason_word(reason: str) -> str:
    """The reason as one word of a verdict: "a probe failed" → "a-probe-failed"."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.:+-") else "-" for c in reason.strip())
    return plain[:120] or "by-daemon"


def _boot_id() -> str:
    return guard_files.read_text(BOOT_ID).strip()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
