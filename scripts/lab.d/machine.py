"""What labs change on the machine itself, and share: the first one up notes how it was, the last one down puts it back."""
import contextlib
import fcntl
import json
import os
from pathlib import Path

WIREGUARD_SOCKETS = Path("/var/run/wireguard")
TUN = Path("/dev/net/tun")
NOTES = Path("/run/cordon-labs.json")


def _look(path):
    """Mode and owner, or None when it isn't there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return [stat.st_mode & 0o7777, stat.st_uid, stat.st_gid]


@contextlib.contextmanager
def locked(path):
    """The open file, for one process at a time; its holder may remove it."""
    while True:
        with open(path, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                continue  # whoever had the lock before us removed this file
            yield file
            return


@contextlib.contextmanager
def _notes(path=NOTES):
    """The notes, for one process at a time; written back, or removed when no lab is left."""
    with locked(path) as file:
        file.seek(0)
        notes = json.loads(file.read() or '{"labs": []}')
        yield notes
        file.truncate(0)
        if notes["labs"]:
            file.write(json.dumps(notes))
        else:
            path.unlink()


def borrow(lab, tun=TUN, sockets=WIREGUARD_SOCKETS, path=NOTES):
    """wireguard-go runs as the daemon's user and opens the tun device: udev gives it mode 0666, a machine without
    udev doesn't. Its sockets' directory is made, or taken over, by `cordon-node run --user`."""
    with _notes(path) as notes:
        if not notes["labs"]:
            notes.update(tun=_look(tun), sockets=_look(sockets))
        notes["labs"] = sorted({*notes["labs"], lab})
        if tun.exists():
            tun.chmod(0o666)


def give_back(lab, tun=TUN, sockets=WIREGUARD_SOCKETS, path=NOTES):
    if not path.exists():
        return
    with _notes(path) as notes:
        if lab not in notes["labs"]:
            return
        notes["labs"].remove(lab)
        if notes["labs"]:
            return
        for place, was in ((tun, notes["tun"]), (sockets, notes["sockets"])):
            if was and place.exists():
                os.chown(place, was[1], was[2])
                place.chmod(was[0])
        if notes["sockets"] is None:
            with contextlib.suppress(OSError):  # somebody else's socket is in it by now, or it was never made
                sockets.rmdir()
