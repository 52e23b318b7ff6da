#!/usr/bin/python3 -B
"""Daemons restart, are killed, switch their programs, migrate their maps and get whole states anew, and the controller
goes and comes back, under 1,000 packets a second each way: none is lost. Nor does one pass that nobody granted.

        trader ══ granted, numbered both ways ══ ledger       one psql COPY beside them
        web    ── nobody granted it ──────────── ledger
"""
import re
import signal
import time

import harness
import measure
from datagrams import BothWays, Denied
from harness import PYTHON, LabTest, expect, note
from hosts import kill, patient, wait_until

RATE = round(1000 / patient(1))  # packets a second each way
DENIED_PORT = 7008


class Hitless(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.events = []  # what, from, to

    def event(self, what, happen):
        begun = time.monotonic()
        happen()
        time.sleep(1)  # what it might have cost is lost by then
        self.events.append((what, begun, time.monotonic()))

    def restart_node(self, host, number):
        kill(self.lab.pid(host, "cordon-node"), number)
        self.perimeter.start_node(host)
        self.perimeter.wait_ready(host)

    def restart_controller(self):
        kill(self.lab.pid("controller", "cordon-controller"))
        self.perimeter.start_controller()
        for host in ("ledger", "trader"):
            self.perimeter.wait_ready(host)

    def map_pins(self, host):
        return {path.name for path in self.lab.pins(host).glob("map-*")}

    def resize(self, host, factor):
        """Every size in node.toml times `factor`; then a restart."""
        config = self.lab.host_dir(host) / "node.toml"
        head, maps = config.read_text().split("[filter.maps]\n")
        config.write_text(head + "[filter.maps]\n" + re.sub(r"\d+", lambda m: str(int(int(m[0]) * factor)), maps))
        before = self.map_pins(host)
        self.restart_node(host, signal.SIGTERM)
        after = self.map_pins(host)
        expect(len(before) == len(after) and len(before - after) == 8, f"{host}: eight maps have another size",
               f"{sorted(before - after)}\n{sorted(after - before)}")

    def denied_is_denied(self, address):
        done = self.lab.on("web", PYTHON, "-c",
                           f"import socket; socket.create_connection(('{address}', 443), 3)")
        expect(done.returncode != 0, "web may not reach what nobody granted it", done)

    def everything(self):
        self.sign_in("trader")
        address = self.perimeter.overlay("ledger")
        kill(self.lab.pid("ledger", "echo"))  # its port is ours
        self.denied_is_denied(address)
        stream = measure.Stream(self.lab, "trader", address)
        wait_until(stream.flows, 10, "the stream to begin")
        granted, denied = BothWays(self.lab, address, RATE), Denied(self.lab, address, DENIED_PORT, RATE)
        try:
            self.event("nothing happens", lambda: time.sleep(2))
            for host in ("ledger", "trader"):
                self.event(f"{host}'s node restarts", lambda: self.restart_node(host, signal.SIGTERM))
                self.event(f"{host}'s node is killed and starts", lambda: self.restart_node(host, signal.SIGKILL))
                self.event(f"{host}'s maps grow to twice", lambda: self.resize(host, 2))
                self.event(f"{host}'s maps shrink again", lambda: self.resize(host, 0.5))
            self.event("the controller is killed and starts", self.restart_controller)
            self.event("the policy is applied anew", lambda: self.perimeter.apply_policy(lease="9m"))
            expect(stream.process.poll() is None and stream.flows(2), "the TCP stream is the first one still")
        finally:
            ways, (tried, passed) = granted.end(), denied.end()
            stream.end()
        for what, begun, ended in self.events:
            lost = [sum(begun <= at < ended for at in way[1]) for way in ways]
            note(f"{what:<38} {(ended - begun):5.1f} s   lost {lost[0]} to ledger, {lost[1]} from it")
        for (sent, lost), way in zip(ways, ("to ledger", "from it")):
            expect(sent > 10 * RATE and not lost, f"{sent} packets {way}, {len(lost)} lost")
        expect(tried > 10 * RATE and passed == 0, f"{tried} packets that nobody granted, {passed} passed")

    def parts(self):
        return [self.everything]


harness.play(Hitless)
