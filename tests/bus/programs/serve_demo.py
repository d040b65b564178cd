"""A program that serves the object `demo` over our asyncio client: argv is the socket path.

Prints `ready` once registered, then one line per change of the connection and per fault.
"""

import asyncio
import sys

from netpolicy.bus.client import Method, UbusClient, UbusError


def say(*words: object) -> None:
    print(*words, flush=True)


def methods(client: UbusClient) -> dict[str, Method]:
    async def echo(arguments, caller):
        return {"value": arguments["value"]}

    async def typed(arguments, caller):
        return {"got": arguments}

    async def big(arguments, caller):
        return {"text": "x" * arguments["size"]}

    async def refuse(arguments, caller):
        raise UbusError(arguments["status"], "refused on purpose")

    async def crash(arguments, caller):
        raise RuntimeError("a bug")

    async def nothing(arguments, caller):
        return None

    async def slow(arguments, caller):
        await asyncio.sleep(arguments["seconds"])
        return {"slept": arguments["seconds"]}

    async def who(arguments, caller):
        return {"user": caller.user, "group": caller.group, "known": caller.client > 0}

    async def shout(arguments, caller):
        await client.send_event(arguments["event"], arguments.get("data"))

    async def notify(arguments, caller):
        await client.notify("demo", arguments["type"], arguments.get("data"))

    every = {"text": str, "number": int, "flag": bool, "ratio": float, "table": dict, "list": list}
    return {
        "echo": Method(echo, {"value": object}),
        "typed": Method(typed, every),
        "big": Method(big, {"size": int}),
        "refuse": Method(refuse, {"status": int}),
        "crash": Method(crash),
        "nothing": Method(nothing),
        "slow": Method(slow, {"seconds": float}),
        "who": Method(who),
        "shout": Method(shout, {"event": str, "data": dict}),
        "notify": Method(notify, {"type": str, "data": dict}),
    }


async def main(path: str) -> None:
    client = UbusClient(path, on_state=lambda up: say("up" if up else "down"), on_error=lambda text: say("fault", text))
    await client.add_object("demo", methods(client))
    await client.connect(timeout=10)
    say("ready")
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
