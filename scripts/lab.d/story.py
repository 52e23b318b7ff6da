"""The product's story, told with times. A step that is not as told fails the story."""
import re
import subprocess
import time

import topology
from hosts import LabError, kill, patient, wait_for, wait_until
from measure import Probe, Stream
from perimeter import Perimeter

SERVICE_PORTS = {"tcp": (443, 5432, 8080), "udp": (topology.PROBE_PORT,)}
LEASE_S = 10


class Story:
    def __init__(self, lab):
        self.lab = lab
        self.perimeter = Perimeter(lab)
        self.begun = time.monotonic()
        self.failures = 0
        self.overlay = {name: device["addresses"] for name, device in self.perimeter.devices().items()}

    # ---- telling ----

    def step(self, number, title):
        print(f"\n{time.monotonic() - self.begun:7.2f} s  {number}. {title}", flush=True)

    def tell(self, holds, text, detail=""):
        self.failures += not holds
        print(f"{'':11}{'ok  ' if holds else 'FAIL'} {text}", flush=True)
        if not holds and detail:
            print("".join(f"{'':16}| {line}\n" for line in str(detail).strip().splitlines()), end="", flush=True)
        return holds

    def quote(self, text):
        for line in text.strip().splitlines():
            print(f"{'':16}{line}", flush=True)

    # ---- what people do ----

    def ledger(self, family):
        return next(a for a in self.overlay["ledger"] if (":" in a) == (family == 6))

    def psql(self, host, address, person=None):
        """A query as the host's person, or the one named; what came, the error and how long it took."""
        begun = time.monotonic()
        done = self.lab.on(host, "psql", "-h", address, "-U", "postgres", "-Atc", "select note from entries",
                           uid=uid_on(host, person), timeout=30)
        return done.returncode == 0 and "opening balance" in done.stdout, done.stderr.strip(), time.monotonic() - begun

    def curl(self, host, address, port, expect, person=None):
        scheme = "http" if port == 8080 else "https"
        bracketed = f"[{address}]" if ":" in address else address
        done = self.lab.on(host, "curl", "-sSk", "--max-time", f"{patient(5)}", f"{scheme}://{bracketed}:{port}/",
                           uid=uid_on(host, person))
        return done.returncode == 0 and expect in done.stdout, done.stderr

    def scans(self, *pairs):
        """SYN and UDP scans of ledger's service ports, (host, address) each, as root, with raw packets, all at a time:
        (silent, what nmap said) in the same order."""
        ports = f"T:{','.join(map(str, SERVICE_PORTS['tcp']))},U:{','.join(map(str, SERVICE_PORTS['udp']))}"
        options = ["-n", "-Pn", "-sS", "-sU", "-p", ports, "--reason", "--max-retries", "1",
                   "--max-rtt-timeout", f"{patient(250):.0f}ms", "--host-timeout", f"{patient(20):.0f}s"]
        running = [self.lab.popen(host, "nmap", *(["-6"] if ":" in address else []), *options, address,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for host, address in pairs]
        said = [process.communicate(timeout=patient(60))[0] for process in running]
        ports_of = [[line for line in each.splitlines() if re.match(r"\d+/(tcp|udp)", line)] for each in said]
        return [(len(lines) == 4 and all("no-response" in line for line in lines), each)
                for lines, each in zip(ports_of, said)]

    # ---- the steps ----

    def nothing_before_login(self):
        self.step(1, "Nothing is reachable before a login")
        ledger = topology.BY_NAME["ledger"]
        places = [(host, where, address) for host in ("trader", "clerk")
                  for where, addresses in (("overlay", self.overlay["ledger"]), ("underlay", (ledger.v4, ledger.v6)))
                  for address in addresses]
        seen = self.scans(*((host, address) for host, _, address in places))
        for (host, where, address), (silent, detail) in zip(places, seen):
            self.tell(silent, f"{host} scans ledger's {where} {address}: no port open, no answer", detail)

    def login_reaches(self):
        self.step(2, "trader logs in and reaches what the policy grants")
        begun = time.monotonic()
        done = self.perimeter.login("trader")
        took = time.monotonic() - begun
        if not self.tell(done.returncode == 0, f"login with password and TOTP took {took * 1000:.0f} ms",
                         done.stderr + done.stdout):
            return
        self.quote(done.stdout)
        for family in (4, 6):
            address = self.ledger(family)
            reached, error, took = self.psql("trader", address)
            self.tell(reached, f"psql to {address} over the tunnel: {took * 1000:.0f} ms", error)
            for port in (443, 8080):
                reached, error = self.curl("trader", address, port, "this is ledger")
                self.tell(reached, f"curl to {address} port {port}", error)

    def denied_is_told(self):
        self.step(3, "clerk logs in and is told at once that nothing is granted")
        done = self.perimeter.login("clerk")
        self.tell(done.returncode == 0, "login on clerk", done.stderr)
        for family in (4, 6):
            reached, error, took = self.psql("clerk", self.ledger(family))
            self.tell(not reached and took < patient(1) and "No route to host" in error,
                      f"psql to {self.ledger(family)}: refused after {took * 1000:.0f} ms", error)
        for host, granted in (("clerk", False), ("trader", True)):
            why = self.perimeter.device_cordon(host, "why", "ledger", "5432")
            told = "traders-to-settlement" in why.stdout
            self.tell(told == granted, f"{host}: cordon why ledger 5432", why.stdout + why.stderr)
            self.quote(why.stdout + why.stderr)
        elsewhere = self.perimeter.device_cordon("clerk", "why", "no-such-host", "5432")
        known = self.perimeter.device_cordon("clerk", "why", "ledger", "5432")
        self.tell(elsewhere.stdout.replace("no-such-host", "ledger") == known.stdout
                  and elsewhere.returncode == known.returncode,
                  "clerk gets the same answer for a host that does not exist", elsewhere.stdout)

    def machines(self):
        self.step(4, "web reaches ledger as a machine, without a person")
        for family in (4, 6):
            reached, error, took = self.psql("web", self.ledger(family))
            self.tell(reached, f"psql from web to {self.ledger(family)}: {took * 1000:.0f} ms", error)
        reached, error = self.curl("web", self.ledger(4), 443, "this is ledger")
        self.tell(not reached, "curl from web to ledger's 443, which no rule grants, fails", error)

    def revocation_cuts(self):
        self.step(5, "A grant is revoked while it is in use")
        stream = Stream(self.lab, "trader", self.ledger(4))
        try:
            wait_until(stream.flows, 10, "the stream to flow")
            asked = time.monotonic()
            applied = self.perimeter.apply_policy(freeze=True, confirm=False)
            receipts = self.perimeter.ask("receipts", str(applied["revision"]), "--wait", "30s")
            receipts = receipts if isinstance(receipts, list) else [receipts]
            self.tell(bool(receipts) and all(r["acked"] for r in receipts),
                      f"revision {applied['revision']}: from the log record to each node's signed ack:", receipts)
            for receipt in receipts:
                self.quote(f"{receipt['device']:<10} {receipt['after_ms']:.1f} ms")
            stopped = wait_for(lambda: not stream.flows(1.0), 10)
            self.tell(stopped, f"the stream stopped; its last byte came {(stream.last - asked) * 1000:.0f} ms after "
                      "the operator pressed enter (the command's own start included)")
            reached, _, took = self.psql("trader", self.ledger(4))
            self.tell(not reached and took < patient(1), f"a new psql is refused after {took * 1000:.0f} ms")
            reached, error, _ = self.psql("web", self.ledger(4))
            self.tell(reached, "web's grant is untouched", error)
        finally:
            stream.end()
        second = self.perimeter.cordon("policy", "apply", str(self.lab.host_dir("controller") / "policy"))
        self.tell(second.returncode != 0 and "waits for confirmation until" in second.stderr + second.stdout,
                  "until it is confirmed no other takes its place", second.stderr + second.stdout)
        confirmed = self.perimeter.cordon("policy", "confirm", str(applied["revision"]))
        self.tell(confirmed.returncode == 0,
                  f"cordon policy confirm {applied['revision']}: it stays; unconfirmed it would have been taken back",
                  confirmed.stderr)
        self.perimeter.apply_policy()
        self.tell(wait_for(lambda: self.psql("trader", self.ledger(4))[0], 10), "granted again, psql works again")

    def isolation(self):
        self.step(6, "web is isolated, then released")
        done = self.perimeter.cordon("isolate", "web", "--reason", "story", "--wait", "30s")
        self.tell(done.returncode == 0, "cordon isolate web: every affected node acked", done.stderr + done.stdout)
        self.quote(done.stdout)
        reached, _, took = self.psql("web", self.ledger(4))
        self.tell(not reached, f"psql from web fails after {took * 1000:.0f} ms")
        reached, error, _ = self.psql("trader", self.ledger(4))
        self.tell(reached, "trader still reaches ledger", error)
        done = self.perimeter.cordon("release", "web", "--wait", "30s")
        self.tell(done.returncode == 0, "cordon release web", done.stderr + done.stdout)
        self.quote(done.stdout)
        self.tell(wait_for(lambda: self.psql("web", self.ledger(4))[0], 10), "psql from web works again")

    def two_share_a_host(self):
        self.step(7, "ann and ben share the host jump, each with what is theirs")
        ledger, web = self.ledger(4), next(a for a in self.overlay["web"] if ":" not in a)
        reached, error, took = self.psql("jump", ledger, "ann")
        self.tell(not reached and took < patient(1) and "No route to host" in error,
                  f"before her login ann has no overlay: refused after {took * 1000:.0f} ms", error)
        for person in ("ann", "ben"):
            done = self.perimeter.login("jump", person)
            self.tell(done.returncode == 0, f"login of {person} on jump", done.stderr)
        stream = Stream(self.lab, "jump", ledger, uid_on("jump", "ann"))
        try:
            self.tell(wait_for(stream.flows, 10), "ann reads from ledger's database")
            reached, error = self.curl("jump", web, 443, "this is web", "ben")
            self.tell(reached, "ben reads web's site at the same time", error)
            self.tell(not self.psql("jump", ledger, "ben")[0], "ben has no way to the database")
            self.tell(not self.curl("jump", web, 443, "this is web", "ann")[0], "and ann none to the site")
            at = time.monotonic()
            done = self.perimeter.device_cordon("jump", "logout", uid=uid_on("jump", "ann"))
            told = time.monotonic()
            ended = wait_for(lambda: stream.process.poll() is not None, 5)
            self.tell(done.returncode == 0 and ended,
                      f"ann logs out ({(told - at) * 1000:.0f} ms): her program is told, its last byte came "
                      f"{(stream.last - at) * 1000:.0f} ms after she pressed enter", done.stderr)
            reached, error = self.curl("jump", web, 443, "this is web", "ben")
            self.tell(reached, "ben reads on", error)
        finally:
            stream.end()
        self.tell(not self.psql("jump", ledger)[0],
                  "root is the device jump, which no rule names: no way to the database")

    def node_is_killed(self):
        self.step(8, "kill -9 of ledger's node: enforcement stays, a restart adopts it")
        stream = Stream(self.lab, "trader", self.ledger(6))
        probe = Probe(self.lab, "trader", self.ledger(4))
        try:
            wait_until(stream.flows, 10, "the stream to flow")
            killed = self.lab.pid("ledger", "cordon-node")
            kill(killed)
            self.tell(True, f"killed process {killed}")
            reached, error, _ = self.psql("trader", self.ledger(4))
            self.tell(reached, "without a daemon: trader's new psql is allowed", error)
            reached, _, took = self.psql("clerk", self.ledger(4))
            self.tell(not reached, f"without a daemon: clerk is denied, after {took * 1000:.0f} ms")
            reached, _ = self.curl("web", self.ledger(4), 443, "this is ledger")
            self.tell(not reached, "without a daemon: web's curl to 443 is denied")
            [(silent, detail)] = self.scans(("clerk", topology.BY_NAME["ledger"].v4))
            self.tell(silent, "without a daemon: a scan of the underlay finds nothing and gets no answer", detail)
            begun = time.monotonic()
            self.perimeter.start_node("ledger")
            self.perimeter.wait_ready("ledger")
            self.tell(True, f"restarted; adopted and connected after {(time.monotonic() - begun) * 1000:.0f} ms")
            time.sleep(1)  # the probe runs on over the adopted state
            self.tell(stream.flows(1.0), "the stream that ran through it all still runs")
        finally:
            stream.end()
            counted = probe.end()
        self.tell(counted["lost"] == 0 and counted["sent"] > 300,
                  f"{counted['sent']} numbered packets sent over it, {counted['lost']} lost", counted)

    def controller_is_killed(self):
        self.step(9, "kill -9 of the controller: grants go on to their lease, then end by themselves")
        self.perimeter.apply_policy(lease=f"{LEASE_S}s")
        self.tell(wait_for(lambda: self.psql("trader", self.ledger(4))[0], 10), f"leases are now {LEASE_S} s")
        stream = Stream(self.lab, "trader", self.ledger(4))
        try:
            wait_until(stream.flows, 10, "the stream to flow")
            before = self.perimeter.ask("audit", "list", "--limit", "1000")
            killed = self.lab.pid("controller", "cordon-controller")
            at = time.monotonic()
            kill(killed)
            time.sleep(2)
            self.tell(stream.flows(0.5), "2 s later the stream still runs")
            wait_for(lambda: not stream.flows(2.0), LEASE_S + 5)
            lived = stream.last - at
            self.tell(not stream.flows(2.0) and 2 < lived <= LEASE_S + 0.5,
                      f"the stream ended by itself after {lived:.1f} s, within its lease of {LEASE_S} s")
            reached, _, took = self.psql("trader", self.ledger(4))
            self.tell(not reached and took < patient(2), f"a new psql is refused after {took * 1000:.0f} ms")
        finally:
            stream.end()
        self.perimeter.start_controller()
        after = self.perimeter.ask("audit", "list", "--limit", "1000")
        self.tell(after[:len(before)] == before, f"after a restart all {len(before)} records are there")
        verified = self.perimeter.cordon("audit", "verify")
        self.tell(verified.returncode == 0, "cordon audit verify", verified.stderr + verified.stdout)
        self.quote(verified.stdout)
        begun = time.monotonic()
        back = wait_for(lambda: self.psql("trader", self.ledger(4))[0], 90)
        self.tell(back, f"grants are back {time.monotonic() - begun:.1f} s after the controller is")

    def play(self):
        print(f"The story of a perimeter: lab \"{self.lab.name}\", ledger is {' and '.join(self.overlay['ledger'])}")
        for step in (self.nothing_before_login, self.login_reaches, self.denied_is_told, self.machines,
                     self.revocation_cuts, self.isolation, self.two_share_a_host, self.node_is_killed,
                     self.controller_is_killed):
            try:
                step()
            except LabError as error:
                self.tell(False, str(error))
        told = "as told" if not self.failures else f"{self.failures} things were not as told"
        print(f"\n{time.monotonic() - self.begun:7.2f} s  The end: {told}.", flush=True)
        return self.failures == 0


def uid_on(host, person=None):
    where = topology.BY_NAME[host]
    return where.named(person).uid if person else where.uid


def play(lab):
    return Story(lab).play()
