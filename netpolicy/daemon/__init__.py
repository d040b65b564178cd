"""The process: event loop, signals, supervision.

Never imported by anything.
"""
