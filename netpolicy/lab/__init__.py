"""A router, its providers, clients and internet as network namespaces on this machine.

Never installed on a router.
"""
