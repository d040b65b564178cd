"""A program that is nothing but the embedded broker: argv is the socket path, and how long those linger who left."""

import asyncio
import sys

from netpolicy.bus import broker
from netpolicy.bus.broker import Broker, BrokerError


async def main(path: str) -> None:
    await Broker(path).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if sys.argv[2:]:
    broker.LINGER_SECONDS = float(sys.argv[2])
try:
    asyncio.run(main(sys.argv[1]))
except BrokerError as problem:
    sys.exit(str(problem))
