#!/usr/bin/python3 -B
"""WireGuard keys rotate under a TCP stream and 1,000 packets a second each way; preshared keys are set; the tunnel's
MTU follows the underlay's.

        trader ══ tunnel (wireguard-go, or the kernel's) ══ ledger      one psql COPY, datagrams both ways
           └──────────── controller, which leads ────────────┘
"""
import json
import os
import subprocess
import time
from pathlib import Path

import harness
import measure
from datagrams import BothWays
from harness import PYTHON, LabTest, expect, note, succeeded
from hosts import kill, patient, run, wait_until

RATE = round(1000 / patient(1))  # packets a second each way
MOST_LOST = 5  # packets one way, by each turn
MOST_LOST_DYING = 200  # what dies in the midst of a turn finishes it when it starts again

# Sleeps a millisecond again and again; prints when it woke later than two, and how late, once its input is closed.
SLEEPER = """
import json, select, sys, time
late = []
while not select.select([sys.stdin], [], [], 0)[0]:
    due = time.monotonic() + 0.001
    time.sleep(0.001)
    now = time.monotonic()
    if now > due + 0.001:
        late.append([due, now])
print(json.dumps(late))
"""


class Standstills:
    """When this machine had no CPU for an ordinary process: what comes to a daemon that waits for one isn't counted."""

    def __init__(self):
        self.process = subprocess.Popen([PYTHON, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        self.late = json.loads(self.process.communicate(timeout=patient(30))[0])

    def packets(self, begun, ended):
        """What is sent one way in those that touch this time: several daemons wait one after the other."""
        return round(RATE * sum(to - since for since, to in self.late if since <= ended and to >= begun))


class Rotation(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.turns = []  # what, from, to

    def key(self, host):
        return self.perimeter.devices()[host]["tunnel_key"]

    def ask_rotation(self, host):
        succeeded(self.perimeter.cordon("device", "rotate", host), f"an operator asks {host} for a new key")

    def turn(self, what, hosts, meanwhile=lambda: None):
        before = {host: self.key(host) for host in hosts}
        begun = time.monotonic()
        for host in hosts:
            self.ask_rotation(host)
        meanwhile()
        wait_until(lambda: all(self.key(host) != before[host] for host in hosts), 40, f"{what}: new keys", interval=0.1)
        took = time.monotonic() - begun
        time.sleep(2.5)  # the old keys are gone, and what they might have cost has been lost
        self.turns.append((what, begun, time.monotonic(), took))

    def restart_controller(self):
        kill(self.lab.pid("controller", "cordon-controller"))
        self.perimeter.start_controller()

    def kill_node(self, host):
        kill(self.lab.pid(host, "cordon-node"))
        self.perimeter.start_node(host)

    def preshared(self, host):
        told = run("nsenter", f"--net=/run/netns/{self.lab.netns(host)}", "wg", "show", self.lab.interface(host),
                   "preshared-keys").stdout
        return dict(line.split("\t") for line in told.splitlines())

    def check_preshared(self, when):
        keys = {host: self.key(host) for host in ("trader", "ledger")}
        at_trader = self.preshared("trader").get(keys["ledger"], "(none)")
        at_ledger = self.preshared("ledger").get(keys["trader"], "(none)")
        expect(at_trader == at_ledger != "(none)", f"{when}: both ends have the pair's preshared key",
               f"trader {at_trader != '(none)'}, ledger {at_ledger != '(none)'}")
        expect(set(self.preshared("ledger")) == {self.key(h) for h in ("trader", "web")},
               f"{when}: no old key stays at ledger")
        return at_trader

    def secret_is_secret(self, secret):
        exported = self.perimeter.cordon("audit", "export")
        (self.lab.dir / "audit.jsonl").write_text(exported.stdout)
        expect(exported.returncode == 0 and "wireguard key offered" in exported.stdout, "the log tells of the turns",
               exported.stderr)
        found = subprocess.run(["grep", "-rlF", secret, str(self.lab.dir)], capture_output=True, text=True).stdout
        places = {Path(path).name for path in found.split()}
        expect(places == {"preshared.keys"}, "preshared keys stand in the nodes' own file alone", found)
        for path in found.split():
            expect(os.stat(path).st_mode & 0o777 == 0o600, f"{path} is 0600")

    def mtu(self, host):
        return json.loads(run("ip", "-n", self.lab.netns(host), "-j", "link", "show", self.lab.interface(host)).stdout
                          )[0]["mtu"]

    def follow_mtu(self):
        for underlay, overlay in ((1400, 1320), (1300, 1280), (1500, 1420)):
            run("ip", "-n", self.lab.netns("ledger"), "link", "set", "eth0", "mtu", str(underlay))
            begun = time.monotonic()
            wait_until(lambda: self.mtu("ledger") == overlay, 5, f"MTU {overlay} above {underlay}")
            expect(True, f"underlay {underlay}: tunnel {overlay}, after {(time.monotonic() - begun) * 1000:.0f} ms")

    def everything(self):
        self.sign_in("trader")
        address = self.perimeter.overlay("ledger")
        kill(self.lab.pid("ledger", "echo"))  # its port is ours
        stream = measure.Stream(self.lab, "trader", address)
        wait_until(stream.flows, 10, "the stream to begin")
        for host in ("trader", "ledger"):
            nice = os.getpriority(os.PRIO_PROCESS, self.lab.pid(host, "cordon-node"))
            expect(nice == -10, f"{host}'s daemon is served before what is ordinary", nice)
        datagrams = BothWays(self.lab, address, RATE)
        standstills = Standstills()
        try:
            before = self.check_preshared("from the start")
            time.sleep(2)
            quiet = (time.monotonic() - 2, time.monotonic())
            for round_ in (1, 2, 3):
                self.turn(f"ledger turns ({round_})", ["ledger"])
                self.turn(f"trader turns ({round_})", ["trader"])
            expect(self.check_preshared("after the turns") != before, "the preshared key turned with them")
            counted = len(self.turns)
            self.turn("both turn at once", ["ledger", "trader"])
            self.turn("the controller is killed meanwhile", ["ledger"], self.restart_controller)
            self.turn("ledger's node is killed meanwhile", ["ledger"], lambda: self.kill_node("ledger"))
            self.turn("trader's node is killed meanwhile", ["ledger"], lambda: self.kill_node("trader"))
            secret = self.check_preshared("after all of it")
            expect(stream.flows(), "the TCP stream flows on", f"{stream.bytes} bytes")
            expect(stream.process.poll() is None, "its connection is the first one still")
        finally:
            ways = datagrams.end()
            standstills.end()
            broken = stream.process.poll() is not None
            stream.end()
        expect(not broken, "TCP never broke")
        (to, _), (back, _) = ways
        lost = [way[1] for way in ways]
        note(f"{to} packets to ledger, {back} from it; "
             f"{sum(quiet[0] <= at < quiet[1] for way in lost for at in way)} lost in 2 s without a turn")
        worst = []  # packets one way, and what the machine's own standstill explains
        for what, begun, ended, took in self.turns:
            of = [[at for at in way if begun <= at < ended] for way in lost]
            stood = max((standstills.packets(way[0] - 0.05, way[-1] + 0.05) for way in of if way), default=0)
            note(f"{what}: lost {len(of[0])} to ledger, {len(of[1])} from it; {took * 1000:.0f} ms from the order"
                 + (f"; the machine stood still for {stood} packets" if stood else ""))
            worst.append((max(map(len, of)), stood))
        self.judge(worst[:counted], worst[counted:])
        self.secret_is_secret(secret)
        self.follow_mtu()

    @staticmethod
    def judge(single, dying):
        """What turns cost, in packets one way: `single` those that nothing disturbed."""
        if patient(1) > 1:  # emulated CPUs: a daemon's milliseconds are a tenth of a second, its start is seconds
            expect(max(single)[0] < RATE, f"a turn loses less than a second's packets: {single}")
            return
        expect(all(lost <= MOST_LOST + stood for lost, stood in single),
               f"a turn loses at most {MOST_LOST} ms of packets one way, and what the machine stood still: {single}")
        expect(all(lost <= MOST_LOST_DYING + stood for lost, stood in dying), f"whatever dies meanwhile: {dying}")

    def parts(self):
        return [self.everything]


harness.play(Rotation)
