#!/usr/bin/python3
"""Sockets of every kind, for lab tests: prints one JSON object a line.

    sockets.py serve TCP_PORT[,TCP_PORT...] [UDP_PORT]     tells everybody who asks from which address
    sockets.py ask KIND ADDRESS PORT [OPTION...]           asks once: {"seen": address} or {"error": "EHOSTUNREACH"}
    sockets.py hold KIND ADDRESS PORT [OPTION...]          the same, then waits for its end: {"ended": "ECONNABORTED"}
    sockets.py bind ADDRESS [OPTION...]                    {"error": ...} or {"bound": address}
    sockets.py listen PORT                                 {"listening": true}, then waits for its input's end
    sockets.py forge SOURCE ADDRESS PORT                   a UDP packet made by hand (root): {"sent": true}

KIND: tcp, mptcp, udp (connected), datagram (unconnected), ping. OPTION: mapped (an IPv6 socket with IPv4 in it),
from=ADDRESS (bound to it), as=ADDRESS (named by a control message), device=NAME (bound to it), again (disconnected and
connected anew).
"""
import errno
import json
import select
import socket
import struct
import sys
import time

MPTCP, SOL_MPTCP, MPTCP_INFO, MPTCP_FALLBACK = 262, 284, 1, 1
PATIENCE_S = 8.0  # WireGuard begins a lost handshake again after 5 s


def say(**what):
    print(json.dumps(what), flush=True)


def plain(address):
    return address.removeprefix("::ffff:")


class Way:
    def __init__(self, kind, address, port, options):
        self.kind, self.port = kind, port
        given = dict(option.partition("=")[::2] for option in options)
        self.v6 = ":" in address or "mapped" in given
        self.mapped = "mapped" in given
        self.address = self.as_family(address)
        self.source, self.named = given.get("from"), given.get("as")
        self.device, self.again = given.get("device"), "again" in given

    def as_family(self, address):
        return f"::ffff:{address}" if self.mapped and ":" not in address else address

    def socket(self):
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        if self.kind == "ping":
            made = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if self.v6 else socket.IPPROTO_ICMP)
        elif self.kind in ("tcp", "mptcp"):
            made = socket.socket(family, socket.SOCK_STREAM, MPTCP if self.kind == "mptcp" else 0)
        else:
            made = socket.socket(family, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE_S)
        if self.device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode() + b"\0")
        if self.source:
            made.bind((self.as_family(self.source), 0))
        return made

    def control(self):
        if not self.named:
            return []
        raw = socket.inet_pton(socket.AF_INET6 if ":" in self.named else socket.AF_INET, self.named)
        if len(raw) == 16:
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, raw + struct.pack("=I", 0))]
        return [(socket.IPPROTO_IP, 8, struct.pack("=I", 0) + raw + bytes(4))]  # IP_PKTINFO: spec_dst

    def connect(self, made):
        made.connect((self.address, self.port))
        if self.again:
            # connect() to AF_UNSPEC: python has no name for it.
            import ctypes
            ctypes.CDLL(None).connect(made.fileno(), struct.pack("=H", 0) + bytes(14), 16)
            made.connect((self.address, self.port))

    def ask(self):
        """The socket that asked, and what was answered."""
        made = self.socket()
        if self.kind == "ping":
            kind, code = (128, 0) if self.v6 else (8, 0)
            made.sendto(struct.pack("!BBHHH", kind, code, 0, 7, 1) + b"x" * 8, (self.address, 0))
            made.recv(64)
            return made, {"seen": "echo"}
        if self.kind == "datagram":
            made.sendmsg([b"who\n"], self.control(), 0, (self.address, self.port))
        else:
            self.connect(made)
            made.send(b"who\n")
        answer = {"seen": plain(made.recv(200).decode().strip())}
        if self.kind == "mptcp":
            info = made.getsockopt(SOL_MPTCP, MPTCP_INFO, 64)
            answer["fallback"] = bool(struct.unpack_from("=I", info, 8)[0] & MPTCP_FALLBACK)
        return made, answer


def name_of(error):
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout"
    return errno.errorcode.get(error.errno, str(error))


def ask(kind, address, port, *options, hold=False):
    begun = time.monotonic()
    try:
        made, answer = Way(kind, address, int(port), options).ask()
        say(**answer, ms=(time.monotonic() - begun) * 1000)
    except OSError as error:
        say(error=name_of(error), ms=(time.monotonic() - begun) * 1000)
        return
    if not hold:
        return
    poll = select.poll()
    poll.register(made, select.POLLIN | select.POLLERR | select.POLLHUP)
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    for which, _ in poll.poll(60_000):
        if which != made.fileno():
            continue
        try:
            say(ended="EOF" if not made.recv(1) else "data")
        except OSError as error:
            say(ended=name_of(error))


def bind(address, *options):
    way = Way("tcp", address, 0, options)
    made = way.socket()
    try:
        made.bind((way.address, 0))
        say(bound=plain(made.getsockname()[0]))
    except OSError as error:
        say(error=name_of(error))


def listen(port):
    with socket.create_server(("", int(port))) as made:
        say(listening=True)
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
        poll.poll(60_000)
        say(listening=bool(made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)))


def forge(source, address, port):
    """IPv4 and UDP by hand; the kernel fills in checksum and id."""
    payload = b"forged\n"
    udp = struct.pack("!HHHH", 4242, int(port), 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton(address))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + udp, (address, 0))
    say(sent=True)


def serve(tcp_ports, udp_port=None):
    poll = select.poll()
    listeners, streams, datagrams = {}, {}, None
    for port in tcp_ports.split(","):
        made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, MPTCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(("::", int(port)))
        made.listen(16)
        listeners[made.fileno()] = made
        poll.register(made, select.POLLIN)
    if udp_port:
        datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        datagrams.bind(("::", int(udp_port)))
        poll.register(datagrams, select.POLLIN)
    say(serving=True)
    while True:
        for which, _ in poll.poll():
            if which in listeners:
                made, peer = listeners[which].accept()
                streams[made.fileno()] = made, peer[0]
                poll.register(made, select.POLLIN)
            elif which in streams:
                made, peer = streams[which]
                try:
                    asked = made.recv(100)
                    if asked:
                        made.send(f"{peer}\n".encode())
                except OSError:
                    asked = b""
                if not asked:
                    poll.unregister(which)
                    made.close()
                    del streams[which]
            else:
                data, control, _, peer = datagrams.recvmsg(2048, 256)
                say(datagram=data.decode().strip(), source=plain(peer[0]))
                try:
                    datagrams.sendmsg([f"{peer[0]}\n".encode()], control, 0, peer)
                except OSError:
                    pass  # the asker may not be answered any more


def main():
    verb, *rest = sys.argv[1:]
    if verb == "hold":
        ask(*rest, hold=True)
    else:
        {"serve": serve, "ask": ask, "bind": bind, "listen": listen, "forge": forge}[verb](*rest)


main()
