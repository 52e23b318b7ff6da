#!/usr/bin/python3 -B
"""Wrong input of every kind at a whole perimeter: refused with the place and the mend, nothing lost, nobody dies.

One controller, ledger and trader (of the lab's usual company); the controller's state lies on a small tmpfs that is
filled up once.
"""
import base64
import os
import pwd
import subprocess
from pathlib import Path

import harness
import services
import topology
from harness import PYTHON, LabTest, expect, refused, succeeded
from hosts import run, wait_until


class Refusals(LabTest):
    def __init__(self, lab):
        super().__init__(lab)
        self.dir = lab.host_dir("controller")

    def controller_pid(self):
        return self.lab.pid("controller", "cordon-controller")

    def trader_reaches(self):
        return self.psql("trader", self.overlay)

    def privileges(self):
        """The node is its own user with three capabilities, for good: none can be gained."""
        status = Path(f"/proc/{self.lab.pid('ledger', 'cordon-node')}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        wanted = 1 << 12 | 1 << 38 | 1 << 39  # CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF (linux/capability.h)
        for which in ("CapEff", "CapPrm", "CapAmb"):
            expect(int(facts[which], 16) == wanted, f"ledger's node has three capabilities and no other ({which})", status)
        expect(facts["Uid"].split()[0] == str(pwd.getpwnam("cordon").pw_uid), "ledger's node runs as user cordon")
        expect(facts["NoNewPrivs"].strip() == "1" and facts["Seccomp"].strip() == "2",
               "ledger's node can gain no privileges and has a system call filter")

    def configs(self):
        bad = self.dir / "bad.toml"
        bad.write_text((self.dir / "controller.toml").read_text().replace('api = "', 'apii = "'))
        refused(self.lab.on("controller", self.lab.binary("cordon-controller"), "--config", str(bad), "--check"),
                "an unknown key in controller.toml", "bad.toml:8:1", "apii", 'did you mean "api"')
        node = self.lab.host_dir("ledger") / "bad.toml"
        node.write_text((self.lab.host_dir("ledger") / "node.toml").read_text().replace("51820", '"many"'))
        refused(self.lab.on("ledger", self.lab.binary("cordon-node"), "check", "--config", str(node)),
                "a wrong type in node.toml", "bad.toml:", "listen_port")

    def policies(self):
        before = self.perimeter.cordon("policy", "show").stdout
        directory = self.dir / "badpolicy"
        directory.mkdir()
        (directory / "bad.toml").write_text(topology.POLICY.format(lease="10m").replace('["traders"]', '["tradres"]'))
        refused(self.perimeter.cordon("policy", "apply", str(directory)), "a policy with a misspelt group",
                "bad.toml:22", '"tradres"', 'did you mean "traders"')
        (directory / "bad.toml").write_text("[segments.x\n")
        refused(self.perimeter.cordon("policy", "apply", str(directory)), "a policy with a syntax error", "bad.toml:1")
        refused(self.perimeter.cordon("policy", "apply", "/nonexistent"), "a policy directory that isn't there",
                "/nonexistent")
        (directory / "bad.toml").write_text(topology.POLICY.format(lease="10m") + """
[[test]]
name = "a trader is shut out"
who = { user = "trader@acme.example", device = { ownership = "company" }, assurance = "aal2" }
access = "settlement/ledger"
expect = "deny"
""")
        refused(self.perimeter.cordon("policy", "apply", str(directory)), "a policy whose own test fails",
                "a trader is shut out", "expected deny", "found allow")
        expect(self.perimeter.cordon("policy", "show").stdout == before, "the policy in force is as before")
        self.unconfirmed()

    def unconfirmed(self):
        """A policy that waits: alone, for its own revision's confirmation, and it can be taken back."""
        applied = self.perimeter.apply_policy(lease="9m", confirm=False)
        refused(self.perimeter.cordon("policy", "apply", str(self.dir / "policy")), "a second policy while one waits",
                "waits for confirmation until", "cordon policy confirm", "cordon policy rollback")
        refused(self.perimeter.cordon("policy", "confirm", "1"), "a confirmation of another revision",
                "isn't the one that waits")
        back = self.perimeter.ask("policy", "rollback", "--reason", "refusals")
        expect(back["undone"] == applied["revision"], "the policy that waits is taken back", back)
        refused(self.perimeter.cordon("policy", "confirm", str(applied["revision"])), "a confirmation that comes too late",
                "no policy waits")
        told = self.perimeter.cordon("policy", "history").stdout
        expect("rolled back" in told and "refusals" in told and "in force" in told, "history tells of it", told)

    def tokens(self):
        self.perimeter.write_node_config(topology.Host("web", 11))
        good = self.perimeter.token(topology.Host("web", 11, tags=("web",)), approve=True)
        prefix, secret, fingerprint = good.rsplit(".", 2)

        def flipped(text):
            raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            raw[0] ^= 1
            return base64.urlsafe_b64encode(raw).decode().rstrip("=")

        def enrol(token):
            return self.lab.on("web", *self.perimeter.node_command("web", "enrol", "--token-file", "-"),
                               input=token + "\n", timeout=60)
        refused(enrol(f"{prefix}.{secret}.{flipped(fingerprint)}"), "a token that names another CA", "root", "nothing was sent")
        refused(enrol(f"{prefix}.{flipped(secret)}.{fingerprint}"), "a token with a wrong secret", "token")
        refused(enrol("cordon1.nonsense"), "a token that is none", "token")
        expect("web" not in self.perimeter.devices(), "none of them enrolled a device")

    def passwords(self):
        slowed = None
        for _ in range(10):
            slowed = self.perimeter.device_cordon("trader", "login", "--user", "trader@acme.example", "--password-file",
                                                  "-", "--totp", "000000", input="wrong password here\n")
        refused(slowed, "after ten wrong passwords the account is slowed down on that device", "again in")
        # The same account from a device that did nothing wrong isn't held back: a stranger can't lock people out.
        done = self.perimeter.login("clerk")
        succeeded(done, "another person on another device signs in as ever")

    def garbage(self):
        pid = self.controller_pid()
        sent = 0
        for port in (topology.NODE_PORT, topology.API_PORT):
            for bytes_ in (b"\x16\x03\x01" + os.urandom(400), b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b""):
                script = ("import socket,sys;s=socket.create_connection(('%s',%d),3);s.sendall(sys.stdin.buffer.read());"
                          "s.settimeout(1)\ntry: s.recv(100)\nexcept OSError: pass")
                self.lab.popen("trader", PYTHON, "-c", script % (topology.CONTROLLER.v4, port),
                               stdin=subprocess.PIPE).communicate(bytes_, timeout=15)
                sent += 1
        expect(self.controller_pid() == pid and self.perimeter.controller_answers(),
               f"the controller lives through {sent} connections of garbage")
        body = self.lab.on("controller", "curl", "-sS", "--unix-socket", str(self.dir / "run" / "admin.sock"),
                           "-H", "content-type: application/json", "-d", '{"tagz": ["x"]}', "http://localhost/v1/tokens")
        expect("tagz" in body.stdout and '"status":4' in body.stdout.replace(" ", ""),
               "an API body with an unknown member is refused by name", body)

    def full_disk(self):
        filler = self.dir / "state" / "filler"
        with open(filler, "wb", buffering=0) as out:  # nothing is left for close() to write
            try:
                while True:
                    out.write(bytes(1 << 16))
            except OSError:
                pass

        # SQLite may have a few pages in hand: a handful of writes may still succeed.
        done = None
        for _ in range(200):
            done = self.perimeter.cordon("token", "create", "--tags", "late")
            if done.returncode != 0:
                break
        refused(done, "writes stop when the disk is full, and the error says so", "disk")
        expect(self.trader_reaches(), "what was granted stays reachable while the disk is full")
        filler.unlink()
        wait_until(lambda: self.perimeter.cordon("token", "create", "--tags", "late").returncode == 0, 20,
                   "writes to work again")
        succeeded(self.perimeter.cordon("audit", "verify"), "with space again, writes work and the log verifies")

    def up(self):
        services.start_postgresql(self.lab, "ledger")
        self.perimeter.write_controller_config()
        state = self.dir / "state"
        run("mount", "-t", "tmpfs", "-o", f"size=24m,mode=0700,uid={state.stat().st_uid}", "tmpfs", str(state))
        self.perimeter.up([topology.BY_NAME[name] for name in ("ledger", "trader", "clerk")])
        self.overlay = self.perimeter.overlay("ledger")

    def before(self):
        self.sign_in("trader")
        expect(self.trader_reaches(), "trader reaches ledger")

    def after(self):
        expect(self.trader_reaches(), "after all of it trader still reaches ledger")

    def parts(self):
        return (self.before, self.privileges, self.configs, self.policies, self.tokens, self.passwords, self.garbage,
                self.full_disk, self.after)


harness.play(Refusals)
