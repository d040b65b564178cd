"""The eBPF tier: loads ebpf/npflow, attaches it to devices, and tells what it sees in the words of `flows.seen`.

Loaded by `inspector` alone, and only where that tier is used: it brings ctypes and mmap.
"""
