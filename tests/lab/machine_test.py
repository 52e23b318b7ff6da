#!/usr/bin/env python3
"""What labs borrow of the machine (scripts/lab.d/machine.py) is as it was when the last is down; on files of its own."""
import os
import stat
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lab.d"))
import machine  # noqa: E402


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


class Borrowed(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="cordon-test-")
        self.addCleanup(scratch.cleanup)
        root = Path(scratch.name)
        self.tun, self.sockets, self.notes = root / "tun", root / "wireguard", root / "notes.json"
        self.tun.touch()
        self.tun.chmod(0o600)

    def borrow(self, lab):
        machine.borrow(lab, self.tun, self.sockets, self.notes)

    def give_back(self, lab):
        machine.give_back(lab, self.tun, self.sockets, self.notes)

    def test_the_last_lab_puts_it_back(self):
        self.borrow("a")
        self.borrow("b")
        self.borrow("a")  # again, after a crash
        self.sockets.mkdir()
        self.give_back("a")
        self.give_back("a")
        self.assertEqual(mode(self.tun), 0o666, "b is up")
        self.assertTrue(self.sockets.exists())
        self.give_back("b")
        self.assertEqual(mode(self.tun), 0o600)
        self.assertFalse(self.sockets.exists(), "a lab made it")
        self.assertFalse(self.notes.exists())

    def test_what_was_there_stays_as_it_was(self):
        self.sockets.mkdir(mode=0o755)
        self.borrow("a")
        self.sockets.chmod(0o700)
        self.give_back("a")
        self.assertEqual(mode(self.sockets), 0o755)

    def test_what_others_use_stays(self):
        self.borrow("a")
        self.sockets.mkdir()
        (self.sockets / "other.sock").touch()
        self.give_back("a")
        self.assertTrue(self.sockets.exists())

    def test_a_machine_without_tun(self):
        self.tun.unlink()
        self.borrow("a")
        self.give_back("a")
        self.assertEqual(os.listdir(self.notes.parent), [])


class Locked(unittest.TestCase):
    def test_who_waited_holds_the_file_that_is_there(self):
        with tempfile.TemporaryDirectory(prefix="cordon-test-") as scratch:
            path = Path(scratch) / "lock"
            held = []

            def wait():
                with machine.locked(path) as file:
                    held.append(os.fstat(file.fileno()).st_ino == path.stat().st_ino)
                    path.unlink()

            with machine.locked(path):
                waiter = threading.Thread(target=wait)
                waiter.start()
                path.unlink()
                self.assertEqual(held, [])
            waiter.join(10)
            self.assertEqual(held, [True])
            self.assertFalse(path.exists())


unittest.main()
