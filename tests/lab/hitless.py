#!/usr/bin/python3
"""Daemons restart, are killed, switch their programs, migrate their maps and get whole states anew, and the controller
goes and comes back, under 1,000 packets a second each way: none is lost. Nor does one pass that nobody granted.

        trader ══ granted, numbered both ways ══ ledger       one psql COPY beside them
        web    ── nobody granted it ──────────── ledger
"""
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts" / "lab.d"))

import measure  # noqa: E402
import services  # noqa: E402
import topology  # noqa: E402
from hosts import BPFFS, Lab, kill, wait_until  # noqa: E402
from perimeter import Perimeter  # noqa: E402

RATE = 1000
DENIED_PORT = 7008
FAILURES = []


def expect(holds, what, detail=""):
    print(("ok    " if holds else "FAIL  ") + what, flush=True)
    if not holds:
        FAILURES.append(what)
        print("".join(f"      | {line}\n" for line in str(detail).strip().splitlines()), end="", flush=True)


class Streams:
    """Granted datagrams between trader and ledger (both_ways.py), and denied ones from web to ledger (denied.py)."""

    def __init__(self, lab, address):
        person, nobody = topology.BY_NAME["trader"].uid, 65534
        self.lab = lab
        self.server = self.start("ledger", nobody, "both_ways.py", "serve", topology.PROBE_PORT, RATE)
        self.asker = self.start("trader", person, "both_ways.py", "ask", address, topology.PROBE_PORT, RATE)
        self.sink = self.start("ledger", nobody, "denied.py", "serve", DENIED_PORT)
        self.stranger = self.start("web", nobody, "denied.py", "send", address, DENIED_PORT, RATE)

    def start(self, host, uid, script, *arguments):
        process = self.lab.popen(host, "/usr/bin/python3", str(HERE / script), *map(str, arguments), uid=uid,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        select.select([process.stderr], [], [], 10)
        process.stderr.readline()
        return process

    def end(self):
        """(sent, when each lost one was sent) to ledger and from it; denied sent and passed."""
        for process in (self.stranger, self.asker, self.server, self.sink):
            process.stdin.close()
            process.stdin = None
        asker, server, tried, passed = (json.loads(process.communicate(timeout=30)[0])
                                        for process in (self.asker, self.server, self.stranger, self.sink))
        ways = []
        for sender, receiver in ((asker, server), (server, asker)):
            got = set(receiver["got"])
            ways.append((len(sender["sent"]), [at for n, at in enumerate(sender["sent"]) if n not in got]))
        return ways, tried, passed


class Hitless:
    def __init__(self, lab):
        self.lab = lab
        self.perimeter = Perimeter(lab)
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
        return {path.name for path in (BPFFS / "cordon" / f"{self.lab.name}-{host}").glob("map-*")}

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
        done = self.lab.on("web", "/usr/bin/python3", "-c",
                           f"import socket; socket.create_connection(('{address}', 443), 3)")
        expect(done.returncode != 0, "web may not reach what nobody granted it")

    def play(self):
        done = self.perimeter.login("trader")
        expect(done.returncode == 0, "the trader is signed in", done.stderr)
        address = next(a for a in self.perimeter.devices()["ledger"]["addresses"] if ":" not in a)
        os.kill(self.lab.pid("ledger", "echo"), signal.SIGTERM)
        wait_until(lambda: self.lab.pid("ledger", "echo") is None, 5, "the echo to end")
        self.denied_is_denied(address)
        stream = measure.Stream(self.lab, "trader", address)
        wait_until(stream.flows, 10, "the stream to begin")
        streams = Streams(self.lab, address)
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
            ways, tried, passed = streams.end()
            stream.end()
        for what, begun, ended in self.events:
            lost = [sum(begun <= at < ended for at in way[1]) for way in ways]
            print(f"      {what:<38} {(ended - begun):5.1f} s   lost {lost[0]} to ledger, {lost[1]} from it")
        for (sent, lost), way in zip(ways, ("to ledger", "from it")):
            expect(sent > 10000 and not lost, f"{sent} packets {way}, {len(lost)} lost")
        expect(tried > 10000 and passed == 0, f"{tried} packets that nobody granted, {passed} passed")


def main():
    lab = Lab(sys.argv[1] if len(sys.argv) > 1 else "hitles")
    lab.down()
    lab.dir.mkdir(parents=True)
    lab.dir.chmod(0o755)
    try:
        lab.make_wires()
        services.start_all(lab)
        hitless = Hitless(lab)
        hitless.perimeter.up()
        hitless.play()
    except BaseException:
        for host in ("controller", "ledger", "trader"):
            for log in sorted(lab.host_dir(host).glob("cordon-*.log")):
                print(f"--- {log}\n{lab.log_tail(host, log.stem)}", flush=True)
        raise
    finally:
        lab.down()
    sys.exit(1 if FAILURES else 0)


main()
