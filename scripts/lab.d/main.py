#!/usr/bin/python3
"""The lab's verbs."""
import argparse
import json
import os
import sys
from pathlib import Path

import machine
import services
import story
import topology
from hosts import Lab, LabError, say
from perimeter import Perimeter


def up(lab, _):
    if lab.exists():
        raise LabError(f'lab "{lab.name}" is there already; take it down first: scripts/lab down --name {lab.name}')
    bring_up(lab)
    say(f"lab: up. Try: scripts/lab exec{name_option(lab)} trader -- psql -h ledger -U postgres")


def bring_up(lab):
    lab.down()  # what a crash may have left under this name
    try:
        lab.make()
        services.start_all(lab)
        Perimeter(lab).up()
    except BaseException:
        say("lab: could not come up; logs of the daemons:")
        for log in sorted(lab.dir.glob("*/*.log")):
            say(f"--- {log}\n{lab.log_tail(log.parent.name, log.stem)}")
        lab.down()
        raise


def name_option(lab):
    return "" if lab.name == "lab" else f" --name {lab.name}"


def down(lab, _):
    lab.down()


def need(lab):
    if not lab.exists():
        raise LabError(f'lab "{lab.name}" is not up; bring it up: scripts/lab up{name_option(lab)}')


def status(lab, options):
    need(lab)
    state = Perimeter(lab).status()
    if options.json:
        print(json.dumps(state))
        return
    print(f"{'host':<12}{'underlay':<32}{'overlay':<40}processes")
    for name, host in state.items():
        running = ", ".join(f"{service} {pid or 'ended'}" for service, pid in host["processes"].items())
        print(f"{name:<12}{', '.join(host['underlay']):<32}{', '.join(host['overlay']):<40}{running}")


def uid_of(host, options):
    """Whom a command on the host is run as."""
    names = " or ".join(person.name for person in host.people)
    if options.person:
        person = host.named(options.person)
        if not person:
            raise LabError(f'nobody named "{options.person}" is on {host.name}'
                           + (f"; there is {names}" if names else ""))
        return person.uid
    if len(host.people) > 1 and not options.root:
        raise LabError(f"{host.name} has several people: add --as {names}, or --root")
    return 0 if options.root else host.uid


def execute(lab, options):
    need(lab)
    if options.host not in topology.BY_NAME:
        raise LabError(f'no host "{options.host}" in the lab; there are {", ".join(topology.BY_NAME)}')
    uid = uid_of(topology.BY_NAME[options.host], options)
    if topology.BY_NAME[options.host].node:
        os.environ["CORDON_NODE_SOCKET"] = str(lab.host_dir(options.host) / "run" / "node.sock")
    os.environ["PATH"] = f"{lab.build / 'bin'}:{os.environ['PATH']}"
    lab.become(options.host, trim(options.command), uid)


def cordon(lab, options):
    need(lab)
    socket = lab.host_dir("controller") / "run" / "admin.sock"
    lab.become("controller", [lab.binary("cordon"), "--socket", str(socket), *trim(options.command)])


def code(lab, options):
    need(lab)
    people = {person.name: person for host in topology.HOSTS for person in host.people}
    if options.person not in people:
        raise LabError(f'nobody is named "{options.person}"; there are {", ".join(people)}')
    print(Perimeter(lab).code_of(people[options.person].user))


def play(lab, options):
    if lab.exists() and not options.keep:
        raise LabError(f'lab "{lab.name}" is up already; take it down first: scripts/lab down{name_option(lab)}')
    if not lab.exists():
        bring_up(lab)
    passed = False
    try:
        passed = story.play(lab)
    finally:
        if not passed:
            keep_logs(lab)
        if not options.keep:
            lab.down()
    sys.exit(0 if passed else 1)


def keep_logs(lab):
    """A failed story's logs outlive the lab."""
    for log in sorted(lab.dir.glob("*/*.log")):
        say(f"--- end of {log.parent.name}/{log.name}\n{lab.log_tail(log.parent.name, log.stem, 12)}")


def trim(command):
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise LabError("nothing to run: give a command after --")
    return command


def parse():
    parser = argparse.ArgumentParser(prog="scripts/lab", description="A small company out of network namespaces.")
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name, function, help):
        sub = verbs.add_parser(name, help=help)
        sub.add_argument("--name", default="lab", help="which lab (default: lab)")
        sub.set_defaults(function=function)
        return sub

    verb("up", up, "bring a whole perimeter up")
    verb("status", status, "addresses and processes by host").add_argument("--json", action="store_true")
    run = verb("exec", execute, "run a command on a host, as its person")
    whom = run.add_mutually_exclusive_group()
    whom.add_argument("--as", dest="person", metavar="NAME", help="as this one of its people, such as ann on jump")
    whom.add_argument("--root", action="store_true", help="as root")
    run.add_argument("host")
    run.add_argument("command", nargs=argparse.REMAINDER)
    verb("cordon", cordon, "cordon as operator").add_argument("command", nargs=argparse.REMAINDER)
    verb("code", code, "what a person (trader, ann, ...) reads off their authenticator now").add_argument("person")
    verb("down", down, "take everything away, also after a crash")
    verb("story", play, "play the product's story, then take the lab down").add_argument("--keep", action="store_true")
    return parser.parse_args()


def run(lab, options):
    if options.verb not in ("up", "down", "story"):
        return options.function(lab, options)
    lock = Path(f"/run/cordon-lab-{options.name}.lock")
    with machine.locked(lock):  # one at a time per name; others wait here
        try:
            options.function(lab, options)
        finally:
            if not lab.exists():
                lock.unlink(missing_ok=True)


def main():
    options = parse()
    lab = None
    try:
        lab = Lab(options.name)
        run(lab, options)
    except LabError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


main()
