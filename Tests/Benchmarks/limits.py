#!/usr/bin/env python3
"""What a device with a limit costs another one, without limits, in the same daemon.

Usage: limits.py BUILD_DIRECTORY [ROUNDS]

Holds 10,000 operations a second on one device for ten seconds while the other one works, then lets the other one work
alone and beside the first in turn. Its own clients: the unlimited device's polls, the limited one's sleeps until it is
called, as a guest's driver does.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

build = sys.argv[1]
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 11
limit = 10_000


def bench(socket, seconds, *more):
    return subprocess.Popen(
        [f"{build}/vhost-crypto", "bench", "--socket-path", socket, "--op", "aes-128-cbc-encrypt", "--size", "1024",
         "--seconds", str(seconds), "--json", *more],
        stdout=subprocess.PIPE)


def rate(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"bench ended with {process.returncode}")
    return json.loads(output.splitlines()[0])["requestsPerSecond"]


with tempfile.TemporaryDirectory() as directory:
    free, held = f"{directory}/free.sock", f"{directory}/held.sock"
    file = f"{directory}/limits.yaml"
    with open(file, "w") as stream:
        stream.write(
            "version: 1\nworkers: { cpus: [0, 1] }\n"
            f"device: {{ queues: 1 }}\ndevices:\n  - {{ name: free, socket: {free} }}\n"
            f"  - {{ name: held, socket: {held}, device: {{ limits: {{ operations-per-second: {limit} }} }} }}\n")
    daemon = subprocess.Popen([f"{build}/vhost-user-crypto", "--config", file, "--log-level", "error"])
    try:
        while not os.path.exists(held):
            time.sleep(0.05)
        waiting = ["--mode", "interrupt"]
        # The free device's worker has processor 0, its client processor 1.
        busy = bench(free, 10.5, "--cpu", "1")
        time.sleep(0.2)
        total = rate(bench(held, 10, *waiting))
        rate(busy)
        print(f"limited device, 10 s: {total:.1f} operations/s, {100 * (total / limit - 1):+.2f} % of {limit}")
        alone, beside, ratios = [], [], []
        for index in range(rounds):
            pair = {}
            for kind in ("alone", "beside") if index % 2 == 0 else ("beside", "alone"):
                other = bench(held, 1.6, *waiting) if kind == "beside" else None
                time.sleep(0.2)
                pair[kind] = rate(bench(free, 1, "--cpu", "1"))
                if other:
                    rate(other)
            alone.append(pair["alone"])
            beside.append(pair["beside"])
            ratios.append(pair["beside"] / pair["alone"])
        print(f"unlimited device alone:  median {statistics.median(alone):.0f} operations/s of {rounds} rounds")
        print(f"unlimited device beside: median {statistics.median(beside):.0f} operations/s")
        quartiles = statistics.quantiles(ratios, n=4)
        print(f"loss: median {100 * (1 - quartiles[1]):.2f} %, "
              f"quartiles {100 * (1 - quartiles[2]):.2f} to {100 * (1 - quartiles[0]):.2f} %")
    finally:
        daemon.terminate()
        daemon.wait()
