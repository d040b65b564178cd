"""Desired kernel state as data, its rendering, its reading back, the difference.

Never knows where a rule came from.
"""
