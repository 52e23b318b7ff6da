"""Wires that are laid between ledger and a stranger while a test runs."""
import json
import subprocess

from harness import PYTHON
from hosts import run

# Tries to speak to an address in every way a program can; prints what was let out: HOST [v6].
SPEAKER = """
import json, socket, sys
to, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
out = {}
def attempt(name, call):
    try:
        call()
        out[name] = "sent"
    except OSError as error:
        out[name] = type(error).__name__ if isinstance(error, TimeoutError) else error.strerror
udp = socket.socket(family, socket.SOCK_DGRAM)
attempt("udp", lambda: udp.sendto(b"x" * 10, (to, 9)))
attempt("large", lambda: udp.sendto(b"x" * 4000, (to, 9)))
tcp = socket.socket(family, socket.SOCK_STREAM)
tcp.settimeout(0.3)
attempt("tcp", lambda: tcp.connect((to, 443)))
icmp = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP)
attempt("icmp", lambda: icmp.sendto(bytes((128 if family == socket.AF_INET6 else 8, 0, 0, 0, 0, 1, 0, 1)), (to, 0)))
print(json.dumps(out))
"""

# Counts what comes from a host over a wire, but for ARP, neighbour discovery and multicast listener reports: IF MAC.
SNIFFER = """
import json, select, socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((sys.argv[1], 0))
wire.settimeout(0.1)
mac = bytes.fromhex(sys.argv[2].replace(":", ""))
print("listens", flush=True)
seen = []
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        frame = wire.recv(2048)
    except TimeoutError:
        continue
    if frame[6:12] != mac:
        continue
    kind = frame[12:14].hex()
    if kind == "0800" or kind == "86dd":
        ip6 = kind == "86dd"
        protocol = frame[14 + 6] if ip6 else frame[14 + 9]
        if ip6 and (protocol == 0 or protocol == 58 and 130 <= frame[54] <= 136 or protocol == 58 and frame[54] == 143):
            continue
        if protocol == 2:
            continue
        seen.append(kind + "/" + str(protocol))
print(json.dumps(seen))
"""


class Wire:
    """A wire between ledger and a stranger in the lab's internet; the stranger listens from before it is laid."""

    def __init__(self, lab, number):
        self.lab, self.name, self.far = lab, f"new{number}", f"far{number}"
        self.v4, self.v6 = f"203.0.113.{number * 8 + 1}", f"2001:db8:{number:x}::1"
        self.own4, self.own6 = f"203.0.113.{number * 8 + 2}", f"2001:db8:{number:x}::2"
        self.mac = f"02:00:00:00:00:{number:02x}"
        inet = lab.netns("inet")
        run("ip", "-n", inet, "link", "add", self.far, "type", "veth", "peer", "name", f"w{number}")
        run("ip", "-n", inet, "addr", "add", f"{self.v4}/29", "dev", self.far)
        run("ip", "-n", inet, "addr", "add", f"{self.v6}/64", "dev", self.far, "nodad")
        run("ip", "-n", inet, "link", "set", self.far, "up")
        self.sniffer = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{inet}", PYTHON, "-c", SNIFFER, self.far, self.mac],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.sniffer.stdout.readline()
        self.inner = f"w{number}"

    def lay(self):
        """It appears on ledger, up and with addresses, as fast as commands go."""
        inet, ledger = self.lab.netns("inet"), self.lab.netns("ledger")
        commands = f"""link set {self.inner} address {self.mac}
link set {self.inner} netns {ledger} name {self.name}"""
        subprocess.run(["ip", "-n", inet, "-batch", "-"], input=commands, text=True, check=True)
        commands = f"""addr add {self.own4}/29 dev {self.name}
addr add {self.own6}/64 dev {self.name} nodad
link set {self.name} up"""
        subprocess.run(["ip", "-n", ledger, "-batch", "-"], input=commands, text=True, check=True)

    def speak(self):
        """What ledger could send to the stranger."""
        out = {}
        for to in (self.v4, self.v6):
            done = self.lab.on("ledger", PYTHON, "-c", SPEAKER, to)
            out[to] = json.loads(done.stdout) if done.returncode == 0 else done.stderr
        return out

    def knock(self):
        """True when a service of ledger answers the stranger."""
        for to in (self.own4, self.own6):
            code = f"import socket; socket.create_connection(('{to}', 5432), 0.5)"
            done = subprocess.run(["nsenter", f"--net=/run/netns/{self.lab.netns('inet')}", PYTHON, "-c",
                                   code], capture_output=True)
            if done.returncode == 0:
                return True
        return False

    def guarded(self):
        index = json.loads(run("ip", "-n", self.lab.netns("ledger"), "-j", "link", "show", self.name).stdout)[0]["ifindex"]
        return all(self.lab.pinned("ledger", f"guard-{index}-{way}") for way in ("in", "out"))

    def seen(self):
        out, _ = self.sniffer.communicate("x\n", timeout=10)
        return json.loads(out)
