"""The ubus door: wire protocol, client, embedded broker, our object.

Never contains logic that another door would have to repeat.
"""
