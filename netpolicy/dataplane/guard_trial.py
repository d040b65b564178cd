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
from pathlib import Path

from netpolicy.dataplane import guard_files, script

# Long lists on a slow router: each text of 2 000 elements takes it some tenths of a second, twice.
TIME_LIMIT = 120.0

# Constant; paths are its arguments. In a namespace that dies with it: from the candidate back, in both ways where
# there are two, then what the worst cases load.
TRIAL = """
ip link set lo up 2>/dev/null
guard="$1" run="$2" bundle="$3" candidate="$4"
ways=whole
[ ! -s "$bundle/kept" ] || ways="keep whole"
for how in $ways; do
	nft -f "$candidate" || exit 1
	"$guard" --run "$run" try "$bundle" "$how" || exit 1
done
[ ! -s "$bundle/gate.nft" ] || nft -f "$bundle/gate.nft" || exit 1
nft -f "$bundle/rescue.nft"
"""


class BundleRefused(Exception):
    """The bundle would not lead back, or cannot be written; the text says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A bundle that leads back. `sum` is the SHA-256 of its list of sums.

    `how`: "namespace", or "checked" where there are no network namespaces and nft alone was asked.
    """

    folder: Path
    sum: str
    how: str


async def prepare(
    program: Path, run: Path, texts: Mapping[str, str], candidate: str, keep: tuple[Path, ...] = ()
) -> Tried:
    """Writes the bundle below `run`/guard and tries it, beginning at `candidate` (a text for nft).

    `keep`: files in RAM that belong to what is in force; they are put back with it. Raises BundleRefused, OSError.
    """
    guard = run / "guard"
    fresh = guard / "bundle.new"
    try:
        await asyncio.to_thread(_write, fresh, texts, keep)
        await _run(str(program), "--run", str(run), "take", str(fresh))
        await asyncio.to_thread(_compare_counts, fresh, texts)
        total = await asyncio.to_thread(_write_sums, fresh)
        how = await _try(program, guard, fresh, candidate)
        await asyncio.to_thread(_take_place, fresh, guard / "bundle")
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    return Tried(guard / "bundle", total, how)


def _write(folder: Path, texts: Mapping[str, str], keep: tuple[Path, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    guard_files.make_folder(folder.parent)
    folder.mkdir(mode=0o700)
    for name in {path.partition("/")[0] for path in texts if "/" in path} | {"run"}:
        (folder / name).mkdir(mode=0o700)
    # In RAM: it is gone after a power cut in any case.
    for path, text in texts.items():
        (folder / path).write_text(text, encoding="utf-8")
    for file in keep:
        with contextlib.suppress(FileNotFoundError):
            (folder / "run" / file.name).write_bytes(file.read_bytes())


def _compare_counts(folder: Path, texts: Mapping[str, str]) -> None:
    """What stands in the kernel now is what the bundle was made of, or there is no point to return to."""
    for kind in ("rule", "route"):
        for family in (4, 6):
            name = f"{kind}{family}"
            found = (folder / f"expect.{name}").read_text(encoding="utf-8").count("\n")
            wanted = texts[name].count("\n")
            # Routes of devices that are down are gone by themselves.
            if found > wanted or (kind == "rule" and found < wanted):
                raise BundleRefused(
                    f"the kernel has {found} ip {kind}s of ours (IPv{family}) and not {wanted}: "
                    "somebody changed them; `netpolicy reload` puts them right, then apply again"
                )


def _write_sums(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{_sum(path.read_bytes())}  {path.relative_to(folder)}\n" for path in files]
    text = "".join(lines).encode()
    (folder / "sums").write_bytes(text)
    return _sum(text)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _try(program: Path, guard: Path, bundle: Path, candidate: str) -> str:
    scratch = guard / "trial"
    await asyncio.to_thread(_write_candidate, scratch, candidate)
    try:
        unshare = shutil.which("unshare")
        if unshare is not None:
            command = (unshare, "--net", "sh", "-c", TRIAL, "sh", str(program), str(scratch), str(bundle))
            try:
                await _run(*command, str(scratch / "candidate.nft"))
                return "namespace"
            except BundleRefused as error:
                if not str(error).startswith("unshare:"):
                    raise
        await _check(bundle)
        return "checked"
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _write_candidate(scratch: Path, candidate: str) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    guard_files.make_folder(scratch)
    (scratch / "candidate.nft").write_text(candidate, encoding="utf-8")


async def _check(bundle: Path) -> None:
    table = await asyncio.to_thread((bundle / "table.nft").read_text, encoding="utf-8")
    await _run("nft", "-c", "-f", "-", text=script.removal_text() + table)
    for name in ("gate.nft", "rescue.nft"):
        if (bundle / name).stat().st_size:
            await _run("nft", "-c", "-f", str(bundle / name))


def _take_place(fresh: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


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
    if child.returncode:
        words = said.decode(errors="replace").strip().splitlines()
        raise BundleRefused(" / ".join(words)[:400] or f"{command[0]} ended with status {child.returncode}")
