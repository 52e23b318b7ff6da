"""The virtual machine: qemu without KVM, the host's files over 9p, everything told over one serial line."""
import os
import re
import subprocess
import tempfile
import threading
import time

QEMU = "qemu-system-x86_64"
ESCAPES = re.compile(r"\x1b(\[[?0-9;]*[A-Za-z]|c)")  # the firmware clears the screen
# Newer CPUs have wide vectors, which cost more to emulate than they save.
CPU = "Westmere,+rdrand"
# On a busy machine an emulated CPU may stand still for long, which is no fault of the kernel's. mitigations: a fifth of
# all time otherwise, and nothing of the BPF verifier's for who may load programs.
KERNEL_ARGUMENTS = ("console=ttyS0 panic=-1 quiet no_timer_check mitigations=off "
                    "rcupdate.rcu_cpu_stall_suppress=1 nosoftlockup nowatchdog")


def command(image, initrd, memory_mib, nice):
    return ["nice", "-n", str(nice), "setpriv", "--pdeathsig", "KILL", QEMU,
            "-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "2", "-m", str(memory_mib), "-nographic", "-no-reboot", "-nic", "none", "-rtc", "base=utc,clock=host",
            "-device", "virtio-rng-pci",
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            "-kernel", image, "-initrd", initrd, "-append", KERNEL_ARGUMENTS]


def boot(image, initramfs, timeout, memory_mib, nice, heard):
    """Runs until it powers off: True; after `timeout` seconds it is ended: False. `heard(line, time)` gets every line of
    the serial line as it comes, with the host's clock."""
    with tempfile.NamedTemporaryFile(suffix=".cpio.gz") as file:
        file.write(initramfs)
        file.flush()
        process = subprocess.Popen(command(image, file.name, memory_mib, nice), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C"})
        late = threading.Event()
        timer = threading.Timer(timeout, lambda: (late.set(), process.kill()))
        timer.start()
        try:
            for line in process.stdout:
                heard(ESCAPES.sub("", line.decode(errors="replace").replace("\r", "")).rstrip("\n"), time.time())
            process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        return not late.is_set()
