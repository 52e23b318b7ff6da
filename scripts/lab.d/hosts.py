"""Namespaces, wires, cgroups and processes of the lab's hosts; nothing of Cordon in here."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import enter
import machine
import topology

BPFFS = Path("/sys/fs/bpf")
# How many times slower this machine is than the one the lab's times are for; an emulated one sets it.
PATIENCE = float(os.environ.get("CORDON_LAB_PATIENCE", "1"))


class LabError(Exception):
    """Something the person at the keyboard is told in one line."""


def run(*command, check=True, **options):
    result = subprocess.run(command, text=True, capture_output=True, **options)
    if check and result.returncode != 0:
        raise LabError(f"{' '.join(command)}: {result.stderr.strip() or result.stdout.strip()}")
    return result


def cgroup2_root():
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(mount)
    raise LabError("no cgroup2 is mounted; mount it: mount -t cgroup2 none /sys/fs/cgroup/unified")


def patient(seconds):
    """A bound on how long something may take, for this machine."""
    return seconds * PATIENCE


def wait_until(condition, seconds, what, interval=0.05):
    """The condition's first true value; LabError after `seconds` (times the machine's patience)."""
    end = time.monotonic() + patient(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {patient(seconds):g} s in vain for {what}")
        time.sleep(interval)


def wait_for(condition, seconds, interval=0.05):
    """True once the condition holds, False when it did not within `seconds`."""
    try:
        wait_until(condition, seconds, "", interval)
        return True
    except LabError:
        return False


class Lab:
    def __init__(self, name):
        if not name.isalnum() or not name.islower() or len(name) > 6:
            raise LabError(f'"{name}" is no name for a lab: use 1 to 6 lowercase letters and digits')
        self.name = name
        self.build = Path(os.environ.get("CORDON_BUILD_DIR", "build"))
        self.dir = Path("/var/lib/cordon-lab") / name
        self.cgroup = cgroup2_root() / f"cordon-lab-{name}"

    # ---- names ----

    def netns(self, host):
        return f"{self.name}-{host}"

    def host_dir(self, host):
        return self.dir / host

    def interface(self, host):
        return f"{self.name}-{host}"[:15]

    def pins(self, host):
        return BPFFS / "cordon" / f"{self.name}-{host}"

    def pinned(self, host, place):
        """Is the host's filter at guard-7-in, overlay_out and the like: by tcx (link-PLACE) or clsact (clsact-7-PLACE)?"""
        return any(self.pins(host).glob(f"*-{place}"))

    def binary(self, name):
        path = self.build / "bin" / name
        if not path.exists():
            raise LabError(f"{path} is not there: build it with scripts/build")
        return str(path)

    def exists(self):
        return self.dir.exists()

    # ---- making hosts ----

    def make(self):
        """The hosts and their wires; nothing runs on them yet."""
        self.dir.mkdir(parents=True)
        self.dir.chmod(0o755)
        self.make_wires()

    def make_wires(self):
        machine.borrow(self.name)
        inet = self.netns("inet")
        run("ip", "netns", "add", inet)
        run("ip", "-n", inet, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        run("ip", "-n", inet, "link", "set", "br0", "up")
        for host in topology.HOSTS:
            self.make_host(host, inet)

    def make_host(self, host, inet):
        ns = self.netns(host.name)
        run("ip", "netns", "add", ns)
        self.write_hosts_file(host.name, {})
        (self.cgroup / host.name).mkdir(parents=True, exist_ok=True)
        if host.gateway:
            return self.wire_behind(host, ns)
        end = f"v-{host.name}"
        run("ip", "-n", inet, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", ns)
        run("ip", "-n", inet, "link", "set", end, "master", "br0", "up")
        # No duplicate address detection: the addresses are ours to give, and it would cost a second.
        run("nsenter", f"--net=/run/netns/{ns}", "sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.eth0.accept_dad=0")
        run("ip", "-n", ns, "link", "set", "lo", "up")
        run("ip", "-n", ns, "addr", "add", f"{host.v4}/24", "dev", "eth0")
        run("ip", "-n", ns, "addr", "add", f"{host.v6}/64", "dev", "eth0", "nodad")
        run("ip", "-n", ns, "link", "set", "eth0", "up")

    def wire_behind(self, host, ns):
        """A network of its gateway's own, which forwards; the way back is the gateway, so nothing is translated."""
        gateway = self.netns(host.gateway)
        v4, v6 = (f"{subnet.split('/')[0].removesuffix('.0')}" for subnet in topology.BEHIND[host.gateway])
        own = ((f"{v4}.1", 24), (f"{v6}1", 64))
        run("ip", "-n", gateway, "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", ns)
        for where, device, addresses in ((gateway, "lan0", own), (ns, "eth0", ((host.v4, 24), (host.v6, 64)))):
            run("ip", "-n", where, "-batch", "-", input="".join(
                [f"link set {name} up\n" for name in ("lo", device)]
                + [f"addr add {address}/{length} dev {device}{' nodad' if ':' in address else ''}\n"
                   for address, length in addresses]))
        run("ip", "-n", ns, "-batch", "-", input="".join(f"route add default via {address}\n" for address, _ in own))
        run("nsenter", f"--net=/run/netns/{gateway}", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1")

    def write_hosts_file(self, host, overlay):
        """/etc/hosts of a host: names of other hosts mean their overlay addresses."""
        directory = self.host_dir(host)
        directory.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost", "::1 localhost", f"{topology.CONTROLLER.v4} controller controller.acme.example"]
        for name, addresses in overlay.items():
            lines += [f"{address} {name}" for address in addresses]
        (directory / "hosts").write_text("\n".join(lines) + "\n")  # in place: it may be bind-mounted

    # ---- running things ----

    def place(self, host, uid):
        """What a process of the host, and of the uid on it, needs before its program begins."""
        return (f"/run/netns/{self.netns(host)}", str(self.host_dir(host) / "hosts"), str(self.cgroup / host), uid)

    def environment(self, host, uid):
        home = self.host_dir(host) / f"home-{uid}"
        if uid and not home.exists():
            home.mkdir(parents=True)
            os.chown(home, uid, uid)
        # psql itself, not Debian's wrapper that looks for a cluster in Perl.
        postgresql = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]]
        return {**os.environ, "HOME": str(home if uid else "/root"), "PATH": ":".join([*postgresql, os.environ["PATH"]])}

    def options(self, host, uid):
        """For subprocess: as a process of the host."""
        place = self.place(host, uid)

        def become():
            try:
                enter.enter(*place)
            except OSError as error:
                os.write(2, f"lab: {error}\n".encode())
                os._exit(1)
        return {"preexec_fn": become, "env": self.environment(host, uid)}

    def become(self, host, command, uid=0):
        """Never returns: this process is the command from here on."""
        environment = self.environment(host, uid)
        try:
            enter.enter(*self.place(host, uid))
            os.execvpe(command[0], command, environment)
        except OSError as error:
            sys.exit(f"lab: {command[0]}: {error.strerror}")

    def on(self, host, *command, uid=0, timeout=60, input=None):
        """Runs to the end and captures."""
        return subprocess.run(command, text=True, capture_output=True, timeout=patient(timeout), input=input,
                              **self.options(host, uid))

    def popen(self, host, *command, uid=0, **options):
        return subprocess.Popen(command, **self.options(host, uid), **options)

    def start(self, host, service, *command, uid=0):
        """Starts a daemon in a session of its own and remembers its process id."""
        directory = self.host_dir(host)
        with open(directory / f"{service}.log", "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                       **self.options(host, uid))
        (directory / f"{service}.pid").write_text(str(process.pid))
        return process

    def pid(self, host, service):
        path = self.host_dir(host) / f"{service}.pid"
        if not path.exists():
            return None
        pid = int(path.read_text())
        return pid if process_lives(pid) else None

    def log_tail(self, host, service, lines=15):
        path = self.host_dir(host) / f"{service}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # ---- taking everything away, also what a crash left ----

    def down(self):
        if self.cgroup.exists():
            (self.cgroup / "cgroup.kill").write_text("1")
            wait_until(lambda: not self.processes(), 10, "the lab's processes to end")
            for group in sorted(self.cgroup.glob("**/"), key=lambda p: -len(p.parts)):
                wait_until(lambda: remove_cgroup(group), 5, f"{group} to empty")
        self.unmount()
        for name in ["inet", *topology.BY_NAME]:
            if Path("/run/netns", self.netns(name)).exists():
                run("ip", "netns", "del", self.netns(name))
            shutil.rmtree(self.pins(name), ignore_errors=True)
            for socket in machine.WIREGUARD_SOCKETS.glob(f"{self.interface(name)}.sock"):
                socket.unlink()
        machine.give_back(self.name)
        try:
            (BPFFS / "cordon").rmdir()
        except OSError:
            pass  # other instances live there
        shutil.rmtree(self.dir, ignore_errors=True)
        try:
            self.dir.parent.rmdir()
        except OSError:
            pass

    def unmount(self):
        """What a test mounted in the lab's directory."""
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self.dir}/")]):
            run("umount", mount)

    def processes(self):
        return [pid for procs in self.cgroup.glob("**/cgroup.procs") for pid in procs.read_text().split()]


def remove_cgroup(path):
    try:
        path.rmdir()
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False


def process_lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(pid, number=signal.SIGKILL):
    """Ends a process we started and waits until it is gone (a child of ours is reaped)."""
    os.kill(pid, number)

    def gone():
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        return not process_lives(pid)
    wait_until(gone, 10, f"process {pid} to end", interval=0.005)


def say(text):
    print(text, file=sys.stderr, flush=True)


def dump(value):
    return json.dumps(value, indent=2, ensure_ascii=False)
