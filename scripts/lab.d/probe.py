#!/usr/bin/python3
"""Counts lost packets: probe.py ADDRESS PORT PER_SECOND SECONDS.

Sends numbered datagrams to an echo at an even pace and prints one JSON object: sent, lost (no echo within a second
of the end), refused by this host, and the longest run of losses.
Ends early when its standard input is closed.
"""
import json
import select
import socket
import sys
import time

address, port, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
probe = socket.socket(family, socket.SOCK_DGRAM)
probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
probe.connect((address, port))
probe.setblocking(False)

start = time.monotonic()
sent, refused, echoed = 0, 0, set()
end = start + seconds
print("started", file=sys.stderr, flush=True)
watch_input = True
while time.monotonic() < end:
    due = start + sent / rate
    now = time.monotonic()
    if now >= due:
        try:
            probe.send(sent.to_bytes(8, "big") + bytes(56))
        except OSError:
            refused += 1
        sent += 1
        due = start + sent / rate
    inputs = [probe] + ([sys.stdin] if watch_input else [])
    ready, _, _ = select.select(inputs, [], [], max(0.0, min(due, end) - time.monotonic()))
    if probe in ready:
        try:
            while True:
                echoed.add(int.from_bytes(probe.recv(2048)[:8], "big"))
        except OSError:
            pass
    if sys.stdin in ready:
        watch_input = False
        if not sys.stdin.read(1):
            end = time.monotonic()
last_call = time.monotonic() + 1
while time.monotonic() < last_call and len(echoed) < sent:
    if select.select([probe], [], [], 0.1)[0]:
        try:
            echoed.add(int.from_bytes(probe.recv(2048)[:8], "big"))
        except OSError:
            pass
longest = run = 0
for number in range(sent):
    run = 0 if number in echoed else run + 1
    longest = max(longest, run)
print(json.dumps({"sent": sent, "lost": sent - len(echoed), "refused": refused, "longest_loss": longest}))
