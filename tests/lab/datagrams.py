"""Numbered datagrams between hosts: both ways at an even pace (both_ways.py), and such that nobody granted
(denied.py)."""
import json
import select
import subprocess

import topology
from harness import HERE, NOBODY, PYTHON
from hosts import patient


def begin(lab, host, uid, script, *arguments):
    """One end; it has said that it started."""
    process = lab.popen(host, PYTHON, str(HERE / script), *map(str, arguments), uid=uid, stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    select.select([process.stderr], [], [], patient(10))
    process.stderr.readline()
    return process


def finish(*processes):
    """Each one's report, in order."""
    for process in processes:
        process.stdin.close()
        process.stdin = None
    return [json.loads(process.communicate(timeout=patient(30))[0]) for process in processes]


class BothWays:
    """Between `asker`'s person, or a server itself, and `server`, whose overlay address is `address`."""

    def __init__(self, lab, address, rate, asker="trader", server="ledger", port=topology.PROBE_PORT):
        self.server = begin(lab, server, NOBODY, "both_ways.py", "serve", port, rate)
        self.asker = begin(lab, asker, topology.BY_NAME[asker].uid or NOBODY, "both_ways.py", "ask", address, port, rate)

    def end(self):
        """To the server and from it: how many were sent, and when each that was lost was."""
        asker, server = finish(self.asker, self.server)
        ways = []
        for sender, receiver in ((asker, server), (server, asker)):
            got = set(receiver["got"])
            ways.append((len(sender["sent"]), [at for n, at in enumerate(sender["sent"]) if n not in got]))
        return ways


class Denied:
    """From web to ledger: sent whatever comes of it."""

    def __init__(self, lab, address, port, rate):
        self.sink = begin(lab, "ledger", NOBODY, "denied.py", "serve", port)
        self.stranger = begin(lab, "web", NOBODY, "denied.py", "send", address, port, rate)

    def end(self):
        """How many were sent, and how many came."""
        return finish(self.stranger, self.sink)
