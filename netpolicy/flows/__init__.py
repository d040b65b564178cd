"""The live inspector: which connections exist, as the kernel tracks them.

Never decides anything.
"""
