"""A program that serves the object `foreign` with python-ubus itself: argv is the socket path."""

import sys

import ubus

ubus.connect(sys.argv[1])
ubus.add(
    "foreign",
    {
        "echo": {
            "method": lambda handler, data: handler.reply(data),
            "signature": {"text": ubus.BLOBMSG_TYPE_STRING, "number": ubus.BLOBMSG_TYPE_INT32},
        },
    },
)
print("ready", flush=True)
while True:
    ubus.loop(200)
