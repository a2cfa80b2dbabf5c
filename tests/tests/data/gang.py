"""A gang in small, for tests: every step mixes what all ranks say into a state that all of them share.

Ranks meet at rank 0 on MASTER_ADDR:MASTER_PORT, as real collectives do: one that dies takes its peers with it. The state
after step n is a function of n and the number of ranks alone, so an interrupted run must end with the same one.
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import forge_worker

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--pace", type=float, default=0.02, help="seconds that a step takes")
parser.add_argument("--alone", action="store_true", help="exchange nothing")
parser.add_argument("--gate", nargs=2, metavar=("STEP", "FILE"), help="before this step, wait for that file")
parser.add_argument("--fail-at", type=int, help="rank 1 exits with code 3 in this step, always")
parser.add_argument("--burst-at", type=int, help="in generation 1, rank 1 prints much in this step and dies at once")
parser.add_argument("--sleeper", action="store_true", help="start a process in a session of its own")
parser.add_argument("--environment", action="store_true", help="print it")
args = parser.parse_args()

rank, world = forge_worker.rank(), forge_worker.world_size()
generation = int(os.environ["FORGE_GENERATION"])
DIGEST = 64


def mix(*parts):
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def receive(stream, length):
    data = stream.read(length)
    if len(data) != length:
        raise ConnectionError("a peer is gone")
    return data.decode()


def meet():
    """Connections to the peers, in order of their ranks: rank 0's to all, everybody else's to rank 0."""
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    if rank == 0:
        found = {}
        with socket.create_server(address) as server:
            while len(found) < world - 1:
                stream = server.accept()[0].makefile("rwb", buffering=0)
                found[int(receive(stream, 4))] = stream
        return [found[peer] for peer in sorted(found)]
    while True:  # rank 0 may start a little later; the agent ends whoever waits in vain
        try:
            stream = socket.create_connection(address).makefile("rwb", buffering=0)
            stream.write(b"%04d" % rank)
            return [stream]
        except ConnectionRefusedError:
            time.sleep(0.01)


def exchange(mine, peers):
    if rank == 0:
        whole = mix(mine, *[receive(peer, DIGEST) for peer in peers])
        for peer in peers:
            peer.write(whole.encode())
        return whole
    for peer in peers:
        peer.write(mine.encode())
        return receive(peer, DIGEST)
    return mine


def asked_to_end(*_):
    os.write(1, b"asked to end\n")
    os._exit(143)


signal.signal(signal.SIGTERM, asked_to_end)
if args.environment:
    print(json.dumps(dict(os.environ)))
if args.sleeper:
    subprocess.Popen(["sleep", "86399"], start_new_session=True)

state, step = mix("start"), 0
if resumed := forge_worker.resume():
    saved = json.loads((resumed.directory / f"rank-{rank}" / "state.json").read_text())
    state, step = saved["state"], saved["step"]
    assert step == resumed.step
print(f"rank {rank} in generation {generation} begins after step {step}")

peers = [] if args.alone else meet()
while step < args.steps:
    step += 1
    if args.gate and step == int(args.gate[0]):
        while not os.path.exists(args.gate[1]):
            time.sleep(0.01)
    if step == args.fail_at and rank == 1:
        print(f"the bug of step {step}")
        sys.exit(3)
    time.sleep(args.pace)
    state = mix(state, exchange(mix(state, rank, step), peers))
    print(f"rank {rank} step {step} state {state}")
    if step == args.burst_at and rank == 1 and generation == 1:
        sys.stdout.write("".join(f"burst line {n} of many: {mix(n)}\n" for n in range(20_000)))
        print("the last words of rank 1")
        os.kill(os.getpid(), signal.SIGKILL)
    if forge_worker.should_checkpoint(step):
        with forge_worker.save(step) as directory:
            (directory / "state.json").write_text(json.dumps({"step": step, "state": state}))
    forge_worker.step(step, loss=1 / step)

if rank == 0 and (output := forge_worker.output_dir()):
    (output / "final.json").write_text(json.dumps({"steps": step, "state": state}))
print(f"rank {rank} is done")
