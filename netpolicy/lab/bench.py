"""A lab to test in: `with Lab() as lab:` builds it, and everything is gone afterwards.

Starts one keeper in private namespaces and enters them with nsenter; may be used by several
test processes at once, each has its own. Must not be used inside the lab itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from netpolicy.lab import control, keeper, network, starter
from netpolicy.lab.starter import LabError
from netpolicy.lab.topology import PROVIDERS, Provider, provider

__all__ = ["Lab", "LabError", "NodeProcess", "Pending"]
T = TypeVar("T")
START_SECONDS = 20.0
POLL_SECONDS = 0.02
CONTINUE_SECONDS = 0.5


class NodeProcess(subprocess.Popen):  # type: ignore[type-arg]
    """A program in a node. Signals reach the program, not the nsenter that waits for it."""

    def send_signal(self, sig: int) -> None:
        """Signal the program itself."""
        if self.poll() is not None:
            return
        child = starter.first_child(self.pid)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if child:
                os.kill(child, sig)
            else:
                super().send_signal(sig)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, also where nsenter stands still.

        It stops when the program does, perhaps only after that was told to go on: then nobody hears of its end.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = CONTINUE_SECONDS if deadline is None else min(CONTINUE_SECONDS, deadline - time.monotonic())
            try:
                return super().wait(max(0.0, left))
            except subprocess.TimeoutExpired:
                if deadline is not None and time.monotonic() >= deadline:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
                if not starter.is_stopped(starter.first_child(self.pid)):
                    super().send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM to the program."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the program."""
        self.send_signal(signal.SIGKILL)


class Pending:
    """An answer that is still being worked on in a node."""

    def __init__(self, agent: NodeProcess) -> None:
        self._agent = agent

    def result(self) -> Any:
        """Wait for the answer. Raises LabError when the agent has died."""
        assert self._agent.stdout is not None
        line = self._agent.stdout.readline()
        if not line:
            raise LabError("lab: the agent in the node has ended")
        return json.loads(line)


class Lab:
    """The lab from outside. `latency` False: the lines add no delay of their own (fast tests)."""

    def __init__(self, latency: bool = False, user_namespace: bool | None = None) -> None:
        self._latency = latency
        self._user_namespace = user_namespace
        self._started: starter.Started | None = None
        self._agents: dict[str, NodeProcess] = {}
        self._idle: dict[str, list[NodeProcess]] = {}
        self.daemon: NodeProcess | None = None
        self.pid = 0
        self.times: dict[str, float] = {}
        self.tun = False
        self._swallowing: set[str] = set()
        self._ports = iter(range(0))

    def __enter__(self) -> Lab:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Build it. LabError says what this machine lacks."""
        arguments = ["serve", *([] if self._latency else ["--no-latency"])]
        self._started = starter.start(
            arguments, self._user_namespace, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process = self._started.process
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line.startswith("ready "):
            self.close()
            raise LabError(f"lab: cannot be built: {process.stderr.read().strip() or 'no message'}")
        told = json.loads(line[len("ready ") :])
        self.times, self.tun = told["times"], told["tun"]
        self.pid = starter.first_child(process.pid)

    def close(self) -> None:
        """End the lab; the kernel removes its namespaces, processes and files."""
        if self._started is None:
            return
        os.close(self._started.life)
        self._started.process.wait()
        for child in (self.daemon, *self._agents.values(), *(a for idle in self._idle.values() for a in idle)):
            if child is not None:
                child.wait()
        self._started = None

    # --- programs and files -------------------------------------------------------------------

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The full command that runs `argv` in the lab but in no node. Its working directory is /."""
        assert self._started is not None
        return [*starter.enter_command(self.pid, self._started.user_namespace), *argv]

    def command(self, node: str, argv: Sequence[str]) -> list[str]:
        """The full command that runs `argv` in a node."""
        return self.inside(["ip", "netns", "exec", node, *argv])

    def run(
        self,
        node: str,
        argv: Sequence[str],
        *,
        input: str | None = None,
        check: bool = False,
        timeout: float = 60.0,
        **kw: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a node to its end and capture its text; LabError when `check` and it failed."""
        options = {
            "stdin": subprocess.PIPE if input is not None else subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **kw,
        }
        with self.popen(node, argv, **options) as child:
            try:
                out, errors = child.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                raise LabError(f"lab: {node}: {' '.join(argv)}: not done after {timeout} s") from None
        if check and child.returncode:
            raise LabError(f"lab: {node}: {' '.join(argv)}: exit {child.returncode}: {errors}")
        return subprocess.CompletedProcess(list(argv), child.returncode, out, errors)

    def popen(self, node: str, argv: Sequence[str], **kw: Any) -> NodeProcess:
        """Start a program in a node."""
        return NodeProcess(self.command(node, argv), **{"env": starter.environment(), **kw})

    def file(self, path: str | Path) -> Path:
        """A path of the lab (its own /run, the machine's other files) as seen from here."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    # --- the daemon ---------------------------------------------------------------------------

    def start_daemon(self, config_text: str, until: str = "settled") -> NodeProcess:
        """Write the configuration and start netpolicyd in the router.

        `until`: `settled` waits until the kernel equals the configuration (or the daemon says why it
        will not), `answers` until it answers `status`, `started` not at all.
        """
        self.write_config(config_text)
        with self.file(keeper.LAB / "daemon.log").open("ab") as log:
            self.daemon = NodeProcess(
                self.inside(keeper.daemon_command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=starter.environment(),
            )
        if until != "started":
            self.wait_for(self.status, what="netpolicyd answers status")
        if until == "settled":
            self.settle()
        return self.daemon

    def settle(self, seconds: float = 10.0) -> dict[str, Any]:
        """Wait until the kernel equals the configuration or the daemon says why it will not; its status."""
        return self.wait_for(self._settled, seconds, "netpolicyd brings the kernel in step")

    def status(self) -> dict[str, Any] | None:
        """The daemon's status, None while it does not answer. LabError when it has ended."""
        from netpolicy.bus.status import UbusError

        if self.daemon is not None and self.daemon.poll() is not None:
            raise LabError(f"lab: netpolicyd ended with {self.daemon.returncode}\n{self.daemon_log()}")
        try:
            found: dict[str, Any] = self.call("status", timeout=1.0)
        except (UbusError, OSError):
            return None
        return found

    def _settled(self) -> dict[str, Any] | None:
        told = self.status()
        if told is None:
            return None
        refused = (told.get("config") or {}).get("error") or not told.get("enabled") or told.get("mode") != "enforce"
        return told if refused or (told.get("kernel") or {}).get("in_sync") else None

    def stop_daemon(self, seconds: float = 10.0) -> int:
        """SIGTERM and wait; the exit code. It is killed (and LabError raised) when it does not end in time."""
        if self.daemon is None:
            return 0
        daemon, self.daemon = self.daemon, None
        if daemon.poll() is None:
            daemon.terminate()
        try:
            return daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise LabError(f"lab: netpolicyd ignored SIGTERM for {seconds} s\n{self.daemon_log()}") from None

    def write_config(self, config_text: str) -> Path:
        """Replace the daemon's configuration file (no reload); its path as seen from here."""
        path = self.file(keeper.CONFIG)
        path.write_text(config_text)
        return path

    def daemon_log(self) -> str:
        """All that netpolicyd printed so far."""
        path = self.file(keeper.LAB / "daemon.log")
        return path.read_text(errors="replace") if path.exists() else ""

    def call(self, method: str, args: dict[str, Any] | None = None, timeout: float = 30.0) -> Any:
        """One call of the daemon's bus object."""
        from netpolicy.bus import blocking

        return blocking.call("netpolicy", method, args or {}, timeout, str(self.bus_socket))

    @property
    def bus_socket(self) -> Path:
        """The bus socket as seen from here."""
        return self.file(keeper.BUS_SOCKET)

    def wait_for(self, predicate: Callable[[], T | None], seconds: float = 10.0, what: str = "") -> T:
        """The first true value of `predicate`. LabError with the daemon's log when time is up."""
        begin = time.monotonic()
        deadline = begin + seconds
        while not (value := predicate()):
            now = time.monotonic()
            if now > deadline:
                raise LabError(f"lab: not within {seconds} s: {what or predicate}\n{self.daemon_log()}")
            time.sleep(max(POLL_SECONDS, now - begin))  # asking may start programs: it takes half of the time at most
            begin = time.monotonic()
        return value

    # --- lines --------------------------------------------------------------------------------

    def link(self, name: str, word: str) -> None:
        """Pull (`down`) or plug in (`up`) the cable between the router and provider `a` or `b`."""
        line = provider(name)
        self.run(line.node, network.carrier_command(word), check=True)

    def relay(self, name: str, order: str | float) -> str:
        """Order a line: `drop` (silent death), `restore`, or a number: round trip in milliseconds."""
        line = provider(name)
        text = order if isinstance(order, str) else f"delay {order:g}"
        if not self.tun:
            return self._order_without_relay(line, text)
        try:
            return control.ask_relay(self.file(keeper.relay_socket(line.letter)), text)
        except (OSError, ValueError) as error:
            raise LabError(f"lab: line {name}: {error}") from None

    def _order_without_relay(self, line: Provider, order: str) -> str:
        """Silence is routes that swallow everything; a latency needs the relay."""
        wanted = {"drop": "add", "restore": "del"}.get(order)
        if wanted is None:
            raise LabError(f"lab: {order!r} needs {network.TUN_DEVICE}; without it a line knows drop and restore")
        if (wanted == "add") != (line.letter in self._swallowing):
            for command in network.blackhole_commands(wanted):
                self.run(line.node, command, check=True)
            self._swallowing ^= {line.letter}
        return "ok"

    def repair(self) -> None:
        """Both lines as they were at the start."""
        for line in PROVIDERS:
            self.link(line.letter, "up")
            self.relay(line.letter, "restore")
            if self.tun:
                self.relay(line.letter, line.rtt_ms if self._latency else 0)

    # --- probes -------------------------------------------------------------------------------

    def ask(self, node: str, op: str, **args: Any) -> Any:
        """One request to the node's agent (`agent.Agent.answers` lists them); blocks."""
        if node not in self._agents:
            self._agents[node] = self._start_agent(node)
        return self._send(self._agents[node], op, args).result()

    def start(self, node: str, op: str, **args: Any) -> Pending:
        """A request that runs while the test goes on, in an agent of its own."""
        agent = self._start_agent(node)
        self._idle.setdefault(node, []).append(agent)
        return self._send(agent, op, args)

    def tcp(self, node: str, address: str, port: int = 7, **args: Any) -> dict[str, Any]:
        """A new TCP connection: `seen` (the address the server saw) or `error` in a word."""
        result: dict[str, Any] = self.ask(node, "tcp", address=address, port=port, **args)
        return result

    def udp(self, node: str, address: str, port: int = 7, **args: Any) -> dict[str, Any]:
        """A datagram and its echo: `seen` or `error`. A flow that nobody knows yet, unless it names its `src_port`."""
        # One of the kernel's choice is now and then that of a flow which conntrack remembers, with its decision.
        args.setdefault("src_port", self._fresh_port())
        result: dict[str, Any] = self.ask(node, "udp", address=address, port=port, **args)
        return result

    def _fresh_port(self) -> int:
        """Below those that the kernel gives out, and none twice as long as conntrack remembers it."""
        port = next(self._ports, 0)
        if not port:
            self._ports = iter(range(10_001, 31_000))
        return port or 10_000

    def dns(self, node: str, name: str, kind: str = "A", **args: Any) -> dict[str, Any]:
        """A DNS question: `addresses` or `error`."""
        result: dict[str, Any] = self.ask(node, "dns", name=name, kind=kind, **args)
        return result

    def _start_agent(self, node: str) -> NodeProcess:
        return self.popen(node, keeper.module("agent"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _send(self, agent: NodeProcess, op: str, args: dict[str, Any]) -> Pending:
        assert agent.stdin is not None
        agent.stdin.write(json.dumps({"op": op, **args}) + "\n")
        agent.stdin.flush()
        return Pending(agent)
