"""Streams that are watched while something happens to them."""
import json
import os
import select
import subprocess
import threading
import time

import topology
from hosts import patient


class Stream:
    """A database stream (psql COPY) on a laptop, read here; remembers when each piece came (CLOCK_MONOTONIC)."""

    # About 250 pieces of 9 kB a second (fewer where the machine needs patience), each sent as it is made.
    SQL = f"copy (select repeat('x', 9000), pg_sleep({patient(0.004)}) from generate_series(1, 1000000)) to stdout"

    def __init__(self, lab, host, address, uid=None):
        self.process = lab.popen(host, "psql", "-h", address, "-U", "postgres", "-qAtc", self.SQL,
                                 uid=topology.BY_NAME[host].uid if uid is None else uid,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.last = None
        self.bytes = 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                return
            self.last = time.monotonic()
            self.bytes += len(piece)

    def flows(self, within=0.3):
        return self.last is not None and time.monotonic() - self.last < patient(within)

    def end(self):
        self.process.kill()
        self.reader.join(5)
        self.process.communicate()


class Probe:
    """Numbered datagrams to ledger's echo at an even pace, counted at the end."""

    def __init__(self, lab, host, address, rate=300, seconds=60):
        script = os.path.join(os.path.dirname(__file__), "probe.py")
        self.process = lab.popen(host, "/usr/bin/python3", script, address, str(topology.PROBE_PORT),
                                 str(rate / patient(1)), str(seconds), uid=topology.BY_NAME[host].uid, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        select.select([self.process.stderr], [], [], patient(10))
        self.process.stderr.readline()

    def end(self):
        out, _ = self.process.communicate(timeout=patient(30))  # closes its input: it ends and counts
        return json.loads(out)
