#!/usr/bin/env python3
"""What a device with a limit costs another one, without limits, in the same daemon.

Usage: limits.py BUILD_DIRECTORY [ROUNDS]

Holds 10,000 operations a second on one device for ten seconds while the other one works, then stops and continues
the limited one's client in turn, and counts what the other one does meanwhile. The unlimited device's polls, the limited one's sleeps until it is
called, as a guest's driver does.
"""
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

build = sys.argv[1]
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 24
limit = 10_000


def bench(path, seconds, *more):
    return subprocess.Popen(
        [f"{build}/vhost-crypto", "bench", "--socket-path", path, "--op", "aes-128-cbc-encrypt", "--size", "1024",
         "--seconds", str(seconds), "--json", *more],
        stdout=subprocess.PIPE)


def rate(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"bench ended with {process.returncode}")
    return json.loads(output.splitlines()[0])["requestsPerSecond"]


def counted(path):
    """Requests that the free device has answered, and when."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)
        stream.sendall(b"GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: stream.recv(65536), b""))
    now = time.monotonic()
    devices = json.loads(data.split(b"\r\n\r\n", 1)[1])["devices"]
    return sum(queue["requests"] for device in devices if device["name"] == "free" for queue in device["queues"]), now


def counted_rate(seconds):
    first, start = counted(stats)
    time.sleep(seconds)
    second, end = counted(stats)
    return (second - first) / (end - start)


with tempfile.TemporaryDirectory() as directory:
    free, held, stats = f"{directory}/free.sock", f"{directory}/held.sock", f"{directory}/stats.sock"
    file = f"{directory}/limits.yaml"
    with open(file, "w") as stream:
        stream.write(
            "version: 1\nworkers: { cpus: [0, 1] }\n"
            f"device: {{ queues: 1 }}\ndevices:\n  - {{ name: free, socket: {free} }}\n"
            f"  - {{ name: held, socket: {held}, device: {{ limits: {{ operations-per-second: {limit} }} }} }}\n")
    daemon = subprocess.Popen([f"{build}/vhost-user-crypto", "--config", file, "--stats-socket", stats, "--log-level", "error"])
    try:
        while not os.path.exists(held):
            time.sleep(0.05)
        waiting = ["--mode", "interrupt"]
        # The free device's worker has processor 0, its client processor 1. Both clients run all the time, so that
        # connections and placement stay as they are; the limited one's is stopped and continued.
        busy = bench(free, 14 + rounds, "--cpu", "1")
        time.sleep(0.5)
        total = rate(bench(held, 10, *waiting))
        print(f"limited device, 10 s: {total:.1f} operations/s, {100 * (total / limit - 1):+.2f} % of {limit}")
        other = bench(held, 30 + rounds, *waiting)
        time.sleep(0.5)
        alone, beside, ratios = [], [], []
        for index in range(rounds):
            pair = {}
            for kind in ("alone", "beside") if index % 2 == 0 else ("beside", "alone"):
                other.send_signal(signal.SIGSTOP if kind == "alone" else signal.SIGCONT)
                time.sleep(0.1)
                pair[kind] = counted_rate(0.4)
            alone.append(pair["alone"])
            beside.append(pair["beside"])
            ratios.append(pair["beside"] / pair["alone"])
        other.kill()
        busy.kill()
        other.wait()
        busy.wait()
        print(f"unlimited device alone:  median {statistics.median(alone):.0f} operations/s of {rounds} slices of 0.4 s")
        print(f"unlimited device beside: median {statistics.median(beside):.0f} operations/s")
        quartiles = statistics.quantiles(ratios, n=4)
        print(f"loss: median {100 * (1 - quartiles[1]):.2f} %, "
              f"quartiles {100 * (1 - quartiles[2]):.2f} to {100 * (1 - quartiles[0]):.2f} %")
    finally:
        daemon.terminate()
        daemon.wait()
