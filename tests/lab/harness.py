"""What the lab's tests share: a lab of its own that is always taken down, steps that say what was expected and what was
seen, one exit code.

A test is a class with `up` (who is there) and `parts` (what happens, in order), and ends with `harness.play(Test)`.
`python3 -B tests/lab/TEST.py [LAB]` plays it; the lab is named after the test unless told otherwise. Exit code: 0 when
every step was as expected, 1 when one was not, 77 when the caller isn't root.
"""
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "lab.d"))

import services  # noqa: E402
import topology  # noqa: E402
from hosts import Lab, LabError  # noqa: E402
from perimeter import Perimeter  # noqa: E402

PYTHON = "/usr/bin/python3"
NOBODY = 65534
LEDGER, TRADER = topology.BY_NAME["ledger"], topology.BY_NAME["trader"]

_steps, _failed = [], []


class Answer:
    """Whether something was so, and what was seen."""

    def __init__(self, holds, seen):
        self.holds, self.seen = bool(holds), seen

    def __bool__(self):
        return self.holds

    def __str__(self):
        return str(self.seen)


def told(seen):
    """What was seen, as lines; of a command, how it ended and all that it printed."""
    if isinstance(seen, subprocess.CompletedProcess):
        seen = f"exit {seen.returncode}\n{seen.stdout or ''}{seen.stderr or ''}"
    return str(seen).strip().splitlines() or ["nothing"]


def expect(holds, what, seen=None):
    """A step: `what` should be so. `seen` tells a reader why it isn't (an Answer brings its own)."""
    _steps.append(what)
    if holds:
        print(f"ok    {what}", flush=True)
        return True
    _failed.append(what)
    first, *more = told(holds if seen is None else seen)
    print(f"FAIL  expected: {what}", f"      seen:     {first}", *(f"{'':16}{line}" for line in more), sep="\n", flush=True)
    return False


def succeeded(done, what):
    return expect(done.returncode == 0, what, done)


def refused(done, what, *words):
    """The command failed, and what it said has all the words (in any case)."""
    said = (done.stderr + done.stdout).lower()
    missing = [word for word in words if word.lower() not in said]
    return expect(done.returncode != 0 and not missing, f"{what}: refused" + (f", with {words}" if missing else ""), done)


def note(text):
    """Something worth knowing that is no step."""
    print("".join(f"      {line}\n" for line in text.splitlines()), end="", flush=True)


def end(*processes):
    """Ends processes of ours that may have ended already, or never begun (None)."""
    for process in processes:
        if process and process.poll() is None:
            process.kill()
            process.wait()


class LabTest:
    def __init__(self, lab):
        self.lab = lab
        self.perimeter = Perimeter(lab)

    def up(self):
        """Brings up who takes part."""
        services.start_all(self.lab)
        self.perimeter.up()

    def parts(self):
        raise NotImplementedError

    def sign_in(self, host, person=None):
        return succeeded(self.perimeter.login(host, person), f"{person or host} signs in")

    def psql(self, host, address, uid=None):
        """Does ledger's database answer the host's person at this address?"""
        try:
            done = self.lab.on(host, "psql", "-h", address, "-U", "postgres", "-Atc", "select 1",
                               uid=topology.BY_NAME[host].uid if uid is None else uid, timeout=10)
        except subprocess.TimeoutExpired as error:
            return Answer(False, error)
        return Answer(done.returncode == 0, done.stdout + done.stderr)


def attempt(part):
    """A part that can't go on fails the test, not the parts after it."""
    try:
        part()
        return True
    except Exception as error:
        expected = isinstance(error, (LabError, subprocess.TimeoutExpired))
        name = getattr(part, "__name__", "a part")
        return expect(False, f"{name} goes to its end", error if expected else traceback.format_exc())


def play(test_class):
    if os.geteuid() != 0:
        print("the lab makes namespaces and loads filters: needs root", file=sys.stderr)
        sys.exit(77)
    name = Path(sys.argv[0]).stem.replace("_", "")[:6]
    lab = Lab(sys.argv[1] if len(sys.argv) > 1 else name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # through what is below
    lab.down()  # what a crash may have left
    try:
        lab.make()
        test = test_class(lab)
        if attempt(test.up):
            for part in test.parts():
                attempt(part)
    finally:
        if _failed or sys.exc_info()[0]:
            for log in sorted(lab.dir.glob("*/*.log")):
                print(f"--- end of {log.parent.name}/{log.name}\n{lab.log_tail(log.parent.name, log.stem, 30)}")
        lab.down()
    print(f"{len(_steps)} steps, {len(_failed)} not as expected", *(f"  {what}" for what in _failed), sep="\n")
    sys.exit(1 if _failed or not _steps else 0)
