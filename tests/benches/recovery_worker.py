"""A worker that trains nothing: what is left of a training job when the framework is taken away.

The same script runs under forge and under torchrun. Ranks meet at rank 0, then every step is a few milliseconds of sleep
and an all-reduce over plain sockets, so no rank finishes a step before all have begun it. A rank whose peer is gone
ends with an error at once, as with gloo, or waits for ever (RECOVERY_PEERS=wait), as with a collective of NCCL.

Each rank appends lines of ``<unix time, ns> <step> <pid> <generation>`` to ``$RECOVERY_DIR/rank-<rank>``; step 0 is the
start of the process. Rank 0 leaves its port in a file: under torchrun MASTER_PORT is taken by the agent's own store.
"""

import time

started = time.time_ns()

import os
import socket

STEP_SECONDS = 0.003
RETRY_SECONDS = 0.002

directory = os.environ["RECOVERY_DIR"]
rank = int(os.environ["RANK"])
world_size = int(os.environ["WORLD_SIZE"])
generation = os.environ.get("FORGE_GENERATION") or os.environ["TORCHELASTIC_RESTART_COUNT"]
port_file = os.path.join(directory, "port")
log = os.open(os.path.join(directory, f"rank-{rank}"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
agent_address = os.environ.get("FORGE_SOCKET", "").replace("@", "\0", 1)
agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
agent.setblocking(False)


def note(when, step):
    os.write(log, f"{when} {step} {os.getpid()} {generation}\n".encode())


def report(step):
    """What forge_worker.step says, without the some 20 ms that its imports take."""
    if agent_address:
        message = f'{{"v":1,"rank":{rank},"generation":{generation},"event":"step","step":{step}}}'
        try:
            agent.sendto(message.encode(), agent_address)
        except OSError:
            pass  # a report is worth less than the step it reports


def exactly(peer, size):
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise ConnectionError("a peer is gone")
        data += more
    return data


def gather_peers():
    """Rank 0 waits for everybody, then tells everybody."""
    listener = socket.create_server((os.environ["MASTER_ADDR"], 0))
    with open(f"{port_file}.new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(f"{port_file}.new", port_file)
    peers = {}
    while len(peers) < world_size - 1:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peers[exactly(peer, 1)[0]] = peer
    for peer in peers.values():
        peer.sendall(b"!")
    return list(peers.values())


def find_root():
    """The port in the file may be that of an earlier life."""
    while True:
        try:
            with open(port_file) as file:
                root = socket.create_connection((os.environ["MASTER_ADDR"], int(file.read())))
            root.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            root.sendall(bytes([rank]))
            exactly(root, 1)
            return root
        except OSError:
            time.sleep(RETRY_SECONDS)


def all_reduce(peers, value):
    """Of eight-byte integers, through rank 0."""
    if rank == 0:
        total = value + sum(int.from_bytes(exactly(peer, 8), "little") for peer in peers)
        for peer in peers:
            peer.sendall(total.to_bytes(8, "little"))
        return total
    peers[0].sendall(value.to_bytes(8, "little"))
    return int.from_bytes(exactly(peers[0], 8), "little")


def train():
    peers = gather_peers() if rank == 0 else [find_root()]
    step = 0
    while True:
        step += 1
        time.sleep(STEP_SECONDS)
        if all_reduce(peers, step) != step * world_size:
            raise SystemExit("ranks are at different steps")
        note(time.time_ns(), step)
        report(step)


note(started, 0)
try:
    train()
except OSError:
    while os.environ.get("RECOVERY_PEERS") == "wait":
        time.sleep(60)
    raise
