"""What the guest boots from: busybox, the modules that mount the host's files, and tests/vm/init."""
import gzip
import os

TRAILER = "TRAILER!!!"


def _cpio(entries):
    """newc (cpio(5)): (name, mode, content) one by one; folders as their own entries before what they hold."""
    out = bytearray()
    for number, (name, mode, content) in enumerate([*entries, (TRAILER, 0, b"")], 1):
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4)
        out += content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def make(busybox, module_files, texts):
    """`texts`: name to content, executable."""
    files = {}
    for number, path in enumerate([busybox, *module_files]):
        with open(path, "rb") as file:
            name = "bin/busybox" if number == 0 else f"modules/{number:02}-{os.path.basename(path)}"
            files[name] = file.read()
    files |= {name: text.encode() for name, text in texts.items()}
    folders = sorted({os.path.dirname(name) for name in files} - {""})
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100755, content) for name, content in sorted(files.items())]
    return gzip.compress(_cpio(entries), compresslevel=1)
