"""The use cases, each once, as typed functions; the only room that wires the rooms below.

Never prints, parses argv or speaks ubus.
"""
