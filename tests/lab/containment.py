#!/usr/bin/python3 -B
"""An isolated host on its own side: nothing comes or goes around the overlay, on interfaces of the future too, from
the first packet after a boot on, while responders reach it wherever they are; release brings everything back.

Controller, ledger (isolated) and trader (a responder) of the lab's usual company, and a stranger at the other end of
wires that are laid later.
"""
import os
import shutil
import signal
import subprocess
import time

import harness
import services
from harness import LEDGER, PYTHON, TRADER, LabTest, end, expect, succeeded
from hosts import kill, run, wait_for, wait_until
from wire import Wire

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

# Connects around the overlay and tells why it can't: HOST.
CONNECTOR = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 4444), 10)
except OSError as error:
    print(error.strerror)
"""


class Containment(LabTest):
    def isolated_silence(self, wire, what):
        """Nothing passes either way over the wire; then it is let go."""
        spoken, answered = wire.speak(), wire.knock()
        expect(all(isinstance(said, dict) and "sent" not in said.values() for said in spoken.values()),
               f"{what}: no program on ledger can send anything", spoken)
        expect(not answered, f"{what}: no service of ledger answers there")
        seen = wire.seen()
        expect(seen == [], f"{what}: the wire's other end saw no packet of ledger", seen)

    def up(self):
        services.start_postgresql(self.lab, "ledger")
        self.perimeter.up((LEDGER, TRADER), [TRADER.person], {"responders.toml": RESPONDERS})
        self.overlay = self.perimeter.overlay("ledger")

    def start(self):
        self.sign_in("trader")
        expect(self.responder_reaches(), "trader reaches ledger")

    def responder_reaches(self):
        return self.psql("trader", self.overlay)

    def knocks_around(self, when):
        """The database listens on every address: the guard is what keeps it from being reached around the overlay."""
        expect(not self.psql("trader", LEDGER.v4), f"{when}: nobody comes in around the overlay")

    def isolation(self):
        listener = self.lab.popen("trader", PYTHON, "-c",
                                  "import socket\ns=socket.create_server(('',4444))\nk=[]\n"
                                  "while True: k.append(s.accept())")
        holder = None
        try:
            wait_until(lambda: self.lab.on("ledger", PYTHON, "-c",
                                           f"import socket; socket.create_connection(('{TRADER.v4}',4444),1)")
                       .returncode == 0, 10, "trader's listener")
            holder = self.lab.popen("ledger", PYTHON, "-c", HOLDER, TRADER.v4, "4444",
                                    stdout=subprocess.PIPE, text=True)
            expect(holder.stdout.readline() == "holds\n", "a program on ledger holds a connection around the overlay")
            log = self.lab.log_tail("ledger", "cordon-node", 1000)
            sessions = log.count("session with")
            succeeded(self.perimeter.cordon("isolate", "ledger", "--reason", "test", "--wait", "10s"), "ledger is isolated")
            told, _ = holder.communicate(timeout=30)
            expect("abort" in told, "its connection is destroyed and the program told", told)
            expect('"near": true' in told, "a connection over loopback goes on", told)
            time.sleep(1)
            log = self.lab.log_tail("ledger", "cordon-node", 1000)
            expect(self.perimeter.ready("ledger") and log.count("session with") == sessions,
                   "ledger's node keeps its link to the controller", log)
        finally:
            end(listener, holder)
        expect(self.responder_reaches(), "a responder reaches ledger")
        self.knocks_around("isolated")
        done = self.lab.on("ledger", PYTHON, "-c", CONNECTOR, TRADER.v4)
        expect(done.stdout == "No route to host\n", "a program on ledger is told at once that it can't connect", done)
        done = self.lab.on("ledger", "ping", "-c1", "-W1", TRADER.v4)
        expect(done.returncode != 0, "ledger can't ping around the overlay", done)

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
        expect(wait_for(wire.guarded, 3), "the guard is on it once the daemon goes on")
        wire = Wire(self.lab, 2)
        wire.lay()
        expect(wait_for(wire.guarded, 3), "on the next new interface too")
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
            back = wait_for(self.responder_reaches, 45)
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
        # The kernel lets go of links without pins a little later.
        spoke = wait_for(lambda: any("sent" in said.values() for said in wire.speak().values()), 5)
        expect(spoke and wire.seen() != [], "(without pins ledger speaks: this test can see it)")

        done = self.lab.on("ledger", *self.perimeter.node_command("ledger", "guard"))
        expect(done.returncode == 0 and "isolated as before" in done.stdout, "before the network: cordon-node guard", done)
        wire = Wire(self.lab, 4)
        wire.lay()
        run("ip", "-n", ledger, "link", "set", "eth0", "up")
        run("ip", "-n", ledger, "addr", "replace", f"{LEDGER.v6}/64", "dev", "eth0", "nodad")
        expect(not wire.guarded(), "the network comes up, no daemon runs")
        self.isolated_silence(wire, "after a boot")
        self.knocks_around("after a boot")
        self.perimeter.start_node("ledger")
        self.perimeter.wait_ready("ledger")
        expect(wait_for(wire.guarded, 3), "the daemon adopts it and guards the new interface")
        expect(wait_for(self.responder_reaches, 30), "the responder reaches ledger again")
        self.knocks_around("with the daemon again")

    def release(self):
        pins = self.lab.pins("ledger")
        expect((pins / "link-socket_in").exists(), "while isolated the guard stands at the sockets")
        succeeded(self.perimeter.cordon("release", "ledger", "--wait", "10s"), "ledger is released")
        expect(wait_for(lambda: not (pins / "link-socket_in").exists() and not (pins / "link-socket_out").exists(), 5),
               "the guard at the sockets is gone")
        wire = Wire(self.lab, 5)
        wire.lay()
        spoken = wire.speak()
        expect(all(said["udp"] == "sent" and said["icmp"] == "sent" for said in spoken.values()) and wire.seen() != [],
               "ledger speaks to whom it likes", spoken)
        expect(not wire.knock(), "its services stay guarded on every interface")
        expect(wait_for(self.responder_reaches, 10), "trader reaches it as ever")

    def parts(self):
        return (self.start, self.isolation, self.new_interface, self.responder_moves, self.reboot, self.release)


harness.play(Containment)
