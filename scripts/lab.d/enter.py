#!/usr/bin/python3
"""Runs a command on a lab host: enter.py --netns FILE --hosts FILE --cgroup DIR [--uid N] -- CMD ...

Joins the host's cgroup and network namespace, gives the command a mount namespace of its own in which /etc/hosts
is the host's (`ip netns exec` would remount /sys and hide bpffs), drops to the uid and becomes the command.
"""
import argparse
import ctypes
import os
import sys

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        error = ctypes.get_errno()
        sys.exit(f"lab: {name}: {os.strerror(error)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--netns", required=True)
    parser.add_argument("--hosts", required=True)
    parser.add_argument("--cgroup", required=True)
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--home", default="/root")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        sys.exit("lab: nothing to run: give a command after --")

    with open(os.path.join(options.cgroup, "cgroup.procs"), "w") as procs:
        procs.write(str(os.getpid()))
    with open(options.netns) as netns:
        call("setns", netns.fileno(), CLONE_NEWNET)
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    call("mount", options.hosts.encode(), b"/etc/hosts", None, MS_BIND, None)
    os.environ["HOME"] = options.home
    if options.uid:
        os.setgroups([])
        os.setgid(options.uid)
        os.setuid(options.uid)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"lab: {command[0]}: {error.strerror}")


main()
