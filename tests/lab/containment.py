#!/usr/bin/python3
"""An isolated host on its own side: nothing comes or goes around the overlay, on interfaces of the future too, from
the first packet after a boot on, while responders reach it wherever they are; release brings everything back.

Controller, ledger (isolated) and trader (a responder) of the lab's usual company, and a stranger at the other end of
wires that are laid later.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lab.d"))

import services  # noqa: E402
import topology  # noqa: E402
from hosts import Lab, LabError, kill, run, wait_until  # noqa: E402
from perimeter import Perimeter  # noqa: E402

FAILURES = []
LEDGER, TRADER = topology.BY_NAME["ledger"], topology.BY_NAME["trader"]

RESPONDERS = """
[[allow]]
name       = "responders-to-settlement"
from       = { groups = ["traders"] }
to         = ["settlement/*"]
responders = true
lease      = "10m"
"""

# Holds a TCP connection to another host and one over loopback, and tells how each fares: HOST PORT.
HOLDER = """
import json, select, socket, sys
far = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
listener = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listener.getsockname())
other, _ = listener.accept()
print("holds", flush=True)
told = "nothing"
if select.select([far], [], [], 20)[0]:
    try:
        told = far.recv(1) and "data" or "end"
    except OSError as error:
        told = error.strerror
near.sendall(b"x")
other.settimeout(2)
print(json.dumps({"far": told, "near": other.recv(1) == b"x"}), flush=True)
"""

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
import json, socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((sys.argv[1], 0))
wire.settimeout(0.1)
mac = bytes.fromhex(sys.argv[2].replace(":", ""))
print("listens", flush=True)
seen = []
import select
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


def expect(holds, what, detail=""):
    print(("ok    " if holds else "FAIL  ") + what, flush=True)
    if not holds:
        FAILURES.append(what)
        print("".join(f"      | {line}\n" for line in str(detail).strip().splitlines()), end="", flush=True)


def holds(condition, seconds):
    try:
        wait_until(condition, seconds, "")
        return True
    except LabError:
        return False


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
            ["nsenter", f"--net=/run/netns/{inet}", "/usr/bin/python3", "-c", SNIFFER, self.far, self.mac],
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
            done = self.lab.on("ledger", "/usr/bin/python3", "-c", SPEAKER, to)
            out[to] = json.loads(done.stdout) if done.returncode == 0 else done.stderr
        return out

    def knock(self):
        """True when a service of ledger answers the stranger."""
        for to in (self.own4, self.own6):
            code = f"import socket; socket.create_connection(('{to}', 5432), 0.5)"
            done = subprocess.run(["nsenter", f"--net=/run/netns/{self.lab.netns('inet')}", "/usr/bin/python3", "-c",
                                   code], capture_output=True)
            if done.returncode == 0:
                return True
        return False

    def guarded(self):
        index = json.loads(run("ip", "-n", self.lab.netns("ledger"), "-j", "link", "show", self.name).stdout)[0]["ifindex"]
        return all((self.lab.pins("ledger") / f"link-guard-{index}-{way}").exists() for way in ("in", "out"))

    def seen(self):
        out, _ = self.sniffer.communicate("x\n", timeout=10)
        return json.loads(out)


class Containment:
    def __init__(self, lab):
        self.lab = lab
        self.perimeter = Perimeter(lab)

    def isolated_silence(self, wire, what):
        """Nothing passes either way over the wire; then it is let go."""
        spoken, answered = wire.speak(), wire.knock()
        expect(all(isinstance(said, dict) and "sent" not in said.values() for said in spoken.values()),
               f"{what}: no program on ledger can send anything", spoken)
        expect(not answered, f"{what}: no service of ledger answers there")
        seen = wire.seen()
        expect(seen == [], f"{what}: the wire's other end saw no packet of ledger", seen)

    def responder_reaches(self):
        v4 = next(a for a in self.perimeter.devices()["ledger"]["addresses"] if ":" not in a)
        return self.psql(v4)

    def psql(self, address):
        try:
            return self.lab.on("trader", "psql", "-h", address, "-U", "postgres", "-Atc", "select 1", uid=TRADER.uid,
                               timeout=10).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def start(self):
        self.perimeter.write_controller_config()
        self.perimeter.start_controller()
        (self.lab.host_dir("controller") / "policy").mkdir()
        (self.lab.host_dir("controller") / "policy" / "responders.toml").write_text(RESPONDERS)
        self.perimeter.apply_policy()
        self.perimeter.add_user("trader@acme.example")
        for host in (LEDGER, TRADER):
            self.perimeter.write_node_config(host)
            self.perimeter.enrol(host, self.perimeter.token(host, approve=True))
            self.perimeter.start_node(host.name)
        for host in (LEDGER, TRADER):
            self.perimeter.wait_ready(host.name)
        done = self.perimeter.login("trader")
        expect(done.returncode == 0 and self.responder_reaches(), "trader signs in and reaches ledger", done.stderr)
        self.overlay = next(a for a in self.perimeter.devices()["ledger"]["addresses"] if ":" not in a)

    def isolation(self):
        listener = self.lab.popen("trader", "/usr/bin/python3", "-c",
                                  "import socket\ns=socket.create_server(('',4444))\nk=[]\n"
                                  "while True: k.append(s.accept())")
        holder = None
        try:
            wait_until(lambda: self.lab.on("ledger", "/usr/bin/python3", "-c",
                                           f"import socket; socket.create_connection(('{TRADER.v4}',4444),1)")
                       .returncode == 0, 10, "trader's listener")
            holder = self.lab.popen("ledger", "/usr/bin/python3", "-c", HOLDER, TRADER.v4, "4444",
                                    stdout=subprocess.PIPE, text=True)
            expect(holder.stdout.readline() == "holds\n", "a program on ledger holds a connection around the overlay")
            log = self.lab.log_tail("ledger", "cordon-node", 1000)
            sessions = log.count("session with")
            done = self.perimeter.cordon("isolate", "ledger", "--reason", "test", "--wait", "10s")
            expect(done.returncode == 0, "ledger is isolated", done.stdout + done.stderr)
            told, _ = holder.communicate(timeout=30)
            expect("abort" in told, "its connection is destroyed and the program told", told)
            expect('"near": true' in told, "a connection over loopback goes on", told)
            time.sleep(1)
            log = self.lab.log_tail("ledger", "cordon-node", 1000)
            expect(self.perimeter.ready("ledger") and log.count("session with") == sessions,
                   "ledger's node keeps its link to the controller", log)
        finally:
            for process in (listener, holder):
                if process and process.poll() is None:
                    process.kill()
                    process.wait()
        expect(self.responder_reaches(), "a responder reaches ledger")
        expect(not self.psql(LEDGER.v4), "but not around the overlay")
        done = self.lab.on("ledger", "ping", "-c1", "-W1", TRADER.v4)
        expect(done.returncode != 0, "ledger can't ping around the overlay", done.stdout)

    def new_interface(self):
        daemon = self.lab.pid("ledger", "cordon-node")
        wire = Wire(self.lab, 1)
        os.kill(daemon, signal.SIGSTOP)
        try:
            wire.lay()
            expect(not wire.guarded(), "a new interface appears while the daemon is held up")
            self.isolated_silence(wire, "an interface without the guard")
        finally:
            os.kill(daemon, signal.SIGCONT)
        expect(holds(wire.guarded, 3), "the guard is on it once the daemon goes on")
        wire = Wire(self.lab, 2)
        wire.lay()
        expect(holds(wire.guarded, 3), "on the next new interface too")
        self.isolated_silence(wire, "an interface with the guard")

    def responder_moves(self):
        """As a NAT does it: from one packet to the next, and the controller can't tell."""
        controller = self.lab.pid("controller", "cordon-controller")
        os.kill(controller, signal.SIGSTOP)
        try:
            trader = self.lab.netns("trader")
            run("ip", "-n", trader, "addr", "del", f"{TRADER.v4}/24", "dev", "eth0")
            run("ip", "-n", trader, "addr", "add", "198.51.100.77/24", "dev", "eth0")
            begun = time.monotonic()
            # WireGuard notices after 15 s without an answer (its paper, 6.2).
            back = holds(lambda: self.psql(self.overlay), 45)
            expect(back, f"a responder whose address changed reaches ledger again after {time.monotonic() - begun:.1f} s")
        finally:
            os.kill(controller, signal.SIGCONT)

    def reboot(self):
        """What a boot takes away: processes, pins, the tunnel. eth0 comes up when the network does."""
        ledger = self.lab.netns("ledger")
        wireguard = next((self.lab.host_dir("ledger") / "run").glob("wireguard-go.*.pid"), None)
        kill(self.lab.pid("ledger", "cordon-node"))
        if wireguard:
            kill(int(wireguard.read_text().split()[0]))
        subprocess.run(["ip", "-n", ledger, "link", "del", self.lab.interface("ledger")], capture_output=True)
        shutil.rmtree(self.lab.pins("ledger"))
        run("ip", "-n", ledger, "link", "set", "eth0", "down")
        wire = Wire(self.lab, 3)
        wire.lay()
        time.sleep(0.3)  # the kernel lets go of links without pins a little later
        spoken = wire.speak()
        expect(any("sent" in said.values() for said in spoken.values()) and wire.seen() != [],
               "(without pins ledger speaks: this test can see it)", spoken)

        done = self.lab.on("ledger", *self.perimeter.node_command("ledger", "guard"))
        expect(done.returncode == 0 and "isolated as before" in done.stdout, "before the network: cordon-node guard",
               done.stdout + done.stderr)
        wire = Wire(self.lab, 4)
        wire.lay()
        run("ip", "-n", ledger, "link", "set", "eth0", "up")
        run("ip", "-n", ledger, "addr", "replace", f"{LEDGER.v6}/64", "dev", "eth0", "nodad")
        expect(not wire.guarded(), "the network comes up, no daemon runs")
        self.isolated_silence(wire, "after a boot")
        expect(not self.psql(LEDGER.v4), "after a boot: nobody comes in around the overlay")
        self.perimeter.start_node("ledger")
        self.perimeter.wait_ready("ledger")
        expect(holds(wire.guarded, 3), "the daemon adopts it and guards the new interface")
        expect(holds(self.responder_reaches, 30), "the responder reaches ledger again")
        expect(not self.psql(LEDGER.v4), "and nobody else comes in")

    def release(self):
        pins = self.lab.pins("ledger")
        expect((pins / "link-socket_in").exists(), "while isolated the guard stands at the sockets")
        done = self.perimeter.cordon("release", "ledger", "--wait", "10s")
        expect(done.returncode == 0, "ledger is released", done.stdout + done.stderr)
        expect(holds(lambda: not (pins / "link-socket_in").exists() and not (pins / "link-socket_out").exists(), 5),
               "the guard at the sockets is gone")
        wire = Wire(self.lab, 5)
        wire.lay()
        spoken = wire.speak()
        expect(all(said["udp"] == "sent" and said["icmp"] == "sent" for said in spoken.values()) and wire.seen() != [],
               "ledger speaks to whom it likes", spoken)
        expect(not wire.knock(), "its services stay guarded on every interface")
        expect(holds(self.responder_reaches, 10), "trader reaches it as ever")

    def run(self):
        self.start()
        for part in (self.isolation, self.new_interface, self.responder_moves, self.reboot, self.release):
            try:
                part()
            except (LabError, subprocess.SubprocessError, OSError, ValueError) as error:
                expect(False, f"{part.__name__}: {type(error).__name__}: {error}")


def main():
    lab = Lab(os.environ.get("CORDON_LAB_NAME", "contn"))
    lab.down()
    try:
        lab.dir.mkdir(parents=True)
        lab.make_wires()
        services.start_postgresql(lab, "ledger")
        Containment(lab).run()
        if FAILURES:
            for name in ("ledger/cordon-node", "trader/cordon-node"):
                host, service = name.split("/")
                print(f"--- {name}\n{lab.log_tail(host, service, 30)}")
    finally:
        lab.down()
    print(f"{len(FAILURES)} failed")
    sys.exit(1 if FAILURES else 0)


main()
