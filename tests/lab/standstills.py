"""When this machine had no CPU for an ordinary process, which isn't what a test measures."""
import json
import subprocess

from harness import PYTHON
from hosts import patient

# Sleeps a millisecond again and again; prints when it woke later than two, and how late, once its input is closed.
SLEEPER = """
import json, select, sys, time
late = []
while not select.select([sys.stdin], [], [], 0)[0]:
    due = time.monotonic() + 0.001
    time.sleep(0.001)
    now = time.monotonic()
    if now > due + 0.001:
        late.append([due, now])
print(json.dumps(late))
"""


class Standstills:
    """What comes to a daemon that waits for a CPU isn't counted."""

    def __init__(self):
        self.process = subprocess.Popen([PYTHON, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        self.late = json.loads(self.process.communicate(timeout=patient(30))[0])

    def packets(self, rate, begun, ended):
        """What is sent one way in those that touch this time: several daemons wait one after the other."""
        return round(rate * sum(to - since for since, to in self.late if since <= ended and to >= begun))
