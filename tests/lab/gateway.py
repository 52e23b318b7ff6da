#!/usr/bin/python3 -B
"""A printer that can't run a daemon, behind web (DATAPATH.md, "Gateways"): people reach of it what is theirs, at its
own addresses; it begins nothing; what is taken away is cut at once, also with the gateway.

    trader, clerk, jump (ann, ben) ═══ web ─── printer: tcp 9100 and 631, udp 161 and 7007
                                      lan0     192.0.2.7, 2001:db8:2::7

trader may reach all of it, clerk 631, ann 9100, ben udp 161.
"""
import json
import re
import select
import subprocess
import time

import harness
import topology
from harness import HERE, PYTHON, ROOT, LabTest, expect, succeeded
from hosts import kill, patient, run, wait_for, wait_until
from measure import Probe

SOCKETS, ECHO = str(HERE / "sockets.py"), str(ROOT / "scripts" / "lab.d" / "echo.py")
PRINTER = topology.BY_NAME["printer"]
BOTH = (PRINTER.v4, PRINTER.v6)
GUEST, ROOT_UID = 30013, 0
AT_ONCE_MS = 100  # python's own part of a refusal

POLICY = """
[groups]
clerks = { users = ["clerk@acme.example"] }

[segments.printers]
members = ["tag:print"]
[segments.printers.services]
raw   = ["tcp/9100"]
ipp   = ["tcp/631"]
snmp  = ["udp/161"]
probe = ["udp/7007"]

[[allow]]
name = "traders-print"
from = { groups = ["traders"] }
to   = ["printers/*"]

[[allow]]
name = "clerks-ask"
from = { groups = ["clerks"] }
to   = ["printers/ipp"]

[[allow]]
name = "dba-prints"
from = { groups = ["dba"] }
to   = ["printers/raw"]

[[allow]]
name = "auditors-count"
from = { groups = ["auditors"] }
to   = ["printers/snmp"]
"""


class Held:
    """A TCP stream of the host's person to the printer, which is kept until something ends it."""

    def __init__(self, lab, host, address, uid=None):
        self.process = lab.popen(host, PYTHON, SOCKETS, "hold", "tcp", address, "9100",
                                 uid=topology.BY_NAME[host].uid if uid is None else uid,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.line(10)

    def line(self, seconds):
        if not select.select([self.process.stdout], [], [], patient(seconds))[0]:
            return {}
        text = self.process.stdout.readline()
        return json.loads(text) if text else {}

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


class Gateway(LabTest):
    def up(self):
        hosts = [topology.BY_NAME[name] for name in ("web", "trader", "clerk", "jump")]
        self.lab.start("printer", "sockets", PYTHON, SOCKETS, "serve", "9100,631", "161")
        self.lab.start("printer", "echo", PYTHON, ECHO, str(topology.PROBE_PORT))
        self.perimeter.up(hosts, policies={"printers.toml": POLICY})
        succeeded(self.perimeter.cordon("device", "add", "printer", "--behind", "web", "--prefix", PRINTER.v4,
                                        "--prefix", PRINTER.v6, "--tag", "print", "--wait", "10s"),
                  "the printer is put behind web")
        for host, person in (("trader", None), ("clerk", None), ("jump", "ann"), ("jump", "ben")):
            self.sign_in(host, person)

    # ---- asking ----

    def ask(self, host, kind, address, port, *options, uid=None):
        done = self.lab.on(host, PYTHON, SOCKETS, "ask", kind, address, str(port), *options,
                           uid=topology.BY_NAME[host].uid if uid is None else uid, timeout=30)
        return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr}

    def own(self, host, uid):
        """The addresses of that session, or of the device."""
        status = json.loads(self.perimeter.device_cordon(host, "--json", "status", uid=uid).stdout)
        return json.dumps(status["session"] if uid else status["addresses"])

    def reaches(self, host, kind, port, uid=None, who=None):
        uid = topology.BY_NAME[host].uid if uid is None else uid
        for address in BOTH:
            got = self.ask(host, kind, address, port, uid=uid)
            expect("seen" in got and f'"{got["seen"]}"' in self.own(host, uid),
                   f"{who or host}: {kind} to {address} {port}, under an address of that session", got)

    def refused(self, host, kind, port, uid=None, who=None, what="is refused at once"):
        for address in BOTH:
            got = self.ask(host, kind, address, port, uid=uid)
            expect(got.get("error") == "EHOSTUNREACH" and got["ms"] < patient(AT_ONCE_MS),
                   f"{who or host}: {kind} to {address} {port} {what}", got)

    def dropped(self, host, reason):
        names = re.findall(r"^  X\((\w+),", (ROOT / "ebpf" / "abi_reasons.h").read_text(), re.M)
        pin = next(self.lab.pins(host).glob("map-drop_counters-*"))
        entries = json.loads(run("bpftool", "-j", "map", "dump", "pinned", str(pin)).stdout)
        entry = next(e for e in entries if e["formatted"]["key"] == names.index(reason))
        return sum(cpu["value"]["packets"] for cpu in entry["formatted"]["values"])

    def routes(self, host):
        """The host's routes to the printer, of every table."""
        show = ("route", "show", "table", "all", "proto", "0xcd")
        return sorted(line for family in ("-4", "-6")
                      for line in run("ip", "-n", self.lab.netns(host), family, *show).stdout.splitlines()
                      if line.split()[0] in BOTH)

    def rules(self, host):
        """The host's rules of packets to the printer over IPv6."""
        rules = run("ip", "-n", self.lab.netns(host), "-6", "rule").stdout.splitlines()
        return sorted(rule for rule in rules if PRINTER.v6 in rule)

    # ---- what must hold ----

    def each_reaches_what_is_theirs(self):
        for kind, port in (("tcp", 9100), ("tcp", 631), ("datagram", 161)):
            self.reaches("trader", kind, port)
        self.reaches("clerk", "tcp", 631)
        self.refused("clerk", "tcp", 9100)
        ann, ben = (topology.BY_NAME["jump"].named(name).uid for name in ("ann", "ben"))
        self.reaches("jump", "tcp", 9100, ann, "ann")
        self.reaches("jump", "datagram", 161, ben, "ben")
        self.refused("jump", "datagram", 161, ann, "ann")
        self.refused("jump", "tcp", 9100, ben, "ben")
        self.refused("jump", "tcp", 9100, GUEST, "who has no session")
        self.refused("jump", "tcp", 9100, ROOT_UID, "the device jump")
        got = self.ask("web", "tcp", PRINTER.v4, 9100)
        expect(got.get("seen") == "192.0.2.1", "what web itself does in its network is its own business", got)
        told = self.perimeter.node_status("web")["alarms"]
        expect(not any("gateway" in alarm for alarm in told), "web is a declared gateway and forwards", told)

    def it_begins_nothing(self):
        before = {reason: self.dropped("web", reason) for reason in ("unknown_principal", "underlay")}
        own = self.own("trader", topology.BY_NAME["trader"].uid)
        people = sorted(set(re.findall(r'"((?:100\.|fd)[0-9a-f.:]+)"', own)))
        ways = [*(("tcp", address, "22") for address in people), ("udp", people[0], "53"), ("tcp", "192.0.2.1", "443")]
        running = [self.lab.popen("printer", "timeout", f"{patient(1):.1f}", PYTHON, SOCKETS, "ask", *way,
                                  stdout=subprocess.PIPE, text=True) for way in ways]
        for way, process in zip(ways, running):
            said = process.communicate(timeout=patient(10))[0]
            expect("seen" not in said and process.returncode == 124, f"the printer gets no answer of {' '.join(way)}",
                   said)
        after = {reason: self.dropped("web", reason) for reason in before}
        expect(after["unknown_principal"] >= before["unknown_principal"] + 3, "web drops what it begins in the overlay",
               f"{before} {after}")
        expect(after["underlay"] > before["underlay"], "and keeps its own service from it", f"{before} {after}")

    def restarts_lose_nothing(self):
        probe = Probe(self.lab, "trader", PRINTER.v4)
        for host in ("web", "trader"):
            kill(self.lab.pid(host, "cordon-node"))
            self.perimeter.start_node(host)
            self.perimeter.wait_ready(host)
        counted = probe.end()
        expect(counted["sent"] > 100 and counted["lost"] == 0,
               f"kill -9 of web's daemon and of trader's: {counted['lost']} of {counted['sent']} datagrams lost",
               counted)

    def what_somebody_deletes_comes_back(self):
        wait_until(lambda: len(self.routes("trader")) == 4, 10, "trader's own routes and the device's, of both families")
        before = self.routes("trader")
        trader = self.lab.netns("trader")
        rules = self.rules("trader")
        run("ip", "-n", trader, "route", "del", PRINTER.v4)
        run("ip", "-n", trader, "-6", "rule", "del", "to", PRINTER.v6, "pref", "20001")
        begun = time.monotonic()
        back = wait_for(lambda: self.routes("trader") == before and self.rules("trader") == rules, 5)
        expect(back, f"a deleted route and rule come back: {(time.monotonic() - begun) * 1000:.0f} ms",
               self.routes("trader"))
        told = self.perimeter.node_status("trader")["alarms"]
        expect(any("routes were changed by somebody else" in alarm for alarm in told), "with an alarm", told)
        self.reaches("trader", "tcp", 9100)

    def isolation_cuts(self):
        for device in ("printer", "web"):
            held = [Held(self.lab, "trader", address) for address in BOTH]
            expect(all("seen" in each.first for each in held), "trader prints over both families",
                   [each.first for each in held])
            succeeded(self.perimeter.cordon("isolate", device, "--reason", "test", "--wait", "10s"),
                      f"{device} is isolated")
            for each in held:
                ended = each.line(2)
                expect(ended.get("ended", "data") != "data", f"the stream is ended: {ended.get('ended')}", ended)
                each.end()
            for address in BOTH:
                got = self.ask("trader", "tcp", address, 9100)
                expect("error" in got and got["ms"] < patient(AT_ONCE_MS), f"and refused at once: {got.get('error')}",
                       got)
            succeeded(self.perimeter.cordon("release", device, "--wait", "10s"), f"{device} is released")
            wait_until(lambda: "seen" in self.ask("trader", "tcp", PRINTER.v4, 9100), 20,
                       f"the printer after {device}")
            self.reaches("trader", "tcp", 9100)

    def a_logout_cuts(self):
        jump = topology.BY_NAME["jump"]
        held = [Held(self.lab, "jump", address, jump.named("ann").uid) for address in BOTH]
        expect(all("seen" in each.first for each in held), "ann prints over both families",
               [each.first for each in held])
        succeeded(self.perimeter.device_cordon("jump", "logout", uid=jump.named("ann").uid), "ann logs out")
        for each in held:
            ended = each.line(2)
            expect(ended.get("ended", "data") != "data", f"the stream is ended: {ended.get('ended')}", ended)
            each.end()
        self.refused("jump", "tcp", 9100, jump.named("ann").uid, "ann")
        self.reaches("jump", "datagram", 161, jump.named("ben").uid, "ben")

    def parts(self):
        return (self.each_reaches_what_is_theirs, self.it_begins_nothing, self.restarts_lose_nothing,
                self.what_somebody_deletes_comes_back, self.isolation_cuts, self.a_logout_cuts)


harness.play(Gateway)
