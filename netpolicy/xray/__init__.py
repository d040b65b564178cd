"""Xray: share links become nodes, nodes become a configuration that the real program accepts.

Knows nothing about rules and starts no process. Only what Xray's releases since 26.3.27 agree
on is written.
"""
