#!/usr/bin/env -S python3 -B
"""Serves a virtual machine through daemons that are killed at random and started again by a service manager.

kill-daemon.py FOLDER KILLS DAEMON [ARGUMENT...]

The monitor connects to FOLDER/crypto.sock. From when FOLDER/go is there, the daemon gets KILLS SIGKILLs; then FOLDER/done
is made, and its statistics are served until SIGTERM ends it all. One line says what came of it. The manager is played: it listens for the
daemon and keeps its descriptors (sd_listen_fds(3), sd_notify(3) with FDSTORE=1), and starts the next daemon at once.
"""

import os
import random
import select
import signal
import socket
import statistics
import sys
import time

from steady_front_end import Gone, SteadyFrontEnd

folder, kills, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]


def inside(name):
    return os.path.join(folder, name)


class Manager:
    """The daemon's service manager."""

    def __init__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(inside("vm1.sock"))
        self.listener.listen(8)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(inside("notify"))
        self.stored = []
        self.child = None
        self.starts = 0

    def start(self):
        given = [("vm1", self.listener.fileno())] + self.stored
        self.starts += 1
        self.child = os.fork()
        if self.child:
            return
        high = [os.dup2(file, 200 + place) for place, (_, file) in enumerate(given)]
        for place, file in enumerate(high):
            os.dup2(file, 3 + place)
        log = os.open(inside(f"daemon-{self.starts}.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, 2)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)),
                          LISTEN_FDNAMES=":".join(name for name, _ in given), NOTIFY_SOCKET=inside("notify"))
        os.execv(command[0], command + [f"--stats-socket={inside('stats.sock')}"])

    def listen(self):
        """Keeps what the daemon asks to be kept."""
        while select.select([self.notify], [], [], 0)[0]:
            data, files, _, _ = socket.recv_fds(self.notify, 65536, 8)
            lines = data.decode().split("\n")
            name = next((line[7:] for line in lines if line.startswith("FDNAME=")), "stored")
            if "FDSTOREREMOVE=1" in lines:
                for stored, file in self.stored:
                    if stored == name:
                        os.close(file)
                self.stored = [entry for entry in self.stored if entry[0] != name]
            if "FDSTORE=1" in lines:
                self.stored += [(name, file) for file in files]

    def stop(self):
        """Has the daemon stand still wherever it is, until `go_on` or its end."""
        os.kill(self.child, signal.SIGSTOP)
        _, status = os.waitpid(self.child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            sys.exit(f"kill-daemon: the daemon ended with {os.waitstatus_to_exitcode(status)}")

    def go_on(self):
        os.kill(self.child, signal.SIGCONT)

    def end(self, number):
        os.kill(self.child, number)
        # In case it stands still: only SIGKILL gets through then.
        os.kill(self.child, signal.SIGCONT)
        _, status = os.waitpid(self.child, 0)
        self.listen()
        ended = os.waitstatus_to_exitcode(status)
        if ended != (0 if number == signal.SIGTERM else -number):
            sys.exit(f"kill-daemon: the daemon ended with {ended}")


class Killing:
    """When the daemon is killed, and what was in flight then."""

    def __init__(self, front_end, manager):
        self.front_end, self.manager = front_end, manager
        self.count, self.in_flight, self.waits, self.busy = 0, 0, [], 0
        self.next = None

    @property
    def is_over(self):
        return self.count == kills

    def turn(self):
        """Kills the daemon if it is time."""
        if self.next is None:
            if os.path.exists(inside("go")):
                self.plan()
            return
        if self.is_over or time.monotonic() < self.next:
            return
        # Nearly all of an emulated guest's time is its own: this is for a moment that is the daemon's, which is shorter than
        # a signal's way. So it stands still first, and goes on where it was quicker.
        for _ in range(500):
            self.front_end.wait_for_request(0.2)
            start = time.monotonic()
            self.manager.stop()
            if self.front_end.in_flight() > 0:
                break
            self.manager.go_on()
        self.manager.end(signal.SIGKILL)
        left = self.front_end.in_flight()
        self.in_flight += left
        self.busy += left > 0
        self.manager.start()
        self.front_end.recover()
        self.waits.append(time.monotonic() - start)
        self.count += 1
        if self.is_over:
            with open(inside("done"), "w", encoding="ascii"):
                pass
        else:
            self.plan()

    def plan(self):
        self.next = time.monotonic() + random.uniform(0.2, 0.9)

    def report(self):
        waits = sorted(self.waits) or [0]
        return (f"kills={self.count} with-requests-in-flight={self.busy} in-flight={self.in_flight} "
                f"stored={len(self.manager.stored)} "
                f"back-median-ms={statistics.median(waits) * 1e3:.0f} back-worst-ms={waits[-1] * 1e3:.0f}")


def main():
    manager = Manager()
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    waiting.bind(inside("crypto.sock"))
    waiting.listen(1)
    manager.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        monitor, _ = waiting.accept()
        front_end = SteadyFrontEnd(monitor, inside("vm1.sock"))
        killing = Killing(front_end, manager)
        has_monitor = True
        while True:
            watched = [manager.notify] + ([monitor] if has_monitor else [])
            ready, _, _ = select.select(watched, [], [], 0.01)
            manager.listen()
            if monitor in ready:
                try:
                    front_end.serve()
                except Gone:
                    has_monitor = False
                    front_end.daemon.close()
                    print(killing.report(), flush=True)
            elif has_monitor:
                killing.turn()
    finally:
        manager.end(signal.SIGTERM)


main()
