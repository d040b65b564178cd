"""Rules and how they are decided: values in, values out.

Never does I/O, never reads a clock; imports only what MicroPython also has.
"""
