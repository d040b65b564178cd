"""The terminal door.

Never contains logic that another door would have to repeat.
"""
