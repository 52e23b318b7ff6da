"""Cordon itself in the lab: the controller, the nodes, their enrolment, the policy and the people."""
import base64
import hashlib
import hmac
import json
import os
import pwd
import struct
import time
from urllib.parse import parse_qs, urlparse

import topology
from hosts import LabError, dump, say, wait_until

ADMIN_SOCKET = "admin.sock"


def totp(secret, at=None):
    """RFC 6238 with the defaults of every authenticator: SHA-1, 30 s, 6 digits."""
    counter = struct.pack(">Q", int((time.time() if at is None else at) // 30))
    digest = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), counter, hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7fffffff) % 1000000:06}"


class Perimeter:
    def __init__(self, lab):
        self.lab = lab

    # ---- the controller ----

    def write_controller_config(self):
        host = topology.CONTROLLER
        directory = self.lab.host_dir("controller")
        for name in ("state", "run"):
            (directory / name).mkdir(parents=True, exist_ok=True)
            account = pwd.getpwnam("cordon")
            os.chown(directory / name, account.pw_uid, account.pw_gid)
            (directory / name).chmod(0o700)
        (directory / "controller.toml").write_text(f"""\
name = "controller-1"
trust_domain = "{topology.TRUST_DOMAIN}"
state_directory = "{directory}/state"
run_directory = "{directory}/run"

[listen]
nodes = "[::]:{topology.NODE_PORT}"
api = "[::]:{topology.API_PORT}"

[advertise]
names = ["controller.{topology.TRUST_DOMAIN}"]
addresses = ["{host.v4}", "{host.v6}"]

[leases]
node = "15m"
""")

    def start_controller(self):
        config = self.lab.host_dir("controller") / "controller.toml"
        self.lab.start("controller", "cordon-controller", self.lab.binary("cordon-controller"), "--config", str(config),
                       uid=pwd.getpwnam("cordon").pw_uid)
        wait_until(self.controller_answers, 20, "the controller to answer; its log:\n"
                   + self.lab.log_tail("controller", "cordon-controller"))

    def controller_answers(self):
        return self.cordon("--json", "node", "list").returncode == 0

    def cordon(self, *arguments, timeout=60, input=None):
        """`cordon` as operator, on the controller's host."""
        socket = self.lab.host_dir("controller") / "run" / ADMIN_SOCKET
        return self.lab.on("controller", self.lab.binary("cordon"), "--socket", str(socket), *arguments,
                           timeout=timeout, input=input)

    def ask(self, *arguments, **options):
        """The same, parsed; a failure is an error."""
        answer = self.cordon("--json", *arguments, **options)
        if answer.returncode != 0:
            raise LabError(f"cordon {' '.join(arguments)}: {answer.stderr.strip() or answer.stdout.strip()}")
        values = [json.loads(line) for line in answer.stdout.splitlines() if line.strip()]
        return values[0] if len(values) == 1 else values

    # ---- policy ----

    def apply_policy(self, lease="10m", freeze=False, confirm=True):
        """Puts the lab's policy in force and, unless told otherwise, confirms it: unconfirmed it would be taken back."""
        directory = self.lab.host_dir("controller") / "policy"
        directory.mkdir(exist_ok=True)
        (directory / "lab.toml").write_text(topology.POLICY.format(lease=lease))
        freeze_file = directory / "freeze.toml"
        if freeze:
            freeze_file.write_text(topology.FREEZE)
        else:
            freeze_file.unlink(missing_ok=True)
        applied = self.ask("policy", "apply", str(directory))
        if confirm:
            self.ask("policy", "confirm", str(applied["revision"]))
        return applied

    # ---- nodes ----

    def write_node_config(self, host):
        lab = self.lab
        directory = lab.host_dir(host.name)
        subnets = topology.BEHIND.get(host.name)
        gateway = f"[gateway]\nsubnets = {json.dumps(subnets)}\n" if subnets else ""
        (directory / "node.toml").write_text(f"""\
instance = "{host.name[:6]}"
name = "{host.name}"
state_directory = "{directory}/state"
run_directory = "{directory}/run"
controllers = ["{topology.CONTROLLER.v4}:{topology.NODE_PORT}"]

[tunnel]
backend = "auto"
interface = "{lab.interface(host.name)}"
listen_port = 51820

[filter]
pin_directory = "{lab.pins(host.name)}"
cgroup = "{lab.cgroup / host.name}"

# The lab's hosts are small: maps to match.
[filter.maps]
principals = 4096
targets = 4096
grants = 16384
grant_ranges = 4096
flows = 8192
rule_counters = 1024
events_bytes = 262144

{gateway}""")

    def node_command(self, host, verb, *more):
        return (self.lab.binary("cordon-node"), verb, "--config",
                str(self.lab.host_dir(host) / "node.toml"), "--user", "cordon", *more)

    def enrol(self, host, token):
        """A waived approval needs a source prefix: the lab's internet. clerk's laptop is approved by hand."""
        done = self.lab.on(host.name, *self.node_command(host.name, "enrol", "--token-file", "-"), input=token + "\n")
        if done.returncode != 0:
            raise LabError(f"enrolling {host.name}: {done.stderr.strip()}")

    def token(self, host, approve):
        waived = ["--approve", "--source", "198.51.100.0/24"] if approve else []
        return self.ask("token", "create", "--tags", ",".join(host.tags), *waived)["token"]

    def start_node(self, host):
        self.lab.start(host, "cordon-node", *self.node_command(host, "run"))

    def node_status(self, host):
        answer = self.device_cordon(host, "--json", "status")
        try:
            return json.loads(answer.stdout) if answer.returncode == 0 else None
        except ValueError:
            return None

    def device_cordon(self, host, *arguments, uid=None, input=None, timeout=30):
        """`cordon` on a device, as its person."""
        uid = topology.BY_NAME[host].uid if uid is None else uid
        socket = self.lab.host_dir(host) / "run" / "node.sock"
        return self.lab.on(host, self.lab.binary("cordon"), "--node-socket", str(socket), *arguments, uid=uid,
                           input=input, timeout=timeout)

    def ready(self, host):
        """Connected, and it enforces a state."""
        status = self.node_status(host)
        return bool(status and status["controller"]["connected"] and status["addresses"])

    def wait_ready(self, host, seconds=30):
        wait_until(lambda: self.ready(host), seconds, f"{host}'s node to hold a state", interval=0.1)

    def devices(self):
        items = self.ask("device", "list")
        return {item["id"]: item for item in (items if isinstance(items, list) else [items])}

    def overlay(self, host, family=4):
        """Its overlay address."""
        return next(address for address in self.devices()[host]["addresses"] if (":" in address) == (family == 6))

    # ---- people ----

    def add_user(self, name):
        made = self.ask("user", "add", name, "--password-file", "-", input=topology.PASSWORDS[name] + "\n")
        secret = parse_qs(urlparse(made["otpauth"]).query)["secret"][0]
        path = self.lab.dir / "totp.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(dump({**known, name: secret}))
        path.chmod(0o600)

    def code_of(self, person):
        return totp(json.loads((self.lab.dir / "totp.json").read_text())[person])

    def login(self, host, person=None):
        """Password and the authenticator's code, as the laptop's person or the one named. A code works once: wait for
        a fresh one."""
        who = topology.BY_NAME[host].named(person) if person else topology.BY_NAME[host].people[0]
        person = who.user
        used = self.lab.dir / f"code-{who.name}"

        def fresh():
            code = self.code_of(person)
            return code if not used.exists() or used.read_text() != code else None
        code = wait_until(fresh, 35, "a fresh code")
        used.write_text(code)
        return self.device_cordon(host, "login", "--user", person, "--password-file", "-", "--totp", code,
                                  uid=who.uid, input=topology.PASSWORDS[person] + "\n")

    # ---- everything ----

    def up(self, nodes=topology.NODES, people=tuple(topology.PASSWORDS), policies=None):
        """The controller, the policy (with more files of it by name), people and nodes; each node holds its state."""
        self.write_controller_config()
        self.start_controller()
        say("lab: controller is up")
        directory = self.lab.host_dir("controller") / "policy"
        directory.mkdir()
        for name, text in (policies or {}).items():
            (directory / name).write_text(text)
        self.apply_policy()
        for person in people:
            self.add_user(person)
        for host in nodes:
            self.write_node_config(host)
            by_hand = host.name == "clerk"
            self.enrol(host, self.token(host, approve=not by_hand))
            self.start_node(host.name)
            if by_hand:
                self.ask("device", "approve", host.name)
        for host in nodes:
            self.wait_ready(host.name)
        self.name_hosts()
        say("lab: every node holds its state")

    def name_hosts(self):
        """Names on every host mean overlay addresses, as a resolver of the overlay would answer."""
        overlay = {name: device["addresses"] for name, device in self.devices().items()}
        for host in topology.HOSTS:
            self.lab.write_hosts_file(host.name, overlay)
        return overlay

    def status(self):
        devices = self.devices() if self.lab.pid("controller", "cordon-controller") else {}
        out = {}
        for host in topology.HOSTS:
            pids = {path.stem: self.lab.pid(host.name, path.stem)
                    for path in sorted(self.lab.host_dir(host.name).glob("*.pid"))}
            status = self.node_status(host.name) if host.node else None
            out[host.name] = {
                "underlay": [host.v4, host.v6],
                "overlay": devices.get(host.name, {}).get("addresses", []),
                "session": (status or {}).get("session"),
                "processes": pids,
            }
        return out
