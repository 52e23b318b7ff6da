#!/usr/bin/python3
"""Datagrams that nobody granted: denied.py serve PORT | denied.py send ADDRESS PORT RATE.

The sender goes on whatever it is told; the server counts what comes. Each ends when its standard input is closed and
prints how many.
"""
import select
import socket
import sys
import time

serve = sys.argv[1] == "serve"
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setblocking(False)
if serve:
    link.bind(("0.0.0.0", int(sys.argv[2])))
print("started", file=sys.stderr, flush=True)
count, start = 0, time.monotonic()
while True:
    wait = 0.1
    if not serve:
        wait = max(0.0, start + count / int(sys.argv[4]) - time.monotonic())
        if wait == 0.0:
            try:
                link.sendto(count.to_bytes(8, "big") + bytes(56), (sys.argv[2], int(sys.argv[3])))
            except OSError:
                pass  # refused by this host
            count += 1
    ready, _, _ = select.select([sys.stdin] + ([link] if serve else []), [], [], wait)
    if link in ready:
        count += len(link.recv(2048)) > 0
    if sys.stdin in ready and not sys.stdin.read(1):
        break
print(count)
