#!/usr/bin/python3 -B
"""Overlay addresses outside the overlay: a neighbour without a key speaks as somebody, and an impostor at the default
gateway waits for what is sent while the tunnel is gone.

        trader ══ granted, over the tunnel ══ ledger
           └───── the same LAN ───── controller: the neighbour, the gateway, the impostor
"""
import json
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import harness
import services
import topology
from harness import LEDGER, PYTHON, TRADER, LabTest, end, expect
from hosts import kill, wait_for

PORT = 7007  # the echo service's
SECRET = "for ledger alone"
REASON = "outside overlay"

# Sends one frame, given as hexadecimal, by eth0.
NEIGHBOUR = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
s.send(bytes.fromhex(sys.argv[1]))
"""

# Talks to ADDRESS PORT and tells where from, then everything that comes to its socket within the time.
TALKER = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"hello")
s.settimeout(5)
print(s.recv(99).decode(), s.getsockname()[0], s.getsockname()[1], flush=True)
s.settimeout(1.5)
try:
    while True:
        print(s.recv(99).decode(), flush=True)
except TimeoutError:
    pass
"""

# What comes to the gateway for whoever it may be: TEXT. Prints each packet that holds it.
IMPOSTOR = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
s.bind(("eth0", 3))
print("waits", flush=True)
while True:
    packet = s.recv(2048)
    if sys.argv[1].encode() in packet:
        print("a packet", packet.hex(), flush=True)
"""

# Asks the addresses for an echo, by sockets that no hook of connect() or send() sees: TEXT ADDRESS... Prints what
# became of each.
CALLER = """
import errno, socket, struct, sys
for address in sys.argv[2:]:
    v6 = ":" in address
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW,
                      socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    try:
        s.sendto(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 7, 1) + sys.argv[1].encode(), (address, 0))
        print("sent")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def datagram(source, destination, source_port, port, data):
    """An IP packet with a UDP datagram, and its ethertype."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    length = 8 + len(data)
    pseudo = ends + struct.pack("!II", length, 17)
    udp = struct.pack("!HHHH", source_port, port, length, 0) + data
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xffff) + udp[8:]
    if family == socket.AF_INET6:
        return 0x86dd, struct.pack("!IHBB", 6 << 28, length, 17, 64) + ends + udp
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 17, 0)
    return 0x0800, header[:10] + struct.pack("!H", checksum(header + ends)) + ends + udp


class Around(LabTest):
    def up(self):
        services.start_all(self.lab)
        self.perimeter.up(nodes=(LEDGER, TRADER), people=(TRADER.person,))
        self.sign_in("trader")
        self.overlay = [self.perimeter.overlay("ledger", family) for family in (4, 6)]

    def dropped(self, host):
        said = self.perimeter.device_cordon(host, "--json", "counters", "--here", uid=0).stdout
        lines = [json.loads(line) for line in said.splitlines()]
        return sum(line["packets"] for line in lines if line["counter"] == "reason" and line["name"] == REASON)

    def a_neighbour_speaks_as_ledger(self):
        link = json.loads(self.lab.on("trader", "ip", "-j", "link", "show", "eth0").stdout)[0]
        for address in self.overlay:
            talker = self.lab.popen("trader", PYTHON, "-c", TALKER, address, str(PORT), uid=TRADER.uid,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                said = talker.stdout.readline().split()
                if not expect(len(said) == 3 and said[0] == "hello", f"ledger answers trader at {address}", said):
                    continue
                before = self.dropped("trader")
                kind, packet = datagram(address, said[1], PORT, int(said[2]), b"EVIL")
                frame = bytes.fromhex(link["address"].replace(":", "")) + bytes([2, 0, 0, 0, 0, 1])
                self.lab.on("controller", PYTHON, "-c", NEIGHBOUR, (frame + struct.pack("!H", kind) + packet).hex())
                heard = talker.communicate(timeout=30)[0]
                expect("EVIL" not in heard, "what a neighbour sends in ledger's name reaches no application", heard)
                expect(self.dropped("trader") == before + 1, "it is dropped and counted", self.dropped("trader"))
            finally:
                end(talker)

    def call(self, to):
        return self.lab.on("trader", PYTHON, "-c", CALLER, SECRET, *to).stdout.split()

    def impostor(self):
        """Listens at the controller, which becomes trader's default gateway."""
        process = self.lab.popen("controller", PYTHON, "-c", IMPOSTOR, SECRET, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        for family, gateway in (("-4", topology.CONTROLLER.v4), ("-6", topology.CONTROLLER.v6)):
            self.lab.on("trader", "ip", family, "route", "add", "default", "via", gateway)
        return process

    def tunnel(self):
        """wireguard-go's process on trader."""
        file = self.lab.host_dir("trader") / "run" / f"wireguard-go.{self.lab.interface('trader')}.pid"
        return int(Path(file).read_text().split()[0])

    def the_tunnel_is_gone(self):
        impostor = self.impostor()
        try:
            # The daemon first: it would make the tunnel anew.
            kill(self.lab.pid("trader", "cordon-node"), signal.SIGKILL)
            kill(self.tunnel(), signal.SIGKILL)
            gone = wait_for(lambda: self.lab.on("trader", "ip", "link", "show", self.lab.interface("trader")).returncode, 5)
            expect(gone, "neither daemon nor tunnel are there")
            expect(self.call(self.overlay) == ["EHOSTUNREACH"] * 2, "a program is told at once that there is no way",
                   self.call(self.overlay))
            before = self.dropped_map()
            for family in ("-4", "-6"):
                self.lab.on("trader", "sh", "-c", f"ip {family} route show type unreachable proto 205 | while read route; "
                            f"do ip {family} route del $route; done")
            answers = self.call(self.overlay)
            expect("EHOSTUNREACH" not in answers, "somebody takes those routes away: there is the default route", answers)
            expect(self.dropped_map() >= before + 2, "the guard drops and counts what would leave by it", self.dropped_map())
            self.call(("192.0.2.1", "2001:db8:9::1"))
            time.sleep(0.5)
            impostor.kill()
            heard = impostor.communicate()[0]
            family = {True: socket.AF_INET6, False: socket.AF_INET}
            ours = [socket.inet_pton(family[":" in address], address).hex() for address in self.overlay]
            expect(heard.count("a packet") >= 2, "the impostor at the gateway got what is for others", heard)
            expect(not any(address in heard for address in ours), "and nothing that is for ledger", heard)
        finally:
            end(impostor)

    def dropped_map(self):
        """As `dropped`, from the map: nobody is there to ask."""
        pin = next(self.lab.pins("trader").glob("map-drop_counters-*"))
        rows = json.loads(self.lab.on("controller", "bpftool", "-j", "map", "dump", "pinned", str(pin)).stdout)
        names = re.findall(r'X\(\w+, "(.*?)"\)', (harness.ROOT / "ebpf" / "abi_reasons.h").read_text())
        row = next(row["formatted"] for row in rows if row["formatted"]["key"] == names.index(REASON))
        return sum(cpu["value"]["packets"] for cpu in row["values"])

    def the_daemon_is_back(self):
        self.perimeter.start_node("trader")
        self.perimeter.wait_ready("trader")
        expect(wait_for(lambda: self.psql("trader", self.overlay[0]), 20), "trader reaches ledger over the tunnel again")
        routes = "".join(self.lab.on("trader", "ip", family, "route", "show", "type", "unreachable").stdout
                         for family in ("-4", "-6"))
        expect(routes.count("proto 205") == 2, "and the routes that need no tunnel are there", routes)

    def parts(self):
        return self.a_neighbour_speaks_as_ledger, self.the_tunnel_is_gone, self.the_daemon_is_back


harness.play(Around)
