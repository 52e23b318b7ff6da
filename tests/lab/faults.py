#!/usr/bin/python3
"""What breaks under a running node is found, restored and told: the netlink monitor overflows, the overlay interface is
deleted, wireguard-go is killed, an underlay interface vanishes.

Controller, ledger and trader of the lab's usual company.
"""
import json
import os
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


class Faults:
    def __init__(self, lab):
        self.lab = lab
        self.perimeter = Perimeter(lab)
        self.ns = lab.netns("ledger")

    def daemon(self):
        return self.lab.pid("ledger", "cordon-node")

    def index(self, name):
        done = run("ip", "-n", self.ns, "-j", "link", "show", name, check=False)
        return json.loads(done.stdout)[0]["ifindex"] if done.returncode == 0 and done.stdout.strip() else None

    def pinned(self, kind, index=""):
        name = f"link-{kind}-{index}-" if index else f"link-{kind}_"
        return all((self.lab.pins("ledger") / f"{name}{way}").exists() for way in ("in", "out"))

    def trader_reaches(self):
        try:
            return self.lab.on("trader", "psql", "-h", self.overlay, "-U", "postgres", "-Atc", "select 1",
                               uid=TRADER.uid, timeout=10).returncode == 0
        except subprocess.TimeoutExpired:
            return False

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

    def start(self):
        self.perimeter.write_controller_config()
        self.perimeter.start_controller()
        self.perimeter.apply_policy()
        self.perimeter.add_user("trader@acme.example")
        for host in (LEDGER, TRADER):
            self.perimeter.write_node_config(host)
            self.perimeter.enrol(host, self.perimeter.token(host, approve=True))
            self.perimeter.start_node(host.name)
        for host in (LEDGER, TRADER):
            self.perimeter.wait_ready(host.name)
        self.overlay = next(a for a in self.perimeter.devices()["ledger"]["addresses"] if ":" not in a)
        done = self.perimeter.login("trader")
        expect(done.returncode == 0 and self.trader_reaches(), "trader signs in and reaches ledger", done.stderr)

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
        expect(holds(lambda: self.pinned("guard", index), 2), "the interface that nobody told of has the guard")
        run("ip", "-n", self.ns, "link", "del", "noise")
        run("ip", "-n", self.ns, "link", "del", "late")
        expect(holds(lambda: not self.pinned("guard", index), 2), "and once it is gone its pins are")

    def comes_back(self, what, before):
        interface = self.lab.interface("ledger")
        expect(holds(lambda: self.index(interface) not in (None, before), 15), f"{what}: the interface is there again")
        expect(holds(self.trader_reaches, 40), f"{what}: trader reaches ledger again")
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
            print("      (the kernel carries the tunnel: nothing to kill)")
            return
        before = self.index(self.lab.interface("ledger"))
        kill(int(pid_file.read_text().split()[0]))
        self.comes_back("wireguard-go is killed", before)

    def underlay_vanishes(self):
        inet = self.lab.netns("inet")
        before = self.index("eth0")
        daemon = self.daemon()
        run("ip", "-n", inet, "link", "del", "v-ledger")
        time.sleep(1.5)
        expect(self.daemon() == daemon and not self.pinned("guard", before), "eth0 vanishes: its pins go, the daemon lives")
        run("ip", "-n", inet, "link", "add", "v-ledger", "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        run("ip", "-n", inet, "link", "set", "v-ledger", "master", "br0", "up")
        run("ip", "-n", self.ns, "addr", "add", f"{LEDGER.v4}/24", "dev", "eth0")
        run("ip", "-n", self.ns, "addr", "add", f"{LEDGER.v6}/64", "dev", "eth0", "nodad")
        run("ip", "-n", self.ns, "link", "set", "eth0", "up")
        expect(holds(lambda: self.pinned("guard", self.index("eth0")), 3), "a new eth0 has the guard")
        expect(holds(self.trader_reaches, 60), "trader reaches ledger over it")
        expect(holds(lambda: self.perimeter.ready("ledger"), 60), "ledger's node is connected again")

    def run(self):
        self.start()
        for part in (self.monitor_overflows, self.overlay_deleted, self.wireguard_killed, self.underlay_vanishes):
            try:
                part()
            except (LabError, subprocess.SubprocessError, OSError, ValueError) as error:
                expect(False, f"{part.__name__}: {type(error).__name__}: {error}")


def main():
    lab = Lab(os.environ.get("CORDON_LAB_NAME", "fault"))
    lab.down()
    try:
        lab.dir.mkdir(parents=True)
        lab.make_wires()
        services.start_postgresql(lab, "ledger")
        Faults(lab).run()
        if FAILURES:
            for name in ("ledger/cordon-node", "trader/cordon-node"):
                host, service = name.split("/")
                print(f"--- {name}\n{lab.log_tail(host, service, 30)}")
    finally:
        lab.down()
    print(f"{len(FAILURES)} failed")
    sys.exit(1 if FAILURES else 0)


main()
