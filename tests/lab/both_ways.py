#!/usr/bin/python3
"""Numbered datagrams both ways at an even pace: both_ways.py serve PORT RATE | both_ways.py ask ADDRESS PORT RATE.

The server begins to send when the asker's first datagram comes. Each side ends when its standard input is closed and
prints one JSON object: when it sent each number (CLOCK_MONOTONIC) and which numbers it got.
"""
import json
import select
import socket
import sys
import time


def main():
    serve = sys.argv[1] == "serve"
    host, port, rate = ("::", int(sys.argv[2]), int(sys.argv[3])) if serve else (sys.argv[2], int(sys.argv[3]),
                                                                                  int(sys.argv[4]))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    link = socket.socket(family, socket.SOCK_DGRAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    link.setblocking(False)
    if serve:
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        link.bind((host, port))
    else:
        link.connect((host, port))
    sent, got, talks, start = [], set(), not serve, time.monotonic()
    print("started", file=sys.stderr, flush=True)
    ends = None
    while ends is None or time.monotonic() < ends:
        now = time.monotonic()
        if talks and ends is None and now >= start + len(sent) / rate:
            try:
                link.send(len(sent).to_bytes(8, "big") + bytes(56))
            except OSError:
                pass  # counts as sent, and is missed at the other end
            sent.append(now)
        due = start + len(sent) / rate if talks and ends is None else now + 0.1
        waits = [link] + ([sys.stdin] if ends is None else [])
        ready, _, _ = select.select(waits, [], [], max(0.0, min(due, now + 0.1) - time.monotonic()))
        if link in ready:
            try:
                while True:
                    data, peer = link.recvfrom(2048)
                    got.add(int.from_bytes(data[:8], "big"))
                    if not talks:
                        link.connect(peer)
                        talks, start = True, time.monotonic()
            except OSError:
                pass
        if sys.stdin in ready and not sys.stdin.read(1):
            ends = time.monotonic() + 1  # what is on its way still counts
    print(json.dumps({"sent": sent, "got": sorted(got)}))


main()
