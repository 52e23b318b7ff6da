#!/usr/bin/python3
"""In the guest, when its network is up: was what guards this host in force first?  boot_report.py isolated|guarded"""
import subprocess
import sys
import time

failures = []


def expect(holds, what, seen):
    print(("ok    " if holds else "FAIL  ") + what + ("" if holds else f"\n      seen: {seen}"), flush=True)
    if not holds:
        failures.append(what)


def command(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def moment(unit, what):
    """Microseconds since boot; 0: never."""
    return int(command("systemctl", "show", "-P", f"{what}TimestampMonotonic", unit) or 0)


def knocks():
    with open("/run/knocks") as file:
        return [line.split(" ", 1)[1].strip() for line in file]


def speak():
    """What a program of this host could send: the error, or none."""
    return subprocess.run(["bash", "-c", "echo x > /dev/udp/198.51.100.1/9"], capture_output=True, text=True).stderr


def in_order():
    loaded, pre = moment("cordon-guard.service", "ExecMainExit"), moment("network-pre.target", "ActiveEnter")
    begun, up = moment("wires.service", "ExecMainStart"), moment("network.target", "ActiveEnter")
    times = f"guard {loaded} us, network-pre.target {pre}, first interface {begun}, network.target {up}"
    expect(0 < loaded <= pre <= begun <= up, "the guard is in force, then network-pre.target, then the first interface",
           times)
    print(f"      {times}")


def main(how):
    state = command("systemctl", "is-active", "cordon-guard.service")
    said = command("journalctl", "-b", "-o", "cat", "-u", "cordon-guard.service")
    expect(state == "active" and f"{how} as before" in said, f"cordon-guard.service says: {how} as before", f"{state}\n{said}")
    in_order()
    carried = command("ip", "-brief", "link", "show", "eth0")
    expect("LOWER_UP" in carried, "eth0 is up", carried)
    error = speak()
    time.sleep(2)
    seen = knocks()
    if how == "isolated":
        expect(seen == ["knocks"], "from its first moment the wire saw nothing but silence", seen)
        expect("not permitted" in error, "what a program sends is refused", error)
    else:
        expect("syn-ack from 8080" in seen, "a port that nobody guards answers", seen)
        expect("syn-ack from 443" not in seen, "a guarded one never did", seen)
        expect(error == "" and "v4/17" in seen, "what a program sends arrives", f"{error} {seen}")
    if failures:
        print(command("systemctl", "status", "--no-pager", "cordon-guard.service"), said,
              command("systemctl", "--failed", "--no-pager"), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
