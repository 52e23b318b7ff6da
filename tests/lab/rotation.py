#!/usr/bin/python3 -B
"""WireGuard keys rotate, asked for by an operator or by their age, one host's or three hosts', under TCP streams and
1,000 packets a second each way; preshared keys turn with them; the tunnel's MTU follows the underlay's.

        trader ══ tunnels (wireguard-go, or the kernel's) ══ ledger      psql COPY, datagrams both ways
           ╚════════════════ web ═════════════════════════════╝          (web's in the second part)
                     controller, which leads
"""
import itertools
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import harness
import measure
from datagrams import BothWays
from harness import LEDGER, NOBODY, TRADER, LabTest, expect, succeeded
from hosts import kill, patient, run, wait_until
from standstills import Standstills
import services
import topology

RATE = round(1000 / patient(1))  # packets a second each way
MOST_LOST = 5  # packets one way, by each turn
MOST_LOST_DYING = 200  # what dies in the midst of a turn finishes it when it starts again
MESH = (LEDGER, topology.BY_NAME["web"], TRADER)
NAMES = tuple(host.name for host in MESH)

# Every two of the three have something to say to each other: who, to whom, over which port.
MESH_PAIRS = (("trader", "ledger", topology.PROBE_PORT), ("web", "ledger", 7006), ("trader", "web", 7006))
MESH_POLICY = """
[segments.mesh]
members = ["tag:settlement", "tag:web"]
[segments.mesh.services]
probe = ["udp/7006"]

[[allow]]
name = "traders-to-mesh"
from = { groups = ["traders"] }
to   = ["mesh/*"]

[[allow]]
name = "web-to-mesh"
from = { segments = ["web"] }
to   = ["mesh/*"]
"""


class Rotation(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.turns = []  # what, from, to, how long until the new keys, the most that it may lose one way

    def up(self):
        services.start_postgresql(self.lab, "ledger")
        self.perimeter.up(MESH, [TRADER.person], {"mesh.toml": MESH_POLICY})

    def key(self, host):
        return self.perimeter.devices()[host]["tunnel_key"]

    # ---- what turns ----

    def turn(self, what, hosts, meanwhile=lambda: None, most_lost=MOST_LOST, order=None):
        before = {host: self.key(host) for host in hosts}
        begun = time.monotonic()
        for host in hosts:
            (order or self.ask_rotation)(host)
        meanwhile()
        wait_until(lambda: all(self.key(host) != before[host] for host in hosts), 40, f"{what}: new keys", interval=0.1)
        took = time.monotonic() - begun
        time.sleep(2.5)  # the old keys are gone, and what they might have cost has been lost
        self.turns.append((what, begun, time.monotonic(), took, most_lost))

    def ask_rotation(self, host):
        succeeded(self.perimeter.cordon("device", "rotate", host), f"an operator asks {host} for a new key")

    def let_age(self, host):
        """The host's key has served for two hours, of the one that node.toml gives it; the file's time says since when."""
        config = self.lab.host_dir(host) / "node.toml"
        kill(self.lab.pid(host, "cordon-node"), signal.SIGTERM)
        config.write_text(re.sub(r"^\[tunnel\]\n(rotate_keys.*\n)?", '[tunnel]\nrotate_keys = "1h"\n', config.read_text(),
                                 flags=re.MULTILINE))
        since = time.time() - 2 * 3600
        os.utime(self.lab.host_dir(host) / "state" / "wireguard.key", (since, since))
        self.perimeter.start_node(host)

    def restart_controller(self):
        kill(self.lab.pid("controller", "cordon-controller"))
        self.perimeter.start_controller()

    def kill_node(self, host):
        kill(self.lab.pid(host, "cordon-node"))
        self.perimeter.start_node(host)

    # ---- what must hold ----

    def preshared(self, host):
        """What the host's tunnel has: its peers' keys -> the preshared keys."""
        told = run("nsenter", f"--net=/run/netns/{self.lab.netns(host)}", "wg", "show", self.lab.interface(host),
                   "preshared-keys").stdout
        return dict(line.split("\t") for line in told.splitlines())

    def pairs(self, when):
        """Each pair's preshared key, which both its ends have, and no host any other peer."""
        keys = {host: self.key(host) for host in NAMES}
        held = {host: self.preshared(host) for host in NAMES}
        for host in NAMES:
            expect(set(held[host]) == {keys[other] for other in NAMES if other != host},
                   f"{when}: {host}'s peers are the two others, under the keys that they have now", list(held[host]))
        out = {}
        for one, other in itertools.combinations(NAMES, 2):
            ends = held[one].get(keys[other], "(none)"), held[other].get(keys[one], "(none)")
            expect(ends[0] == ends[1] != "(none)", f"{when}: {one} and {other} have one preshared key",
                   [end != "(none)" for end in ends])
            out[one, other] = ends[0]
        return out

    def pairs_are_others(self, when, before):
        now = self.pairs(when)
        expect(not set(now.values()) & set(before.values()), f"{when}: each pair has another preshared key")
        return now

    def secrets_are_secret(self, secrets):
        exported = self.perimeter.cordon("audit", "export")
        (self.lab.dir / "audit.jsonl").write_text(exported.stdout)
        expect(exported.returncode == 0 and "wireguard key offered" in exported.stdout, "the log tells of the turns",
               exported.stderr)
        found = set()
        for secret in secrets:
            found |= set(subprocess.run(["grep", "-rlF", secret, str(self.lab.dir)], capture_output=True,
                                        text=True).stdout.split())
        expect({Path(path).name for path in found} == {"preshared.keys"},
               "preshared keys stand in the nodes' own files alone", found)
        for path in found:
            expect(os.stat(path).st_mode & 0o777 == 0o600, f"{path} is 0600")

    def under_traffic(self, pairs, databases, happen):
        """`happen` while datagrams go both ways between `pairs`, and a COPY to each of `databases`' hosts; then what
        was lost is judged turn by turn."""
        streams = [measure.Stream(self.lab, host, self.perimeter.overlay("ledger"), topology.BY_NAME[host].uid or NOBODY)
                   for host in databases]
        for stream in streams:
            wait_until(stream.flows, 10, "the stream to begin")
        datagrams = [BothWays(self.lab, self.perimeter.overlay(to), RATE, of, to, port) for of, to, port in pairs]
        standstills = Standstills()
        self.turns.clear()
        try:
            happen()
            for host, stream in zip(databases, streams):
                expect(stream.flows(), f"{host}'s TCP stream flows on", f"{stream.bytes} bytes")
        finally:
            ways = [way for both in datagrams for way in both.end()]
            standstills.end()
            broken = [stream.process.poll() is not None for stream in streams]
            for stream in streams:
                stream.end()
        expect(not any(broken), "TCP never broke: it is the first connection still", broken)
        names = [f"{a} to {b}" for of, to, _ in pairs for a, b in ((of, to), (to, of))]
        sent, since = min(way[0] for way in ways), self.turns[-1][2] - self.turns[0][1]
        expect(sent > 0.9 * RATE * since, f"at least {sent} packets each way in {since:.0f} s")
        for turn in self.turns:
            self.judge(turn, dict(zip(names, ways)), standstills)

    @staticmethod
    def judge(turn, ways, standstills):
        what, begun, ended, took, most = turn
        lost = {name: [at for at in way[1] if begun <= at < ended] for name, way in ways.items()}
        stood = {name: standstills.packets(RATE, at[0] - 0.05, at[-1] + 0.05) if at else 0 for name, at in lost.items()}
        told = ", ".join(f"{len(at)} {name}" + (f" (stood still for {stood[name]})" if stood[name] else "")
                         for name, at in lost.items())
        if patient(1) > 1:  # emulated CPUs: a daemon's milliseconds are a tenth of a second, its start is seconds
            expect(most > MOST_LOST or all(len(at) < RATE + stood[name] for name, at in lost.items()),
                   f"{what}: loses less than a second's packets, and what the machine stood still; lost {told}")
            return
        expect(all(len(at) <= most + stood[name] for name, at in lost.items()),
               f"{what}: loses at most {most} packets one way, and what the machine stood still; lost {told}; "
               f"{took * 1000:.0f} ms from the order")

    # ---- what happens ----

    def one_after_the_other(self):
        self.sign_in("trader")
        for host in ("trader", "ledger"):
            nice = os.getpriority(os.PRIO_PROCESS, self.lab.pid(host, "cordon-node"))
            expect(nice == -10, f"{host}'s daemon is served before what is ordinary", nice)
        before = self.pairs("from the start")

        def happen():
            begun = time.monotonic()
            time.sleep(2)
            self.turns.append(("nothing turns", begun, time.monotonic(), 0, MOST_LOST))
            for round_ in (1, 2, 3):
                self.turn(f"ledger turns ({round_})", ["ledger"])
                self.turn(f"trader turns ({round_})", ["trader"])
            self.turn("both turn at once", ["ledger", "trader"], most_lost=MOST_LOST_DYING)
            self.turn("the controller is killed meanwhile", ["ledger"], self.restart_controller, MOST_LOST_DYING)
            self.turn("ledger's node is killed meanwhile", ["ledger"], lambda: self.kill_node("ledger"), MOST_LOST_DYING)
            self.turn("trader's node is killed meanwhile", ["ledger"], lambda: self.kill_node("trader"), MOST_LOST_DYING)

        self.under_traffic(MESH_PAIRS[:1], ["trader"], happen)
        self.secrets_are_secret(self.pairs_are_others("after all of it", before).values())

    def all_three(self):
        before = self.pairs("before three turn")

        def happen():
            self.turn("ledger's key is old", ["ledger"], order=self.let_age)
            self.turn("trader's key is old", ["trader"], order=self.let_age)
            self.turn("all three are asked at once", NAMES)
            kept = {host: self.key(host) for host in NAMES}
            time.sleep(3)
            expect({host: self.key(host) for host in NAMES} == kept, "a key that is young stays")

        self.under_traffic(MESH_PAIRS, ["trader", "web"], happen)
        self.pairs_are_others("after three turned", before)

    def mtu(self, host):
        return json.loads(run("ip", "-n", self.lab.netns(host), "-j", "link", "show", self.lab.interface(host)).stdout
                          )[0]["mtu"]

    def follow_mtu(self):
        for underlay, overlay in ((1400, 1320), (1300, 1280), (1500, 1420)):
            run("ip", "-n", self.lab.netns("ledger"), "link", "set", "eth0", "mtu", str(underlay))
            begun = time.monotonic()
            wait_until(lambda: self.mtu("ledger") == overlay, 5, f"MTU {overlay} above {underlay}")
            expect(True, f"underlay {underlay}: tunnel {overlay}, after {(time.monotonic() - begun) * 1000:.0f} ms")

    def parts(self):
        return [self.one_after_the_other, self.all_three, self.follow_mtu]


harness.play(Rotation)
