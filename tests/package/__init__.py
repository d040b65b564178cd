"""Tests of what lands on a router: packages, init script, LuCI app."""
