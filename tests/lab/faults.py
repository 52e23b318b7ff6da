#!/usr/bin/python3 -B
"""What breaks under a running node is found, restored and told: the netlink monitor overflows, the overlay interface is
deleted, wireguard-go is killed, an underlay interface vanishes, somebody takes the filter away or unpins a map, a map
refuses a row half way through a change, more events come than the ring holds.

Controller, ledger and trader of the lab's usual company.
"""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import harness
import measure
import services
import topology
from harness import LEDGER, PYTHON, TRADER, LabTest, expect, note, succeeded
from hosts import kill, run, wait_for, wait_until

GRANTS = 64  # places in ledger's map
NEW_GRANT = """
[segments.laptops]
members = ["tag:laptop"]

[[allow]]
name = "laptops-to-probe"
from = { segments = ["laptops"] }
to   = ["settlement/probe"]
"""
# An echo request that no hook at sockets sees: the filter alone drops it.
RAW_PING = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.sendto(bytes([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), (sys.argv[1], 0))
"""
# A datagram from each of so many ports, a thousand a second.
MANY_FLOWS = """
import socket, sys, time
begun = time.monotonic()
for n in range(int(sys.argv[3])):
    time.sleep(max(0, begun + n / 1000 - time.monotonic()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
"""


class Faults(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.ns = lab.netns("ledger")

    def daemon(self):
        return self.lab.pid("ledger", "cordon-node")

    def index(self, name):
        done = run("ip", "-n", self.ns, "-j", "link", "show", name, check=False)
        return json.loads(done.stdout)[0]["ifindex"] if done.returncode == 0 and done.stdout.strip() else None

    def pinned(self, kind, index=""):
        place = f"{kind}-{index}-" if index else f"{kind}_"
        return all(self.lab.pinned("ledger", place + way) for way in ("in", "out"))

    def trader_reaches(self):
        return self.psql("trader", self.overlay)

    def alarms(self):
        return (self.perimeter.node_status("ledger") or {}).get("alarms", [])

    def lost_by_monitor(self):
        """Messages that the kernel dropped at the daemon's netlink sockets."""
        pid = self.daemon()
        inodes = set()
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(fd)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        rows = [line.split() for line in Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]]
        return sum(int(row[8]) for row in rows if row[9] in inodes)

    def counters(self):
        told = self.perimeter.device_cordon("ledger", "--json", "counters", "--here", uid=0).stdout
        return [json.loads(line) for line in told.splitlines()]

    def events_lost(self):
        return next(line["events"] for line in self.counters() if line["counter"] == "events_lost")

    def dropped(self):
        return sum(line["packets"] for line in self.counters() if line["counter"] == "reason" and line["name"] == "unknown target")

    def drops_what_nobody_granted(self):
        """Does a packet of ledger's own, that no hook at sockets sees, meet the filter?"""
        before = self.dropped()
        self.lab.on("ledger", PYTHON, "-c", RAW_PING, self.perimeter.overlay("trader"))
        return self.dropped() == before + 1

    def up(self):
        services.start_postgresql(self.lab, "ledger")
        self.perimeter.up((LEDGER, TRADER), [TRADER.person])
        self.overlay = self.perimeter.overlay("ledger")

    def start(self):
        self.sign_in("trader")
        expect(self.trader_reaches(), "trader reaches ledger")

    def monitor_overflows(self):
        run("ip", "-n", self.ns, "link", "add", "noise", "type", "veth", "peer", "name", "noise2")
        daemon = self.daemon()
        os.kill(daemon, signal.SIGSTOP)
        try:
            batch = "".join(f"addr add 10.9.{i // 250}.{i % 250 + 1}/32 dev noise\n" for i in range(3000))
            subprocess.run(["ip", "-n", self.ns, "-batch", "-"], input=batch, text=True, check=True)
            run("ip", "-n", self.ns, "link", "add", "late", "type", "veth", "peer", "name", "late2")
            lost = self.lost_by_monitor()
        finally:
            os.kill(daemon, signal.SIGCONT)
        expect(lost > 0, "the monitor's socket overflows, and what came last is lost", lost)
        index = self.index("late")
        expect(wait_for(lambda: self.pinned("guard", index), 2), "the interface that nobody told of has the guard")
        run("ip", "-n", self.ns, "link", "del", "noise")
        run("ip", "-n", self.ns, "link", "del", "late")
        expect(wait_for(lambda: not self.pinned("guard", index), 2), "and once it is gone its pins are")

    def comes_back(self, what, before):
        interface = self.lab.interface("ledger")
        expect(wait_for(lambda: self.index(interface) not in (None, before), 15), f"{what}: the interface is there again")
        expect(wait_for(self.trader_reaches, 40), f"{what}: trader reaches ledger again")
        expect(self.pinned("overlay"), f"{what}: with the filter on it")
        expect(any("made anew" in alarm for alarm in self.alarms()), f"{what}: it is an alarm", self.alarms())
        listed = self.perimeter.cordon("node", "list").stdout + str(self.perimeter.ask("node", "list"))
        expect("made anew" in listed, f"{what}: the controller is told", listed)

    def overlay_deleted(self):
        before = self.index(self.lab.interface("ledger"))
        run("ip", "-n", self.ns, "link", "del", self.lab.interface("ledger"))
        self.comes_back("the overlay interface is deleted", before)

    def wireguard_killed(self):
        pid_file = next((self.lab.host_dir("ledger") / "run").glob("wireguard-go.*.pid"), None)
        if pid_file is None:
            note("(the kernel carries the tunnel: nothing to kill)")
            return
        before = self.index(self.lab.interface("ledger"))
        kill(int(pid_file.read_text().split()[0]))
        self.comes_back("wireguard-go is killed", before)

    def underlay_vanishes(self):
        inet = self.lab.netns("inet")
        before = self.index("eth0")
        daemon = self.daemon()
        run("ip", "-n", inet, "link", "del", "v-ledger")
        expect(wait_for(lambda: not self.pinned("guard", before), 5), "eth0 vanishes: its pins go")
        expect(self.daemon() == daemon, "and the daemon lives", self.daemon())
        run("ip", "-n", inet, "link", "add", "v-ledger", "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        run("ip", "-n", inet, "link", "set", "v-ledger", "master", "br0", "up")
        run("ip", "-n", self.ns, "addr", "add", f"{LEDGER.v4}/24", "dev", "eth0")
        run("ip", "-n", self.ns, "addr", "add", f"{LEDGER.v6}/64", "dev", "eth0", "nodad")
        run("ip", "-n", self.ns, "link", "set", "eth0", "up")
        expect(wait_for(lambda: self.pinned("guard", self.index("eth0")), 3), "a new eth0 has the guard")
        expect(wait_for(self.trader_reaches, 60), "trader reaches ledger over it")
        expect(wait_for(lambda: self.perimeter.ready("ledger"), 60), "ledger's node is connected again")

    # ---- the filter and its maps ----

    def is_mended(self, what, broken, mended, word):
        """`broken()` now, or this would show nothing; soon `mended()`, and an alarm with this word."""
        expect(broken(), what)
        begun = time.monotonic()
        found = wait_for(mended, 2.5)  # looked at each second
        expect(found, f"{what}: it is as it was after {(time.monotonic() - begun) * 1000:.0f} ms")
        expect(wait_for(lambda: any(word in alarm for alarm in self.alarms()), 3), f"{what}: it is an alarm", self.alarms())
        expect(wait_for(lambda: word in str(self.perimeter.ask("node", "list")), 5), f"{what}: the controller is told",
               self.perimeter.ask("node", "list"))

    def filter_taken_away(self):
        expect(self.drops_what_nobody_granted(), "ledger's filter drops what nobody granted")
        pin = self.lab.pins("ledger") / "link-overlay_out"
        if pin.exists():
            run("bpftool", "link", "detach", "pinned", str(pin))
        else:
            run("ip", "netns", "exec", self.ns, "tc", "qdisc", "del", "dev", self.lab.interface("ledger"), "clsact")
        self.is_mended("somebody takes the filter away", lambda: not self.drops_what_nobody_granted(),
                       self.drops_what_nobody_granted, "attached again")

    def map_unpinned(self):
        pin = next(self.lab.pins("ledger").glob("map-grants-*"))
        pin.unlink()
        self.is_mended("somebody unpins a map", lambda: not pin.exists(), pin.exists, "pinned again")
        expect(self.trader_reaches(), "trader reaches ledger")

    def fill_grants(self):
        """Puts rows of nobody's into ledger's map of grants until it takes no more."""
        pin = next(self.lab.pins("ledger").glob("map-grants-*"))
        for row in range(GRANTS + 1):
            key = f"{0x77 << 56 | row:016x}" + "00" * 8
            done = run("bpftool", "map", "update", "pinned", str(pin), "key", "hex", *re.findall("..", key), "value", "hex",
                       *["00"] * 12, check=False)
            if done.returncode != 0:
                return expect(row > 0, f"the map of grants is full with {row} rows that somebody put there", done)
        return expect(False, "the map of grants becomes full")

    def last_nack(self):
        return next(node["last_nack"] for node in self.perimeter.ask("node", "list") if node["device"] == "ledger")

    def refusal(self):
        """What the controller heard when ledger refused a change; the whole state that it sends then may be held soon."""
        return re.search(r"ledger refused sequence .*", self.lab.log_tail("controller", "cordon-controller", 1000))

    def map_refuses(self):
        config = self.lab.host_dir("ledger") / "node.toml"
        config.write_text(re.sub(r"^grants = \d+$", f"grants = {GRANTS}", config.read_text(), flags=re.MULTILINE))
        kill(self.daemon(), signal.SIGTERM)
        self.perimeter.start_node("ledger")
        self.perimeter.wait_ready("ledger")
        stream = measure.Stream(self.lab, "trader", self.overlay)
        try:
            wait_until(stream.flows, 10, "the stream to begin")
            self.fill_grants()
            (self.lab.host_dir("controller") / "policy" / "laptops.toml").write_text(NEW_GRANT)
            applied = self.perimeter.apply_policy(confirm=False)
            expect(wait_for(self.refusal, 10), "the node refuses what it can't write and says why")
            note(self.refusal()[0])
            expect(stream.flows() and self.trader_reaches(), "what it held goes on")
            expect(self.drops_what_nobody_granted(), "what nobody granted is dropped")
            # A whole state takes out the rows that are nobody's.
            expect(wait_for(lambda: not self.last_nack(), 30), "the whole state that follows is held", self.last_nack())
            succeeded(self.perimeter.cordon("policy", "confirm", str(applied["revision"])), "the policy is confirmed")
            expect(stream.flows() and stream.process.poll() is None, "and the stream is the first one still")
        finally:
            stream.end()

    def ring_full(self):
        before = self.events_lost()
        os.kill(self.daemon(), signal.SIGSTOP)
        try:
            self.lab.on("trader", PYTHON, "-c", MANY_FLOWS, self.overlay, str(topology.PROBE_PORT), "3500", uid=TRADER.uid)
            expect(self.trader_reaches(), "the ring is full: trader reaches ledger all the same")
        finally:
            os.kill(self.daemon(), signal.SIGCONT)
        expect(wait_for(lambda: self.events_lost() > before, 10), "the events that found no room are counted",
               self.counters())
        note(f"{self.events_lost() - before} events lost")

    def parts(self):
        return (self.start, self.monitor_overflows, self.overlay_deleted, self.wireguard_killed, self.underlay_vanishes,
                self.filter_taken_away, self.map_unpinned, self.map_refuses, self.ring_full)


harness.play(Faults)
