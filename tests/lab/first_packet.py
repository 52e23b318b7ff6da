#!/usr/bin/python3 -B
"""What a person meets at once: the first SYN after a login finds the door open, a denial is told within a millisecond,
and a cut flow's sockets are destroyed at both ends.

Controller, ledger and trader of the lab's usual company, and fifty traders who use trader one after the other.
"""
import json
import statistics
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import harness
import topology
from harness import LEDGER, PYTHON, TRADER, LabTest, end, expect, note
from hosts import patient, wait_until
from perimeter import totp

LOGINS = 50
PASSWORD = "correct horse battery staple"

# Signs in as one after the other and connects at once; standard input: JSON. Prints one object for each.
PEOPLE = """
import json, socket, subprocess, sys, time
asked = json.load(sys.stdin)
sys.path.insert(0, asked["lab.d"])
from perimeter import totp
for number, (name, secret) in enumerate(asked["people"]):
    started = begun = time.monotonic()
    done = subprocess.run([*asked["cordon"], "login", "--user", name, "--password-file", "-", "--totp", totp(secret)],
                          input=asked["password"] + "\\n", text=True, capture_output=True)
    signed_in = time.monotonic()
    said = {"login_ms": round((signed_in - begun) * 1000, 1), "error": done.stderr if done.returncode else ""}
    for address in asked["addresses"][::1 if number % 2 else -1]:  # either family is the first
        begun = time.monotonic()
        try:
            socket.create_connection((address, 5432), 5).close()
        except OSError as error:
            said["error"] += f"{address}: {error}"
        said.setdefault("connect_ms", []).append(round((time.monotonic() - begun) * 1000, 1))
    print(json.dumps(said), flush=True)
    subprocess.run([*asked["cordon"], "logout"], capture_output=True)
    # A device may sign in and out four times a second.
    time.sleep(max(0, 0.55 - (time.monotonic() - started)))
"""

# Asks for what isn't granted, many times: ADDRESS PORT. Prints each answer's errno and time in microseconds.
DENIED = """
import errno, json, socket, sys, time
out = []
for _ in range(50):
    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    begun = time.perf_counter()
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
        code = 0
    except OSError as error:
        code = error.errno
    out.append([errno.errorcode.get(code, code), (time.perf_counter() - begun) * 1e6])
print(json.dumps(out))
"""

# Waits on a connection and tells how it ended: serve PORT | hold ADDRESS PORT.
WAITER = """
import socket, sys
if sys.argv[1] == "serve":
    listener = socket.create_server(("", int(sys.argv[2])))
    print("ready", flush=True)
    s, _ = listener.accept()
else:
    s = socket.create_connection((sys.argv[2], int(sys.argv[3])), 5)
    s.settimeout(None)
print("holds", flush=True)
try:
    print("data" if s.recv(1) else "end", flush=True)
except OSError as error:
    print(error.strerror, flush=True)
"""


class FirstPacket(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.people = {}

    def up(self):
        names = [f"trader{number}@acme.example" for number in range(LOGINS)]
        topology.POLICY = topology.POLICY.replace('"trader@acme.example"', ", ".join(f'"{name}"' for name in names))
        self.perimeter.up((LEDGER, TRADER), people=())
        for name in names:
            made = self.perimeter.ask("user", "add", name, "--password-file", "-", input=PASSWORD + "\n")
            self.people[name] = parse_qs(urlparse(made["otpauth"]).query)["secret"][0]
        self.addresses = self.perimeter.devices()["ledger"]["addresses"]
        self.cordon = [self.lab.binary("cordon"), "--node-socket", str(self.lab.host_dir("trader") / "run" / "node.sock")]

    def serve(self, port):
        """Something that accepts on ledger: a connection is all that is asked for."""
        return self.lab.popen("ledger", PYTHON, "-c",
                              f"import socket\ns=socket.create_server(('::',{port}),family=socket.AF_INET6,dualstack_ipv6=True)\n"
                              "print('ready', flush=True)\nwhile True: s.accept()[0].close()",
                              stdout=subprocess.PIPE, text=True)

    def logins(self):
        server = self.serve(5432)
        try:
            server.stdout.readline()
            asked = {"lab.d": str(Path(topology.__file__).parent), "cordon": self.cordon,
                     "people": list(self.people.items()), "password": PASSWORD, "addresses": self.addresses}
            done = self.lab.on("trader", PYTHON, "-c", PEOPLE, uid=TRADER.uid, input=json.dumps(asked),
                               timeout=180)
        finally:
            end(server)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        failed = [each for each in told if each["error"]]
        expect(len(told) == LOGINS and not failed, f"{LOGINS} logins, each followed by connects: 0 failures",
               f"{done.stderr}{failed}")
        slow = [each for each in told if max(each.get("connect_ms", [0])) >= patient(900)]
        expect(not slow, "no first SYN was lost (it would be sent again after a second), and no first handshake, of a pair "
               "that is new with each login (5 s)", slow)
        late = [each for each in told if each["login_ms"] >= patient(2000)]
        expect(not late, "no login waited its two seconds out", late)
        if told:
            connects = [ms for each in told for ms in each.get("connect_ms", [])]
            note(f"login {statistics.median(each['login_ms'] for each in told):.0f} ms, connect "
                 f"{statistics.median(connects):.1f} ms (medians); slowest connect {max(connects):.1f} ms")

    def open_session(self, name):
        return self.perimeter.device_cordon("trader", "login", "--user", name, "--password-file", "-", "--totp",
                                            totp(self.people[name]), input=PASSWORD + "\n")

    def denial(self):
        name = next(iter(self.people))
        wait_until(lambda: self.open_session(name).returncode == 0, 70, "a fresh code", interval=5)
        for address in self.addresses:
            done = self.lab.on("trader", PYTHON, "-c", DENIED, address, "9", uid=TRADER.uid)
            told = json.loads(done.stdout)
            expect(all(code == "EHOSTUNREACH" for code, _ in told), f"{address} port 9: no route to host", told)
            typical = statistics.median(us for _, us in told)
            expect(typical < patient(1000), f"{address} port 9: told within a millisecond ({typical:.0f} us)", told)

    def cut(self):
        address = next(a for a in self.addresses if ":" not in a)
        server = self.lab.popen("ledger", PYTHON, "-c", WAITER, "serve", "8080", stdout=subprocess.PIPE, text=True)
        other = self.lab.popen("ledger", PYTHON, "-c", WAITER, "serve", "8081", stdout=subprocess.PIPE, text=True)
        client = local = None
        try:
            server.stdout.readline(), other.stdout.readline()
            client = self.lab.popen("trader", PYTHON, "-c", WAITER, "hold", address, "8080", uid=TRADER.uid,
                                    stdout=subprocess.PIPE, text=True)
            local = self.lab.popen("ledger", PYTHON, "-c", WAITER, "hold", "127.0.0.1", "8081",
                                   stdout=subprocess.PIPE, text=True)
            for each in (client, server, local, other):
                expect(each.stdout.readline() == "holds\n", "a connection is held")
            (self.lab.host_dir("controller") / "policy" / "cut.toml").write_text(topology.FREEZE)
            self.perimeter.apply_policy()
            for who, process in (("the person's program", client), ("the server", server)):
                try:
                    said, _ = process.communicate(timeout=patient(10))
                except subprocess.TimeoutExpired:
                    said = "nothing"
                expect("abort" in said, f"a grant is revoked: {who} is told that its connection is gone", said)
            expect(local.poll() is None and other.poll() is None, "others lose nothing")
        finally:
            end(server, other, client, local)

    def parts(self):
        return (self.logins, self.denial, self.cut)


harness.play(FirstPacket)
