"""Writes a revert bundle and really leads back with it, in a scratch network namespace, before it is needed.

Never changes the kernel that it stands in. The texts: `bundle`; the program that loads them, then and in earnest:
files/usr/lib/netpolicy/guard.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from netpolicy.dataplane import guard_files, script

# Long lists on a slow router: each text of 2 000 elements takes it some tenths of a second, twice.
TIME_LIMIT = 120.0

# The exit code of `guard try` for that.
QUEUES = 6

# Constant; paths are its arguments. In a namespace that dies with it: from the candidate back, in both ways where
# there are two, then what the worst cases load.
TRIAL = """
ip link set lo up 2>/dev/null
guard="$1" run="$2" bundle="$3" candidate="$4"
# Queues want devices of these names.
[ ! -s "$bundle/queue" ] || awk '$5 == "root" { print $4 }' "$bundle/queue" | while read -r name; do
	for kind in dummy bridge ifb veth; do ip link add "$name" type "$kind" 2>/dev/null && break; done
done
ways=whole
[ ! -s "$bundle/kept" ] && [ ! -s "$bundle/loose" ] || ways="keep whole"
for how in $ways; do
	nft -f "$candidate" || exit 1
	"$guard" --run "$run" try "$bundle" "$how" || exit $?
done
[ ! -s "$bundle/police.nft" ] || nft -f "$bundle/police.nft" || exit 1
[ ! -s "$bundle/gate.nft" ] || nft -f "$bundle/gate.nft" || exit 1
nft -f "$bundle/rescue.nft"
"""


class BundleRefused(Exception):
    """The bundle would not lead back, or cannot be written; the text says why. Nothing was changed."""


class QueuesRefused(BundleRefused):
    """All of it would lead back but the queues: this tc does not tell of them, or makes something else of the lines."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A bundle that leads back. `sum` is the SHA-256 of its list of sums.

    `how`: "namespace", or "checked" where there are no network namespaces and nft alone was asked.
    """

    folder: str
    sum: str
    how: str


async def prepare(
    program: str, run: str, texts: Mapping[str, str], candidate: str, keep: tuple[str, ...] = ()
) -> Tried:
    """Writes the bundle below `run`/guard and tries it, beginning at `candidate` (a text for nft).

    `keep`: files in RAM that belong to what is in force; they are put back with it. Raises BundleRefused, OSError.
    """
    guard = os.path.join(run, "guard")
    fresh, place = os.path.join(guard, "bundle.new"), os.path.join(guard, "bundle")
    try:
        await asyncio.to_thread(_write, fresh, texts, keep)
        await _run(program, "--run", run, "take", fresh)
        await asyncio.to_thread(_compare_counts, fresh, texts)
        total = await asyncio.to_thread(_write_sums, fresh)
        how = await _try(program, guard, fresh, candidate)
        await asyncio.to_thread(_take_place, fresh, place)
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    return Tried(place, total, how)


def _write(folder: str, texts: Mapping[str, str], keep: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    guard_files.make_folder(os.path.dirname(folder))
    os.mkdir(folder, mode=0o700)
    for name in {path.partition("/")[0] for path in texts if "/" in path} | {"run"}:
        os.mkdir(os.path.join(folder, name), mode=0o700)
    # In RAM: it is gone after a power cut in any case.
    for path, text in texts.items():
        _put(os.path.join(folder, path), text.encode())
    for file in keep:
        with contextlib.suppress(FileNotFoundError):
            _put(os.path.join(folder, "run", os.path.basename(file)), _content(file))


def _compare_counts(folder: str, texts: Mapping[str, str]) -> None:
    """What stands in the kernel now is what the bundle was made of, or there is no point to return to."""
    for kind in ("rule", "route"):
        for family in (4, 6):
            name = f"{kind}{family}"
            found = _content(os.path.join(folder, f"expect.{name}")).count(b"\n")
            wanted = texts[name].count("\n")
            # Routes of devices that are down are gone by themselves.
            if found > wanted or (kind == "rule" and found < wanted):
                raise BundleRefused(
                    f"the kernel has {found} ip {kind}s of ours (IPv{family}) and not {wanted}: "
                    "somebody changed them; `netpolicy reload` puts them right, then apply again"
                )
    if "queue" in texts:
        found, wanted = _content(os.path.join(folder, "expect.queue")).count(b"class "), texts["queue"].count("class ")
        if found != wanted:
            raise QueuesRefused(f"tc tells of {found} classes of ours and not {wanted}")


def _write_sums(folder: str) -> str:
    files = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    named = sorted((os.path.relpath(path, folder).split(os.sep), path) for path in files)
    lines = [f"{_sum(_content(path))}  {'/'.join(words)}\n" for words, path in named]
    text = "".join(lines).encode()
    _put(os.path.join(folder, "sums"), text)
    return _sum(text)


def _put(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _try(program: str, guard: str, bundle: str, candidate: str) -> str:
    scratch = os.path.join(guard, "trial")
    start = os.path.join(scratch, "candidate.nft")
    await asyncio.to_thread(_write_candidate, start, candidate)
    try:
        unshare = shutil.which("unshare")
        if unshare is not None:
            command = (unshare, "--net", "sh", "-c", TRIAL, "sh", program, scratch, bundle)
            try:
                await _run(*command, start)
                return "namespace"
            except BundleRefused as error:
                if not str(error).startswith("unshare:"):
                    raise
        await _check(bundle)
        return "checked"
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _write_candidate(path: str, candidate: str) -> None:
    scratch = os.path.dirname(path)
    shutil.rmtree(scratch, ignore_errors=True)
    guard_files.make_folder(scratch)
    _put(path, candidate.encode())


async def _check(bundle: str) -> None:
    table = await asyncio.to_thread(_content, os.path.join(bundle, "table.nft"))
    await _run("nft", "-c", "-f", "-", text=script.removal_text() + table.decode())
    for path in [os.path.join(bundle, name) for name in ("gate.nft", "rescue.nft")]:
        if await asyncio.to_thread(os.path.getsize, path):
            await _run("nft", "-c", "-f", path)


def _take_place(fresh: str, place: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    os.rename(fresh, place)


async def _run(*command: str, text: str = "") -> None:
    """Raises BundleRefused with what the program said."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # so that all of it can be ended together
        )
    except OSError as error:
        raise BundleRefused(f"cannot start {command[0]}: {error.strerror}") from error
    try:
        _, said = await asyncio.wait_for(child.communicate(text.encode()), TIME_LIMIT)
    except asyncio.TimeoutError as error:
        raise BundleRefused(f"{command[0]} did not finish within {TIME_LIMIT:g} s") from error
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if child.returncode == QUEUES:
        raise QueuesRefused("tc does not lead queues back here")
    if child.returncode:
        words = said.decode(errors="replace").strip().splitlines()
        raise BundleRefused(" / ".join(words)[:400] or f"{command[0]} ended with status {child.returncode}")
