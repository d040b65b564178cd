"""The smallest NetPolicy: read the configuration, decide, print the kernel's rules as text.

Never changes the kernel and needs no more of Python than MicroPython has.
"""
