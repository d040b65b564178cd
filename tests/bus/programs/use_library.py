"""A program that uses python-ubus through our adapter: argv is path, verb and its arguments.

A process of its own, because the library needs its C libraries in the environment and
keeps one connection per process. Exits with the ubus status.
"""

import json
import sys

from netpolicy.bus.library import LibraryClient
from netpolicy.bus.status import UbusError


def run(path: str, verb: str, *words: str) -> None:
    with LibraryClient(path) as client:
        if verb == "call":
            print(json.dumps(client.call(words[0], words[1], json.loads(words[2]))))
        elif verb == "lookup":
            print(json.dumps([info.path for info in client.lookup(words[0])]))
        elif verb == "send":
            client.send_event(words[0], json.loads(words[1]))
        else:
            events = client.listen([words[0]], timeout=10)
            print("listening", flush=True)
            for event in events:
                print(json.dumps(event), flush=True)


try:
    run(*sys.argv[1:])
except UbusError as problem:
    print(problem, file=sys.stderr)
    sys.exit(problem.status)
