"""Ring buffers and structured log lines.

Never blocks the loop.
"""
