#!/usr/bin/python3 -B
"""What `cordon flows`, `drops` and `counters` say is what happened: allowed and denied flows, a flood of denied ones,
people and machines, with the controller and without it.

Controller, ledger, web, trader and clerk of the lab's usual company.
"""
import json
import signal
import subprocess

import harness
import topology
from harness import PYTHON, LabTest, expect, note, refused, succeeded
from hosts import LabError, kill, wait_for, wait_until

FLOOD = 5_000

# One process tries to connect so many times: each try is refused at once, and counted once.
FLOODER = """
import socket, sys
to, port, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
refused = 0
for _ in range(times):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        try:
            s.connect((to, port))
        except OSError as error:
            refused += error.errno == 113
print(refused)
"""

# Datagrams with one source port: a socket that is not connected is told nothing, its packets are dropped.
SENDER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for _ in range(int(sys.argv[3])):
        try:
            s.sendto(b"x" * 32, (sys.argv[1], int(sys.argv[2])))
        except OSError:
            pass
"""


def counted(flows):
    return sum(1 + flow["suppressed"] for flow in flows)


def like(flows, **wanted):
    return [flow for flow in flows if all(flow[name] == value for name, value in wanted.items())]


class Follower:
    """A `cordon ... --follow` that writes to a file."""

    def __init__(self, lab, host, name, *command, uid=0):
        self.path = lab.dir / f"follow-{name}"
        self.errors = lab.dir / f"follow-{name}.err"
        with open(self.path, "wb") as out, open(self.errors, "wb") as err:
            self.process = lab.popen(host, *command, uid=uid, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def text(self):
        return self.path.read_text()

    def flows(self):
        # Each line is written whole: what isn't yet is no line.
        return [json.loads(line) for line in self.text().splitlines(keepends=True) if line.endswith("\n")]

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=10)


class Visibility(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.cordon = lab.binary("cordon")
        self.admin = str(lab.host_dir("controller") / "run" / "admin.sock")

    # ---- asking ----

    def on_node(self, host, *arguments, uid=0):
        socket = self.lab.host_dir(host) / "run" / "node.sock"
        done = self.lab.on(host, self.cordon, "--node-socket", str(socket), "--json", *arguments, "--here", uid=uid)
        if done.returncode != 0:
            raise LabError(f"{host}: cordon {' '.join(arguments)} --here: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ask(self, *arguments):
        done = self.perimeter.cordon("--json", *arguments)
        if done.returncode != 0:
            raise LabError(f"cordon {' '.join(arguments)}: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def follow(self, name, *arguments):
        return Follower(self.lab, "controller", name, self.cordon, "--socket", self.admin, *arguments)

    def dropped(self, host):
        """Packets by reason, from the node's own maps."""
        return {line["name"]: line["packets"] for line in self.on_node(host, "counters")
                if line["counter"] == "reason" and not line["name"].endswith("observed")}

    # ---- what happens ----

    def python(self, host, program, *arguments, uid=0):
        return self.lab.on(host, PYTHON, "-c", program, *map(str, arguments), uid=uid).stdout.strip()

    def query(self, host, uid=0):
        done = self.lab.on(host, "psql", "-h", self.ledger, "-U", "postgres", "-Atc", "select repeat('x', 100000)",
                           uid=uid)
        return harness.Answer(done.returncode == 0, done.stderr)

    def try_ledger(self, times=1):
        return self.python("clerk", FLOODER, self.ledger, 5432, times, uid=30002)

    # ---- the parts ----

    def allowed(self):
        for _ in range(3):
            expect(self.query("trader", uid=30001), "trader asks ledger")
        expect(self.query("web"), "web asks ledger")

        def ended():
            told = like(self.flows.flows(), destination_port=5432, kind="closed")
            return all(len(like(told, source_device=source, node=node)) == times for source, node, times in
                       (("trader", "trader", 3), ("trader", "ledger", 3), ("web", "web", 1), ("web", "ledger", 1)))
        wait_until(ended, 20, "the flows to be told as ended, by both ends")
        told = like(self.flows.flows(), person="trader@acme.example", destination_port=5432)
        for kind in ("opened", "closed"):
            for node in ("trader", "ledger"):
                expect(len(like(told, kind=kind, node=node)) == 3, f"{node} tells each flow of trader's as {kind}, once",
                       told)
        names = {"source_device": "trader", "destination_device": "ledger", "segment": "settlement",
                 "service": "ledger", "rule": "traders-to-settlement", "verdict": "allowed", "protocol": "tcp"}
        expect(len(like(told, **names)) == len(told), f"with the names of who, what and why: {names}", told)
        sizes = [flow["bytes"] for flow in like(told, kind="closed", node="ledger")]
        expect(all(100_000 < size < 130_000 for size in sizes), f"with their bytes: {sizes}")
        machine = like(self.flows.flows(), source_device="web", kind="opened", rule="web-to-ledger", person="")
        expect({flow["node"] for flow in machine} == {"web", "ledger"}, "web's flow is a machine's, told by both ends",
               machine)

    def denied(self):
        expect(self.try_ledger() == "1", "clerk is refused at once")
        told = wait_until(lambda: like(self.drops.flows(), person="clerk@acme.example", source_device="clerk",
                                       destination_device="ledger", segment="settlement", service="ledger",
                                       destination_port=5432, verdict="denied", node="clerk"), 10, "it to be told")
        expect(counted(told) == 1 and told[0]["reason"] != "", f"it is told once, with a reason: {told[0]['reason']}", told)
        done = self.lab.on("clerk", PYTHON, "-c", FLOODER.replace("settimeout(2)", "settimeout(0.3)"),
                           topology.BY_NAME["ledger"].v4, "5432", "1", uid=30002)
        expect(done.stdout.strip() == "0", "around the overlay clerk gets no answer")
        around = wait_until(lambda: like(self.drops.flows(), kind="underlay", node="ledger", reason="underlay",
                                         source=topology.BY_NAME["clerk"].v4), 10, "it to be told")
        expect(like(around, destination_device="ledger", segment="settlement", service="ledger") == around,
               "what came around the overlay has its target's names", around)
        nameless = [flow for flow in self.flows.flows() if flow["direction"] == "egress" and not flow["source_device"]]
        expect(nameless == [], "what a node sent itself has its name", nameless)

    def flood(self):
        before, told_before = self.dropped("clerk"), counted(like(self.drops.flows(), node="clerk"))
        refused = int(self.try_ledger(FLOOD))
        self.python("clerk", SENDER, self.ledger, 7007, FLOOD, uid=30002)
        after = self.dropped("clerk")
        happened = sum(after.values()) - sum(before.values())
        expect(refused == FLOOD and happened >= 2 * FLOOD, f"{happened:,} denials happened, {refused:,} of them at connect")

        def told():
            return counted(like(self.drops.flows(), node="clerk")) - told_before
        wait_for(lambda: told() >= happened, 40)
        # What multicast brings meanwhile is counted on both sides: the maps are read again.
        now = sum(self.dropped("clerk").values()) - sum(before.values())
        wait_until(lambda: told() >= now, 20, "the rest")
        lines = like(self.drops.flows(), node="clerk")
        expect(told() == sum(self.dropped("clerk").values()) - sum(before.values()),
               f"told {told():,} = counted {now:,}, in {len(lines)} lines", self.on_node("clerk", "counters"))
        expect(len(lines) < 400, "a flood is not a flood of lines")
        by_port = {port: counted(like(lines, destination_port=port)) for port in (5432, 7007)}
        note(f"by port {by_port}; by reason {after}")

    def counters(self):
        own = self.dropped("clerk")
        own_rules = {line["name"]: line["packets"] for line in self.on_node("ledger", "counters")
                     if line["counter"] == "rule"}

        def known():
            lines = self.ask("counters")
            return {line["name"]: line["packets"] for line in lines
                    if line["node"] == "clerk" and line["counter"] == "reason"} == own and \
                   {line["name"]: line["packets"] for line in lines
                    if line["node"] == "ledger" and line["counter"] == "rule"} == own_rules
        expect(wait_for(known, 30, interval=0.5),
               f"the controller's counters are those of the nodes' maps: clerk {own}, ledger {own_rules}",
               self.ask("counters"))
        lines = self.ask("counters")
        for name in {line["name"] for line in lines if line["counter"] == "rule"}:
            each = sum(line["packets"] for line in lines if line["node"] and line.get("name") == name)
            every = [line["packets"] for line in lines if line["node"] is None and line.get("name") == name]
            expect(every == [each], f"all nodes together: {name} {each}")
        expect(all(line["events"] == 0 for line in lines if line["counter"] == "events_lost"), "no event was lost")

    def filters(self):
        trader = "trader@acme.example"
        for arguments, wanted in (
                (("--from", trader), lambda flow: flow["person"] == trader),
                (("--from", "web"), lambda flow: flow["source_device"] == "web"),
                (("--to", "settlement/ledger", "--verdict", "allowed"),
                 lambda flow: (flow["segment"], flow["service"], flow["verdict"]) == ("settlement", "ledger", "allowed")),
                (("--rule", "web-to-ledger"), lambda flow: flow["rule"] == "web-to-ledger"),
                (("--reason", "underlay"), lambda flow: flow["reason"] == "underlay"),
                (("--kind", "closed", "--limit", "2"), lambda flow: flow["kind"] == "closed")):
            flows = self.ask("flows", *arguments)
            expect(flows and all(map(wanted, flows)), f"flows {' '.join(arguments)}: {len(flows)}", flows)
        expect(len(self.ask("flows", "--limit", "3")) == 3, "--limit")
        expect(self.ask("drops", "--since", "1h", "--from", trader) == [], "trader was denied nothing")
        refused(self.perimeter.cordon("flows", "--from", "nobody"), "a name that nobody has", "nobody")

    def on_the_device(self):
        everything = self.on_node("clerk", "flows")
        own = self.on_node("clerk", "flows", uid=30002)
        expect(own and all(flow["person"] == "clerk@acme.example" for flow in own), "clerk is shown what clerk began")
        expect(len(everything) >= len(own), "root is shown all")
        denials = like(own, verdict="denied")
        expect(denials and all(not (flow["reason"] or flow["rule"] or flow["destination_device"]) for flow in denials),
               "a denial tells clerk no more than connect() did", denials)
        expect(self.on_node("ledger", "flows", uid=30001) == [], "a person without a session is shown nothing")
        socket = str(self.lab.host_dir("clerk") / "run" / "node.sock")
        done = self.lab.on("clerk", self.cordon, "--node-socket", socket, "counters", "--here", uid=30002)
        refused(done, "counters, to people", "only root")

    def without_the_controller(self):
        here = Follower(self.lab, "clerk", "here", self.cordon, "--node-socket",
                        str(self.lab.host_dir("clerk") / "run" / "node.sock"), "--json", "drops", "--here", "--follow")
        kill(self.lab.pid("controller", "cordon-controller"), signal.SIGTERM)
        before = len(like(here.flows(), destination_port=5432))
        self.try_ledger()
        wait_until(lambda: len(like(here.flows(), destination_port=5432)) > before, 10,
                   "the node to tell it with the controller away")
        expect(True, "on the device a drop is followed with the controller away")
        known = len(self.drops.flows())
        self.perimeter.start_controller()
        self.perimeter.wait_ready("clerk", 90)
        wait_until(lambda: like(self.drops.flows()[known:], node="clerk", destination_port=5432), 90,
                   "the follower to be told what happened meanwhile")
        expect(True, "a follower outlives the controller's restart and is told what happened meanwhile")
        ids = [flow["id"] for flow in self.drops.flows()]
        expect(len(ids) == len(set(ids)), "each once", ids)
        # What was there at the beginning is shown by its time, and of two nodes the later may have told first.
        expect(ids[known:] == sorted(ids[known:]), "what is followed in the order of arrival", ids)
        expect("trying again" in self.drops.errors.read_text(), "and it said so", self.drops.errors.read_text())
        expect(here.interrupt() in (-signal.SIGINT, 130), "Ctrl-C ends it")

    def by_eye(self):
        for arguments in (("flows", "--to", "settlement", "--limit", "24"), ("drops", "--limit", "6"), ("counters",)):
            done = self.perimeter.cordon(*arguments)
            note(f"$ cordon {' '.join(arguments)}\n{done.stdout}")
            succeeded(done, f"cordon {arguments[0]} prints a table")

    def up(self):
        super().up()
        self.ledger = self.perimeter.overlay("ledger")
        self.flows = self.follow("flows", "--json", "flows", "--follow")
        self.drops = self.follow("drops", "--json", "drops", "--follow")
        self.people = self.follow("people", "flows", "--follow")

    def sign_ins(self):
        for name in ("trader", "clerk"):
            self.sign_in(name)

    def followers(self):
        lines = self.people.text().splitlines()
        expect(sum("traders-to-settlement" in line and "allowed" in line and "tcp/5432" in line for line in lines) == 3,
               "people read of each flow once", "\n".join(lines[:20]))
        for follower in (self.flows, self.drops, self.people):
            expect(follower.interrupt() in (-signal.SIGINT, 130), "Ctrl-C ends it")

    def parts(self):
        return (self.sign_ins, self.allowed, self.denied, self.flood, self.counters, self.filters, self.on_the_device,
                self.by_eye, self.without_the_controller, self.followers)


harness.play(Visibility)
