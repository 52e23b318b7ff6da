#!/usr/bin/python3
"""The two ends of a boot that is watched.  outside.py listen PORT... | knock PORT...

listen: on every address; the kernel alone answers.  knock: ten times a second a frame with a SYN for each port, to
eth0 of the host that boots; prints when it begins, then each IP packet that comes from there (but ICMPv6, which
neighbour discovery needs), with the time since boot. Frames, not sockets: the guard at the sockets is on every namespace.
"""
import select
import socket
import struct
import sys
import time

HOST, OUTSIDE = "198.51.100.10", "198.51.100.1"
HOST_MAC, OUTSIDE_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("020000000001")
EVERY_S = 0.1


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def syn(port, source_port):
    ends = socket.inet_aton(OUTSIDE) + socket.inet_aton(HOST)
    tcp = struct.pack(">HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 64240, 0, 0)
    tcp = tcp[:16] + struct.pack(">H", checksum(ends + struct.pack(">HH", 6, len(tcp)) + tcp)) + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + ends
    return HOST_MAC + OUTSIDE_MAC + b"\x08\x00" + ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:] + tcp


def told(frame):
    """Of an IP packet from the host: its protocol and, of TCP, whence and how; None of any other frame."""
    if frame[6:12] != HOST_MAC:
        return None
    if frame[12:14] == b"\x86\xdd":
        return None if frame[20] in (0, 58) else f"v6/{frame[20]}"
    if frame[12:14] != b"\x08\x00":
        return None
    if frame[23] != 6:
        return f"v4/{frame[23]}"
    port, flags = struct.unpack(">H", frame[34:36])[0], frame[47]
    return f"{'syn-ack' if flags & 0x12 == 0x12 else 'tcp'} from {port}"


def say(what):
    print(f"{time.clock_gettime(time.CLOCK_MONOTONIC):.3f} {what}", flush=True)


def knock(ports):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind(("wire", 0))
    say("knocks")
    due, source_port = 0.0, 20000
    while True:
        if time.monotonic() >= due:
            due = time.monotonic() + EVERY_S
            source_port = source_port + 1 if source_port < 60000 else 20000
            for port in ports:
                wire.send(syn(port, source_port))
        if select.select([wire], [], [], max(0.0, due - time.monotonic()))[0]:
            if what := told(wire.recv(2048)):
                say(what)


def listen(ports):
    sockets = [socket.create_server(("", port), backlog=1024) for port in ports]
    select.select([], [], [])
    return sockets


if __name__ == "__main__":
    {"listen": listen, "knock": knock}[sys.argv[1]]([int(port) for port in sys.argv[2:]])
