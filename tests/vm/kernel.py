"""Debian's kernel 6.1: its package, downloaded and unpacked into a cache, never installed."""
import fcntl
import glob
import os
import re
import shutil
import subprocess
import tempfile

# What the guest needs before it sees the host's files; all else it loads by itself, as any Debian does.
MODULES = ("virtio_pci", "virtio_rng", "9pnet_virtio", "9p", "overlay")


def tool(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or name


def _newest(paths):
    return max(paths, key=lambda path: [int(n) for n in re.findall(r"\d+", os.path.basename(path))], default=None)


def _kernel_in(root):
    """(image, its version) of an unpacked package or of this machine; None when there is none."""
    image = _newest(glob.glob(os.path.join(root, "boot", "vmlinuz-6.1.*")))
    if image is None:
        return None
    version = os.path.basename(image).removeprefix("vmlinuz-")
    return (image, version) if os.path.isdir(os.path.join(root, "lib", "modules", version)) else None


def _download(cache):
    """Unpacks the package that linux-image-amd64 stands for; the directory appears under its name when whole."""
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True)
    package = re.search(r"linux-image-6\.1\.[\w.-]+-amd64", depends.stdout)
    if package is None:
        raise RuntimeError("linux-image-amd64 doesn't stand for a 6.1 kernel here")
    with tempfile.TemporaryDirectory(dir=cache) as work:
        subprocess.run(["apt-get", "download", package.group(0)], cwd=work, check=True, capture_output=True, timeout=300)
        unpacked = os.path.join(work, "root")
        subprocess.run(["dpkg-deb", "-x", glob.glob(os.path.join(work, "*.deb"))[0], unpacked], check=True)
        subprocess.run([tool("depmod"), "-b", unpacked, _kernel_in(unpacked)[1]], check=True)
        os.rename(unpacked, os.path.join(cache, package.group(0)))


def _cached(cache):
    root = _newest(glob.glob(os.path.join(cache, "linux-image-*-amd64")))
    found = root and _kernel_in(root)
    return (root, *found) if found else None


def find(cache):
    """(root of its files, image, version); RuntimeError says why there is none."""
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests begin at once, and the second finds what the first unpacked
        found, why = _cached(cache), ""
        if found is None:
            try:
                _download(cache)
                found = _cached(cache)
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                told = getattr(error, "stderr", None) or b""
                why = f"{error} {told.decode(errors='replace') if isinstance(told, bytes) else told}".strip()
    if found is None and _kernel_in("/"):
        found = ("/", *_kernel_in("/"))
    if found is None:
        raise RuntimeError(f"no 6.1 kernel: none in {cache} or /boot, and apt can't download linux-image-amd64: {why}")
    return found


def modules(root, version):
    """The files of MODULES in the order of loading, dependencies first."""
    files = []
    for module in MODULES:
        shown = subprocess.run([tool("modprobe"), "-d", root, "-S", version, "--show-depends", module], check=True,
                               capture_output=True, text=True)
        for line in shown.stdout.splitlines():
            words = line.split()
            if words and words[0] == "insmod" and words[1] not in files:
                files.append(words[1])
    return files
