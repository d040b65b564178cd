"""NetPolicy: a programmable network policy engine for OpenWrt and plain Linux."""

__version__ = "0.1.0"
