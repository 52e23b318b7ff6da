#!/usr/bin/python3 -B
"""What breaks under a running node is found, restored and told: the netlink monitor overflows, the overlay interface is
deleted, wireguard-go is killed, an underlay interface vanishes.

Controller, ledger and trader of the lab's usual company.
"""
import json
import os
import signal
import subprocess
from pathlib import Path

import harness
import services
from harness import LEDGER, TRADER, LabTest, expect, note
from hosts import kill, run, wait_for


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

    def parts(self):
        return (self.start, self.monitor_overflows, self.overlay_deleted, self.wireguard_killed, self.underlay_vanishes)


harness.play(Faults)
