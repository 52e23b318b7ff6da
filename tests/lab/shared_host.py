#!/usr/bin/python3 -B
"""One host, several people (DATAPATH.md, "Session addresses on shared hosts"): each has what is theirs, at the same
time, with sockets of every kind; who has no session has no overlay; system uids are the device.

    jump: ann (30011), ben (30012), guest (30013), root ═══ ledger: tcp 5432 and 8080, udp 7007, ping
         │                                          ╚══════ web:    tcp 443
         └─ box: a network namespace whose packets jump masquerades

ann may reach ledger's 5432, 7007 and ping; ben web's 443 and 7007; the device jump ledger's 8080.
"""
import json
import re
import select
import subprocess
import time

import harness
import topology
from harness import HERE, PYTHON, ROOT, LabTest, expect, refused, succeeded
from hosts import LabError, kill, patient, run, wait_for, wait_until

SOCKETS = str(HERE / "sockets.py")
ANN, BEN, GUEST, SYSTEM, ROOT_UID = 30011, 30012, 30013, 200, 0
AT_ONCE_MS = 100  # python's own part of a refusal

JUMP_POLICY = """
[segments.jump]
members = ["tag:jump"]
underlay = "open"

[[allow]]
name = "jump-to-settlement-web"
from = { segments = ["jump"] }
to   = ["settlement/web"]

[[allow]]
name = "auditors-to-probe"
from = { groups = ["auditors"] }
to   = ["settlement/probe"]
"""


class Held:
    """A socket that somebody keeps: sockets.py hold or listen."""

    def __init__(self, lab, uid, *arguments, verb="hold"):
        self.process = lab.popen("jump", PYTHON, SOCKETS, verb, *map(str, arguments), uid=uid,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.line(10)

    def line(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return {}
        text = self.process.stdout.readline()
        return json.loads(text) if text else {}

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


class SharedHost(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.served = {}
        self.own = {}  # person's or device's name -> (v4, v6)

    # ---- asking ----

    def sockets(self, uid, *arguments):
        done = self.lab.on("jump", PYTHON, SOCKETS, *map(str, arguments), uid=uid, timeout=30)
        if done.returncode != 0:
            raise LabError(f"sockets.py {arguments}: {done.stderr}")
        return json.loads(done.stdout.splitlines()[0])

    def address(self, name, family):
        return self.own[name][0 if family == 4 else 1]

    def asks(self, uid, who, kind, to, port, *options, family=4, what=""):
        """The other end sees the address of `who`."""
        got = self.sockets(uid, "ask", kind, self.address(to, family), port, *options)
        seen = "echo" if kind == "ping" else self.address(who, family)
        late = f" after {got['ms']:.0f} ms" if got["ms"] > 1000 else ""
        expect(got.get("seen") == seen,
               f"{who}: {kind} over IPv{family} {what or ' '.join(options)} to {to} {port}{late}", got)
        return got

    def refused(self, uid, error, kind, to, port, *options, family=4, what=""):
        got = self.sockets(uid, "ask", kind, self.address(to, family), port, *options)
        expect(got.get("error") == error and got["ms"] < AT_ONCE_MS,
               f"uid {uid}: {kind} over IPv{family} {what or ' '.join(options)} to {to} {port}: {error} at once", got)

    def dropped(self, reason):
        """Packets that jump's filter dropped, or calls that its hooks refused, for that reason."""
        names = re.findall(r"^  X\((\w+),", (ROOT / "ebpf" / "abi_reasons.h").read_text(), re.M)
        pin = next(self.lab.pins("jump").glob("map-drop_counters-*"))
        entries = json.loads(run("bpftool", "-j", "map", "dump", "pinned", str(pin)).stdout)
        entry = next(e for e in entries if e["formatted"]["key"] == names.index(reason))
        return sum(cpu["value"]["packets"] for cpu in entry["formatted"]["values"])

    def sockets_from(self, addresses):
        """jump's sockets that are connected from these, as ss lists them."""
        return "".join(run("nsenter", f"--net=/run/netns/{self.lab.netns('jump')}", "ss", "-Hntu", "state", "established",
                           "src", f"[{address}]" if ":" in address else address).stdout for address in addresses)

    def rules(self):
        """jump's rules for sessions: uid -> how many, and how many unreachable ones."""
        sessions, unreachable = {}, 0
        for family in ("-4", "-6"):
            for rule in run("ip", "-n", self.lab.netns("jump"), family, "rule").stdout.splitlines():
                if "uidrange" not in rule:
                    continue
                uid = int(re.search(r"uidrange (\d+)-", rule)[1])
                if "unreachable" in rule:
                    unreachable += 1
                else:
                    sessions[uid] = sessions.get(uid, 0) + 1
        return sessions, unreachable

    # ---- making it ----

    def up(self):
        people = [topology.BY_NAME["jump"].named(name).user for name in ("ann", "ben")]
        self.perimeter.up([topology.BY_NAME[name] for name in ("ledger", "web", "jump")], people, {"jump.toml": JUMP_POLICY})
        for name, device in self.perimeter.devices().items():
            self.own[name] = tuple(sorted(device["addresses"], key=lambda a: ":" in a))
        self.serve("ledger", "5432,8080", "7007")
        self.serve("web", "443")
        run("nsenter", f"--net=/run/netns/{self.lab.netns('jump')}", "sysctl", "-q", "-w",
            "net.ipv4.ping_group_range=0 2147483647", "net.ipv4.ip_forward=1")
        self.close_timeout = self.mptcp_close_timeout("jump")

    def mptcp_close_timeout(self, host):
        """Seconds that the kernel waits for another subflow (60 by itself); nothing of a kernel without it (6.1)."""
        return run("nsenter", f"--net=/run/netns/{self.lab.netns(host)}", "sysctl", "-n", "net.mptcp.close_timeout",
                   check=False).stdout.strip()

    def multipath_of(self, host):
        """The host's MPTCP sockets that are connected, but for listeners, as ss lists them."""
        return run("nsenter", f"--net=/run/netns/{self.lab.netns(host)}", "ss", "-HMn", "state", "established").stdout

    def serve(self, host, *ports):
        self.lab.start(host, "sockets", PYTHON, SOCKETS, "serve", *ports)
        wait_until(lambda: "serving" in self.lab.log_tail(host, "sockets"), 10, f"{host} to serve")

    def log_in(self, name):
        done = self.perimeter.login("jump", name)
        uid = topology.BY_NAME["jump"].named(name).uid
        status = json.loads(self.perimeter.device_cordon("jump", "--json", "status", uid=uid).stdout)
        found = sorted(set(re.findall(r'"((?:100\.|fd)[0-9a-f.:]+)"', json.dumps(status.get("session")))))
        self.own[name] = tuple(sorted(found, key=lambda a: ":" in a))
        expect(done.returncode == 0 and len(found) == 2, f"{name} logs in on jump as {', '.join(found)}",
               f"{done.stderr}{status}")

    # ---- what must hold ----

    def nobody_has_a_session(self):
        before = self.dropped("no_session")
        for family in (4, 6):
            for kind in ("tcp", "mptcp", "udp", "datagram"):
                self.refused(ANN, "EHOSTUNREACH", kind, "ledger", 7007 if kind[0] in "ud" else 5432, family=family)
            self.refused(ANN, "ENETUNREACH", "ping", "ledger", 0, family=family)
            got = self.sockets(ANN, "bind", self.address("jump", family))
            expect(got == {"error": "EADDRNOTAVAIL"}, f"ann can't bind to the device's address (IPv{family})", got)
        self.refused(ANN, "EHOSTUNREACH", "tcp", "ledger", 5432, "mapped")
        counted = self.dropped("no_session") - before
        expect(counted == 11, "each refusal is counted as no session, that of a datagram's connect() too", counted)
        expect(self.rules() == ({}, 4), "people without a session meet a rule by family and range of uids", self.rules())
        self.refused(ROOT_UID, "EHOSTUNREACH", "tcp", "ledger", 5432, what="as the device, which has no grant,")
        done = self.perimeter.device_cordon("jump", "login", "--user", "ann@acme.example", "--password-file", "-",
                                            "--totp", "000000", uid=ROOT_UID, input="x\n")
        refused(done, "a login of root, who is the device", "is the device here")

    def each_has_their_own(self):
        for family in (4, 6):
            mapped = ("mapped",) if family == 4 else ()
            for options in ((), mapped, ("device=" + self.lab.interface("jump"),),
                            ("from=" + self.address("ann", family),), ("again",)):
                self.asks(ANN, "ann", "tcp", "ledger", 5432, *options, family=family)
                self.asks(ANN, "ann", "udp", "ledger", 7007, *options, family=family)
            self.asks(ANN, "ann", "tcp", "ledger", 5432, "from=" + ("0.0.0.0" if family == 4 else "::"), family=family,
                      what="bound to every address")
            got = self.asks(ANN, "ann", "mptcp", "ledger", 5432, family=family)
            expect(got.get("fallback") is False, "and it is MPTCP at both ends", got)
            for options in ((), mapped, ("as=" + self.address("ann", family),)):
                self.asks(ANN, "ann", "datagram", "ledger", 7007, *options, family=family)
            self.asks(ANN, "ann", "ping", "ledger", 0, family=family)
            self.asks(BEN, "ben", "tcp", "web", 443, family=family)
            self.asks(BEN, "ben", "datagram", "ledger", 7007, family=family)
            self.refused(BEN, "EHOSTUNREACH", "tcp", "ledger", 5432, family=family)
            self.refused(ANN, "EHOSTUNREACH", "tcp", "web", 443, family=family)
            self.refused(GUEST, "EHOSTUNREACH", "tcp", "web", 443, family=family)
            for uid in (ROOT_UID, SYSTEM):
                self.asks(uid, "jump", "tcp", "ledger", 8080, family=family, what=f"as uid {uid}")
            self.refused(ANN, "EHOSTUNREACH", "tcp", "ledger", 8080, family=family, what="which is the device's,")
        expect(self.rules() == ({ANN: 2, BEN: 2}, 4), "a rule by session and family", self.rules())
        before = self.dropped("no_grant")
        for family in (4, 6):
            done = self.lab.on("jump", "ping", "-c", "1", "-W", "10", self.address("ledger", family), uid=ANN, timeout=30)
            expect(done.returncode == 0, f"ann's ping(8) over IPv{family}, which asks by udp/1025 for its source",
                   done.stdout + done.stderr)
        expect(self.dropped("no_grant") == before, "and nothing is told as denied for it")
        done = self.lab.on("jump", "ping", "-c", "1", "-W", "10", self.address("web", 4), uid=BEN, timeout=30)
        expect(done.returncode != 0 and "No route to host" in done.stderr,
               "ben, who may not ping web, is told so by his ping(8)", done.stdout + done.stderr)
        expect(self.dropped("no_grant") == before + 1, "which is told as denied")

    def nobody_is_another(self):
        for family in (4, 6):
            own = {uid: self.address(name, family) for uid, name in ((ANN, "ann"), (BEN, "ben"), (ROOT_UID, "jump"))}
            for uid in (ANN, BEN, GUEST, SYSTEM, ROOT_UID):
                mine = own.get(ROOT_UID if uid == SYSTEM else uid)
                for address in own.values():
                    for options in (("mapped",), ()) if family == 4 else ((),):
                        got = self.sockets(uid, "bind", address, *options)
                        wanted = {"bound": address} if address == mine else {"error": "EADDRNOTAVAIL"}
                        expect(got == wanted, f"uid {uid} binds to {address} {' '.join(options)}: {wanted}", got)
            ann = self.address("ann", family)
            self.refused(BEN, "EADDRNOTAVAIL", "datagram", "ledger", 7007, f"as={ann}", family=family)
            self.refused(GUEST, "EADDRNOTAVAIL", "datagram", "ledger", 7007, f"as={ann}", family=family)
        before = self.dropped("wrong_owner")
        self.sockets(ROOT_UID, "forge", self.address("ann", 4), self.address("ledger", 4), 7007)
        expect(self.dropped("wrong_owner") == before + 1, "a packet that root makes by hand in ann's name is dropped")
        expect("forged" not in self.lab.log_tail("ledger", "sockets", 1000), "and never reaches ledger")

    def containers_are_forwarded(self):
        jump, box = self.lab.netns("jump"), f"{self.lab.name}-box"
        overlay = self.lab.interface("jump")
        run("ip", "netns", "add", box)
        try:
            run("ip", "-n", jump, "link", "add", "box0", "type", "veth", "peer", "name", "eth0", "netns", box)
            run("ip", "-n", jump, "addr", "add", "192.168.77.1/24", "dev", "box0")
            run("ip", "-n", jump, "link", "set", "box0", "up")
            run("ip", "-n", box, "addr", "add", "192.168.77.2/24", "dev", "eth0")
            run("ip", "-n", box, "link", "set", "eth0", "up")
            run("ip", "-n", box, "route", "add", "default", "via", "192.168.77.1")
            self.masquerade(jump, overlay)
            before = self.dropped("forwarded")
            for uid in (ROOT_UID, ANN):
                done = subprocess.run(["nsenter", f"--net=/run/netns/{box}", "setpriv", f"--reuid={uid}",
                                       f"--regid={uid}", "--clear-groups", PYTHON, SOCKETS, "ask", "tcp",
                                       self.address("ledger", 4), "8080"], text=True, capture_output=True, timeout=30)
                expect('"timeout"' in done.stdout, f"uid {uid} in a box that jump masquerades reaches nothing",
                       done.stdout + done.stderr)
            expect(self.dropped("forwarded") >= before + 2, "its packets are dropped as forwarded")
        finally:
            subprocess.run(["ip", "netns", "del", box], check=False)

    def masquerade(self, jump, overlay):
        rules = ("table ip box { chain out { type nat hook postrouting priority 100; "
                 f"ip saddr 192.168.77.0/24 oifname \"{overlay}\" masquerade; }} }}")
        nft = subprocess.run(["nsenter", f"--net=/run/netns/{jump}", "nft", "-f", "-"], input=rules, text=True,
                             capture_output=True)
        if nft.returncode == 0:
            return
        # Without nft on this machine.
        run("nsenter", f"--net=/run/netns/{jump}", "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "192.168.77.0/24",
            "-o", overlay, "-j", "MASQUERADE")

    def a_logout_takes_all_of_it(self):
        kinds = [("tcp", 5432, 4), ("tcp", 5432, 6), ("udp", 7007, 4), ("udp", 7007, 6)]
        anns = {kind: Held(self.lab, ANN, kind[0], self.address("ledger", kind[2]), kind[1]) for kind in kinds}
        multipath = Held(self.lab, ANN, "mptcp", self.address("ledger", 4), 5432)
        bens = Held(self.lab, BEN, "tcp", self.address("web", 4), 443)
        listener = Held(self.lab, ANN, 9999, verb="listen")
        root = Held(self.lab, ROOT_UID, "tcp", self.address("ledger", 4), 8080)
        expect(all("seen" in held.first for held in (*anns.values(), bens, root)), "sockets of ann, ben and the device")
        begun = time.monotonic()
        done = self.perimeter.device_cordon("jump", "logout", uid=ANN)
        succeeded(done, f"ann logs out, {(time.monotonic() - begun) * 1000:.0f} ms")
        for kind, held in anns.items():
            ended = held.line(2)
            expect("ended" in ended and ended["ended"] not in ("data",),
                   f"the {kind[0]} over IPv{kind[2]} that she left behind is ended: {ended.get('ended')}", ended)
        connected = self.sockets_from(self.own["ann"])
        expect("seen" in multipath.first and connected == "",
               "of her MPTCP no subflow is left: nothing is connected from her addresses", connected)
        if self.close_timeout:
            told = multipath.line(patient(15)).get("ended")
            expect(told == "ENOTCONN", f"who reads from it is told long before {self.close_timeout} s: {told}")
            for host in ("jump", "ledger"):
                expect(wait_for(lambda: not self.multipath_of(host), 5), f"{host} has none of her MPTCP sockets left",
                       self.multipath_of(host))
                expect(wait_for(lambda: self.mptcp_close_timeout(host) == self.close_timeout, 5),
                       f"{host}'s net.mptcp.close_timeout is as it was", self.mptcp_close_timeout(host))
        multipath.end()
        for family in (4, 6):
            self.refused(ANN, "EHOSTUNREACH", "tcp", "ledger", 5432, family=family)
            self.refused(ANN, "EHOSTUNREACH", "datagram", "ledger", 7007, family=family)
            self.refused(ANN, "ENETUNREACH", "ping", "ledger", 0, family=family)
            self.asks(BEN, "ben", "tcp", "web", 443, family=family)
            self.asks(SYSTEM, "jump", "tcp", "ledger", 8080, family=family)
        expect(self.rules() == ({BEN: 2}, 4), "her rules are gone", self.rules())
        for name, held in (("ben's", bens), ("the device's", root)):
            expect(held.line(0.2) == {} and held.process.poll() is None, f"{name} stream lives on")
            held.end()
        for held in anns.values():
            held.end()
        listener.process.stdin.close()
        expect(listener.first == listener.line(5) == {"listening": True}, "what listens goes on listening")
        listener.process.wait(10)

    def a_restart_finds_it(self):
        bens = Held(self.lab, BEN, "tcp", self.address("web", 4), 443)
        kill(self.lab.pid("jump", "cordon-node"))
        self.asks(BEN, "ben", "tcp", "web", 443, what="without a daemon")
        self.refused(ANN, "EHOSTUNREACH", "tcp", "ledger", 5432, what="without a daemon")
        run("ip", "-n", self.lab.netns("jump"), "rule", "add", "pref", "20001", "to", "100.64.0.0/10", "uidrange",
            f"{ANN}-{ANN}", "lookup", str(self.block() + 99), "protocol", "0xc0")
        self.perimeter.start_node("jump")
        self.perimeter.wait_ready("jump")
        wait_until(lambda: self.rules() == ({BEN: 2}, 4), 10, "the stale rule to go")
        expect(True, "after a restart the rules are as before; a stale one of a former daemon is gone")
        self.asks(BEN, "ben", "tcp", "web", 443, family=6)
        expect(bens.line(0.2) == {} and bens.process.poll() is None, "ben's stream lived through it")
        bens.end()

    def block(self):
        """Where jump's tables begin: what the unreachable rule is marked with."""
        rules = json.loads(run("ip", "-n", self.lab.netns("jump"), "-j", "rule").stdout)
        table = next(int(rule["table"]) for rule in rules if str(rule.get("table", "")).isdigit())
        return table & 0xffff0000

    def nothing_is_left(self):
        pid = self.lab.pid("jump", "cordon-node")
        kill(pid)
        done = self.lab.on("jump", *self.perimeter.node_command("jump", "uninstall"))
        succeeded(done, "cordon-node uninstall")
        expect(self.rules() == ({}, 0), "leaves no rule", self.rules())
        left = run("ip", "-n", self.lab.netns("jump"), "route", "show", "table", "all", "proto", "0xc0").stdout
        expect(left == "", "and no route in any table", left)

    def logins(self):
        for name in ("ann", "ben"):
            self.log_in(name)

    def parts(self):
        return (self.nobody_has_a_session, self.logins, self.each_has_their_own, self.nobody_is_another,
                self.containers_are_forwarded, self.a_logout_takes_all_of_it, self.a_restart_finds_it,
                self.nothing_is_left)


harness.play(SharedHost)
