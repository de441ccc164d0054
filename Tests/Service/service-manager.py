#!/usr/bin/env python3
"""Plays systemd for installed units, as far as their protocol goes: listens at their sockets, starts the service when
somebody connects, hands the sockets over, and prints what the service says.

service-manager.py ROOT INSTANCE: the template units below ROOT (where make install or dpkg-deb -x put them), for one
virtual machine. Sockets are below ROOT, too. The line `reload` on its standard input has the service reload (SIGHUP);
any other, or the end, ends it (SIGTERM).
"""

import configparser
import os
import select
import signal
import socket
import sys
import time

root, instance = os.path.abspath(sys.argv[1]), sys.argv[2]
start = time.monotonic()


def say(text):
    print(f"{time.monotonic() - start:6.2f} s  {text}", flush=True)


def unit(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    for folder in ("lib/systemd/system", "usr/lib/systemd/system"):
        if parser.read(os.path.join(root, folder, name)):
            return parser
    sys.exit(f"no unit {name} below {root}")


def filled(text):
    return text.replace("%i", instance)


service = unit("vhost-user-crypto@.service")["Service"]
sockets = []
# Both would have been enabled. A service gets the sockets of all units that start it.
for name in (f"vhost-user-crypto@{instance}.socket", f"vhost-user-crypto-stats@{instance}.socket"):
    section = unit(name.replace(f"@{instance}.", "@."))["Socket"]
    starts = filled(section.get("Service", name.replace(".socket", ".service")))
    if starts != f"vhost-user-crypto@{instance}.service":
        sys.exit(f"{name} starts {starts}")
    path = root + filled(section["ListenStream"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, int(section["SocketMode"], 8))
    listener.listen(64)
    sockets.append((filled(section["FileDescriptorName"]), listener))
    say(f"{name} listens at {path[len(root):]}")

notify_path = os.path.join(root, "run/systemd-notify")
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(notify_path)
select.select([listener for _, listener in sockets], [], [])
say("somebody connects; the service starts")

command = filled(service["ExecStart"]).split()
command = [root + command[0]] + [word.replace("=/", f"={root}/", 1) for word in command[1:]]
cache = os.path.join(root, "var/cache/vhost-user-crypto")
os.makedirs(cache, exist_ok=True)
child = os.fork()
if child == 0:
    high = [os.dup2(listener.fileno(), 100 + place) for place, (_, listener) in enumerate(sockets)]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, 3 + place)
    log = os.open(os.path.join(root, "journal"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 2)
    status = os.fstat(2)
    seconds = int(service["WatchdogSec"].rstrip("s"))
    os.environ.update(
        LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(name for name, _ in sockets),
        NOTIFY_SOCKET=notify_path, WATCHDOG_USEC=str(seconds * 1_000_000), WATCHDOG_PID=str(os.getpid()),
        JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}", CACHE_DIRECTORY=cache)
    os.execv(command[0], command)


def end(*_):
    os.kill(child, signal.SIGTERM)
    sys.exit(1)


# Whoever ends the manager ends its service.
signal.signal(signal.SIGTERM, end)
watched = [notify, sys.stdin]
ended = None
while ended is None:
    ready, _, _ = select.select(watched, [], [], 0.1)
    if notify in ready:
        say(" ".join(notify.recv(65536).decode().split("\n")))
    if sys.stdin in ready:
        if sys.stdin.readline().strip() == "reload":
            say("systemctl reload: SIGHUP")
            os.kill(child, signal.SIGHUP)
        else:
            watched.remove(sys.stdin)
            say("systemctl stop: SIGTERM")
            os.kill(child, signal.SIGTERM)
    if notify not in ready:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
say(f"the service ended with status {ended}; its sockets are still there: "
    + str(all(os.path.exists(listener.getsockname()) for _, listener in sockets)))
os.unlink(notify_path)
sys.exit(0 if ended == 0 else 1)
