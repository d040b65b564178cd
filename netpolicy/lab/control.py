"""Carry out what the user of the running lab asks for: lines, edits, reload.

One table of commands serves keys and typed words. Decides nothing about routes: it breaks
what a cable or provider would break and edits the lab's own copy of the configuration.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from netpolicy.lab import edit, network
from netpolicy.lab.topology import PROVIDERS, Provider

QUIT = "quit"
# A relay answers in a millisecond where the machine lets it run.
RELAY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Command:
    """A key, the word that does the same, what it does."""

    key: str
    word: str
    says: str


COMMANDS = (
    Command("a", "line-a", "pull or plug in the cable of line A"),
    Command("b", "line-b", "pull or plug in the cable of line B"),
    Command("s", "silent", "line B silently swallows everything, or works again"),
    Command("e", "edit", "the next edit of rule video, and reload"),
    Command("r", "reload", "make the daemon read its configuration again"),
    Command("k", "kill", "kill -9 the daemon; the lab starts it again, as procd does"),
    Command("?", "help", "what the keys do"),
    Command("q", QUIT, "end the lab"),
)


def command_for(text: str) -> Command | None:
    """The command with this key or word, or None."""
    return next((c for c in COMMANDS if text.strip().lower() in (c.key, c.word)), None)


@dataclass(slots=True)
class Lines:
    """What was done to the lines."""

    unplugged: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)

    def word(self, outbound: str) -> str:
        """The state of an outbound's line as the lab made it: ``, `cable out` or `silent`."""
        if outbound in self.unplugged:
            return "cable out"
        return "silent" if outbound in self.silent else ""


class Control:
    """The switches of a running lab. `reload` asks the daemon and says how it went."""

    def __init__(
        self,
        config: Path,
        relay_socket: Callable[[str], Path] | None,
        reload: Callable[[], str],
        kill: Callable[[], str],
    ) -> None:
        self.lines = Lines()
        self._config = config
        self._relay_socket = relay_socket
        self._reload = reload
        self._does: dict[str, Callable[[], str]] = {
            "line-a": lambda: self._cable(PROVIDERS[0]),
            "line-b": lambda: self._cable(PROVIDERS[1]),
            "silent": lambda: self._silence(PROVIDERS[1]),
            "edit": self._edit,
            "reload": reload,
            "kill": kill,
            "help": lambda: "  ".join(f"{c.key} {c.word}" for c in COMMANDS),
        }

    def do(self, text: str) -> str:
        """Carry out a key or word other than quit; the answer is for the user."""
        command = command_for(text)
        if command is None:
            return f"no command {text.strip()!r}: " + self._does["help"]()
        try:
            return self._does[command.word]()
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            return f"{command.word}: {error}"

    def _cable(self, line: Provider) -> str:
        out = line.outbound in self.lines.unplugged
        _in_node(line.node, network.carrier_command("up" if out else "down"))
        (self.lines.unplugged.discard if out else self.lines.unplugged.add)(line.outbound)
        return f"line {line.letter.upper()}: cable {'plugged in' if out else 'pulled'}"

    def _silence(self, line: Provider) -> str:
        dead = line.outbound in self.lines.silent
        if self._relay_socket is not None:
            ask_relay(self._relay_socket(line.letter), "restore" if dead else "drop")
        else:
            for command in network.blackhole_commands("del" if dead else "add"):
                _in_node(line.node, command)
        (self.lines.silent.discard if dead else self.lines.silent.add)(line.outbound)
        return f"line {line.letter.upper()}: {'answers again' if dead else 'swallows everything, cable still in'}"

    def _edit(self) -> str:
        text, words = edit.next_edit(self._config.read_text())
        # Whole or not at all: the daemon may be reading just now.
        fresh = self._config.with_name(self._config.name + ".new")
        fresh.write_text(text)
        fresh.replace(self._config)
        return f"edited: {words}; {self._reload()}"


def ask_relay(path: Path, text: str) -> str:
    """Send one order to a line's relay and return its answer. Raises ValueError when it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as handle:
        handle.settimeout(RELAY_SECONDS)
        handle.connect(str(path))
        handle.send(text.encode())
        answer = handle.recv(256).decode()
    if not answer.startswith("ok"):
        raise ValueError(answer)
    return answer


def _in_node(node: str, command: list[str]) -> None:
    subprocess.run(["ip", "netns", "exec", node, *command], check=True, capture_output=True)
