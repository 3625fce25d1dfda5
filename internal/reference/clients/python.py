"""Creates an order, and prints a shop's alerts: each once and in order, through every cut.

DOORBELL is the server's address, SERVICE and CONSOLE are tokens, NUMBER is the
order's. The standard library is enough (Python 3.8 or later).
"""

import http.client
import json
import os
import sys
import time
import urllib.request

SERVER = os.environ["DOORBELL"]


def call(path, token, body=None, timeout=10):
    request = urllib.request.Request(SERVER + path, data=body and json.dumps(body).encode())
    request.add_header("Authorization", "Bearer " + token)
    request.add_header("Content-Type", "application/json")
    return urllib.request.urlopen(request, timeout=timeout)


def follow(cursor):
    """Yields each alert with the cursor after it, until the connection ends."""
    # A server pings every 15 s: one that is silent for 40 s is gone.
    with call("/events?shops=1&after=" + cursor, os.environ["CONSOLE"], timeout=40) as stream:
        event = {}
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
                continue
            # The event is whole; what was cut off before this counts for nothing.
            if event:
                yield ("event" not in event and event.get("data")), event.get("id")
            event = {}


try:
    call("/api/v1/orders", os.environ["SERVICE"], {"number": os.environ["NUMBER"], "shopId": 1, "amount": 1250})
except OSError as err:
    print(err, file=sys.stderr)

cursor = "0"  # from the oldest; keep it where it survives a restart
while True:
    try:
        for alert, after in follow(cursor):
            if alert:
                print(alert, flush=True)
            cursor = after or cursor
    except (OSError, http.client.HTTPException) as err:
        print(err, file=sys.stderr)
    time.sleep(0.2)
