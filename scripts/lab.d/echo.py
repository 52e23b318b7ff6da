#!/usr/bin/python3
"""UDP echo on every address of both families: echo.py PORT. Answers from the address that was asked."""
import socket
import sys

server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
server.bind(("::", int(sys.argv[1])))
while True:
    data, control, _, peer = server.recvmsg(2048, 256)
    try:
        server.sendmsg([data], control, 0, peer)
    except OSError:
        pass  # the asker may not be answered any more
