"""The system call bpf(2), through the C library's syscall(): there is no other way to it from Python.

Never keeps an address longer than the call. Imports ctypes when the first call is made, not before.
Numbers and layouts: <linux/bpf.h>, and the kernel's table of system calls of each machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Callable
from functools import cache

# union bpf_attr of each command, as much of it as is used
MAP_CREATE, LOOKUP, UPDATE, DELETE, PROG_LOAD, LOOKUP_BATCH, LINK_CREATE = 0, 1, 2, 3, 5, 24, 28

ATTR_MAP = struct.Struct("=7I16s")  # type, key, value, entries, flags, inner map, node, name
ATTR_ELEMENT = struct.Struct("=ixxxxQQQ")  # map, key, value, flags
ATTR_DELETE = struct.Struct("=ixxxxQ")
ATTR_BATCH = struct.Struct("=QQQQIiQQ")  # in, out, keys, values, count, map, flags
COUNT_OFFSET = 32
ATTR_PROGRAM = struct.Struct("=IIQQIIQII16sII")
ATTR_LINK = struct.Struct("=IIIIIIQ")  # program, device, attach type

SCHED_CLS = 3  # BPF_PROG_TYPE_SCHED_CLS
TCX_INGRESS, TCX_EGRESS = 46, 47

OP_CALL, OP_MOVE, OP_EXIT = 0x85, 0xB7, 0x95

# The verifier gives up where a signal waits (EAGAIN), which a suspend sends to everybody; libbpf tries five times.
LOAD_ATTEMPTS = 10

LOG_SIZE = 1 << 20
LOG_LINES = 12  # of the verifier, in an error
ENOTSUPP = 524  # the kernel's own, which C libraries do not know

REASONS = {
    errno.EPERM: "not permitted; run as root, and see that the kernel is not locked down",
    errno.EINVAL: "this kernel does not know it",
    errno.ENOSYS: "this kernel has no BPF",
    errno.ENOMEM: "no memory for it",
    errno.E2BIG: "this kernel knows a shorter form only, or the program is too large",
    errno.ENODEV: "no such device",
    errno.EACCES: "the kernel's verifier refuses the program",
    ENOTSUPP: "this kernel or machine does not support it",
}


class BpfError(Exception):
    """The kernel refused an operation. `log`: the verifier's last words where it gave some."""

    def __init__(self, operation: str, code: int, log: str = "") -> None:
        reason = REASONS.get(code) or os.strerror(code)
        super().__init__(f"{operation}: {reason}" + (f"; the verifier: {log}" if log else ""))
        self.operation = operation
        self.errno = code
        self.reason = reason
        self.log = log


def number(machine: str, word: int) -> int | None:
    """The number of bpf(2) for a program with pointers of `word` bytes; None for machines that are not known.

    uname tells the kernel's machine; a program of 32 bits on it has the numbers of the small one.
    """
    if machine in ("x86_64", "amd64", "i386", "i486", "i586", "i686"):
        return 321 if word == 8 else 357
    if machine.startswith(("aarch64", "arm")):
        return 280 if word == 8 else 386
    if machine.startswith("mips"):
        return 5315 if word == 8 else 4355
    if machine.startswith(("riscv", "loongarch")):
        return 280
    if machine.startswith("ppc"):
        return 361
    return 351 if machine.startswith("s390") else None


def kernel_word(machine: str, word: int) -> int:
    """The bytes of the kernel's unsigned long, which a program with pointers of `word` bytes may share memory with.

    What such a kernel tells a program of 32 bits as its machine is armv8l on 64-bit ARM, and its own name elsewhere.
    """
    return 8 if word == 8 or "64" in machine or machine in ("s390x", "armv8l", "armv8b") else 4


@cache
def _entry() -> Callable[..., int]:
    """The call, after the limit on locked memory is lifted, to which kernels before 5.11 charge maps."""
    import ctypes
    import resource

    found = number(os.uname().machine, struct.calcsize("P"))
    if found is None:
        raise BpfError(f"call bpf on {os.uname().machine}", errno.ENOSYS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        raise BpfError("find syscall() in the C library", errno.ENOSYS) from None
    syscall.restype = ctypes.c_long

    def bpf(command: int, place: int, size: int) -> int:
        result = syscall(ctypes.c_long(found), ctypes.c_long(command), ctypes.c_void_p(place), ctypes.c_ulong(size))
        return -ctypes.get_errno() if result < 0 else int(result)

    return bpf


def address(data: bytearray) -> int:
    """Where the bytes are. They must live, and keep their size, until the call is over."""
    import ctypes

    return ctypes.addressof((ctypes.c_char * len(data)).from_buffer(data))


def attempt(command: int, attr: bytearray) -> int:
    """The result, or minus the errno. Some commands answer in `attr`, whatever the result."""
    while (result := _entry()(command, address(attr), len(attr))) == -errno.EINTR:
        pass  # as Python's own calls (PEP 475)
    return result


def call(operation: str, command: int, attr: bytearray) -> int:
    """The result, which is often a descriptor. Raises BpfError, which names the operation."""
    result = attempt(command, attr)
    if result < 0:
        raise BpfError(operation, -result)
    return result


def load_program(name: str, code: bytearray, terms: bytes) -> int:
    """The descriptor of a tc program. Raises BpfError; with the verifier's words where it was that."""
    instructions, licence = code, bytearray(terms)

    def load(log: bytearray) -> int:
        level, place = (1, address(log)) if log else (0, 0)
        attr = ATTR_PROGRAM.pack(
            SCHED_CLS, len(code) // 8, address(instructions), address(licence), level, len(log), place, 0, 0,
            name.encode("ascii")[:15], 0, 0,
        )  # fmt: skip
        result = -errno.EAGAIN
        for _ in range(LOAD_ATTEMPTS):
            if result != -errno.EAGAIN:
                break
            result = attempt(PROG_LOAD, bytearray(attr))
        return result

    result = load(bytearray())
    if result >= 0:
        return result
    log = bytearray(LOG_SIZE)
    again = load(log)  # costs as much as the first time; a log that nobody reads would cost it always
    if again >= 0:
        return again
    raise BpfError(f"load program {name}", -result, last_lines(bytes(log)))


@cache
def has_helper(function: int) -> bool:
    """Does the kernel let tc programs call this function, which must take nothing? Asked by loading one that does."""
    program = (OP_CALL, 0, 0, function), (OP_MOVE, 0, 0, 0), (OP_EXIT, 0, 0, 0)
    code = bytearray(b"".join(struct.pack("=BBhi", *instruction) for instruction in program))
    try:
        os.close(load_program("np_probe", code, b"Dual MIT/GPL\0"))
    except BpfError:
        return False
    return True


def last_lines(log: bytes) -> str:
    """The end of a verifier's log, which says what it did not like."""
    lines = log.partition(b"\0")[0].decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-LOG_LINES:])
