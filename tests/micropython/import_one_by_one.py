"""Import each module named as an argument, the modules of the one before forgotten.

Prints a line for each: the module, and "imported" or what went wrong. Runs on MicroPython.
"""

import sys


def forget() -> None:
    for name in list(sys.modules):
        if name.startswith("netpolicy"):
            del sys.modules[name]


def outcome(name: str) -> str:
    try:
        __import__(name)
    except Exception as problem:  # noqa: BLE001 - whatever goes wrong is the outcome
        return repr(problem)
    return "imported"


for module in sys.argv[1:]:
    forget()
    print(module, outcome(module))
