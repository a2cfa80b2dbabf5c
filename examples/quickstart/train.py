"""Train a small byte-level language model on the source files of the Python standard library.

A decoder-only transformer (RMSNorm, rotary positions, grouped-query attention, SwiGLU, untied embeddings) in plain JAX,
data-parallel over the processes of the gang: each process takes its rows of the batch, one all-reduce per step sums the
gradients, and every process applies the same AdamW update.

The weights are a function of the arguments, the number of processes and the Python installation, bit for bit, wherever
the run was interrupted: batches and initial weights come from counter-based random numbers, so a checkpoint is the
weights, the optimiser's moments and the number of steps done.

Under forge: ``forge train``. By hand: ``python train.py``. Other launchers: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.

Shapes in the comments: B rows of the batch, S positions, D model width, L layers, H query heads, K key and value heads,
E width of a head, F width of the feed-forward, V = 256 byte values.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import sysconfig
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

# XLA reads NPROC as its number of threads, and rounds differently for another number. One per process makes the weights
# independent of the machine's cores and of CPU affinity, and costs nothing where each core has a process.
os.environ["NPROC"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

try:
    import forge_worker
except ModuleNotFoundError:  # started by hand in a checkout of forge, without an agent to set the path
    sys.path.append(str(Path(__file__).resolve().parent / "../../agent/python"))
    import forge_worker

Weights = dict[str, Any]  # leaf name -> array; the layers' leaves are stacked along a leading axis of length L
State = dict[str, Weights]  # "weights", and AdamW's moments "m" and "v" with the same leaves

VOCABULARY = 256
MAX_TEXT_BYTES = 8_000_000
HEARTBEAT_TIMEOUT_SECONDS = 30  # a peer that dies is noticed at once; this ends a process whose launcher is gone too
SKIPPED_DIRECTORIES = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small byte-level transformer on the standard library.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16, help="rows per step, over all processes")
    parser.add_argument("--seq", type=int, default=96, help="bytes per row")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--ffn", type=int, default=352, help="width of the feed-forward layer")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--warmup", type=int, default=20, help="steps until the peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of the gradient")
    parser.add_argument("--log-every", type=int, default=10)
    args = parser.parse_args()
    if args.batch % forge_worker.world_size():
        parser.error(f"--batch {args.batch} must be a multiple of the {forge_worker.world_size()} processes")
    if args.dim % args.heads or args.heads % args.kv_heads:
        parser.error("--dim must be a multiple of --heads, and --heads of --kv-heads")
    return args


# Data


def read_text() -> np.ndarray:
    """The standard library's source files in the order of their paths, as bytes: uint8 [at most MAX_TEXT_BYTES]."""
    root = Path(sysconfig.get_path("stdlib"))
    text = bytearray()
    for directory, names, files in os.walk(root):
        names[:] = sorted(set(names) - SKIPPED_DIRECTORIES)
        for file in sorted(files):
            if file.endswith(".py") and len(text) < MAX_TEXT_BYTES:
                text += (Path(directory) / file).read_bytes()
    return np.frombuffer(bytes(text[:MAX_TEXT_BYTES]), np.uint8)


def make_batch(text: np.ndarray, args: argparse.Namespace, step: int, rank: int, world: int) -> np.ndarray:
    """This rank's rows of the batch of `step`: uint8 [B / world, S + 1]. A function of the seed and the step."""
    draws = np.random.Generator(np.random.Philox(key=args.seed, counter=[0, 0, 0, step]))
    starts = draws.integers(0, len(text) - args.seq, size=args.batch)
    rows = args.batch // world
    return text[starts[rank * rows : (rank + 1) * rows, None] + np.arange(args.seq + 1)]


# Model


def initial_weights(args: argparse.Namespace) -> Weights:
    """float32 leaves. Matrices are normal with deviation 0.02, those that end a residual branch less; gains are 1."""
    L, D, F = args.layers, args.dim, args.ffn
    E = D // args.heads
    shapes = {
        "embedding": (VOCABULARY, D),
        "final_norm": (D,),
        "head": (D, VOCABULARY),
        "layers.attention_norm": (L, D),
        "layers.ffn_norm": (L, D),
        "layers.query": (L, D, args.heads, E),
        "layers.key": (L, D, args.kv_heads, E),
        "layers.value": (L, D, args.kv_heads, E),
        "layers.output": (L, args.heads, E, D),
        "layers.gate": (L, D, F),
        "layers.up": (L, D, F),
        "layers.down": (L, F, D),
    }
    weights = {}
    for index, (name, shape) in enumerate(shapes.items()):
        draws = np.random.Generator(np.random.Philox(key=args.seed, counter=[0, 0, 1 + index, 0]))
        deviation = 0.02 / (2 * L) ** 0.5 if name in ("layers.output", "layers.down") else 0.02
        normal = draws.standard_normal(shape, np.float32) * np.float32(deviation)
        weights[name] = np.ones(shape, np.float32) if name.endswith("norm") else normal
    return weights


def rms_norm(x: jax.Array, gain: jax.Array) -> jax.Array:
    """Scale the last axis to a mean square of 1, then by `gain`: [..., D] -> [..., D]."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * gain


def rotate(x: jax.Array) -> jax.Array:
    """Rotary position embedding, the halves of a head being the pairs: [B, S, heads, E] -> same."""
    S, E = x.shape[1], x.shape[3]
    angle = np.arange(S)[:, None] * 10_000.0 ** (-np.arange(0, E, 2) / E)  # [S, E / 2]
    cos, sin = (np.float32(f(angle))[:, None, :] for f in (np.cos, np.sin))
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def attention(x: jax.Array, w: Weights) -> jax.Array:
    """Causal attention in which H / K query heads share one key and value head: [B, S, D] -> [B, S, D]."""
    B, S, _ = x.shape
    H, E = w["query"].shape[1:]
    K = w["key"].shape[1]
    query = rotate(jnp.einsum("bsd,dhe->bshe", x, w["query"])).reshape(B, S, K, H // K, E)
    key = rotate(jnp.einsum("bsd,dke->bske", x, w["key"]))
    value = jnp.einsum("bsd,dke->bske", x, w["value"])
    scores = jnp.einsum("bskge,btke->bkgst", query, key) / np.float32(E**0.5)
    scores = jnp.where(np.tri(S, dtype=bool), scores, -1e30)
    mixed = jnp.einsum("bkgst,btke->bskge", jax.nn.softmax(scores), value)
    return jnp.einsum("bshe,hed->bsd", mixed.reshape(B, S, H, E), w["output"])


def loss_of(weights: Weights, tokens: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats of predicting each next byte: uint8 [B, S + 1] -> scalar."""

    def layer(x: jax.Array, w: Weights) -> tuple[jax.Array, None]:
        x = x + attention(rms_norm(x, w["attention_norm"]), w)
        h = rms_norm(x, w["ffn_norm"])
        return x + (jax.nn.silu(h @ w["gate"]) * (h @ w["up"])) @ w["down"], None

    inputs, targets = tokens[:, :-1].astype(jnp.int32), tokens[:, 1:].astype(jnp.int32)
    layers = {name.removeprefix("layers."): leaf for name, leaf in weights.items() if name.startswith("layers.")}
    x, _ = jax.lax.scan(layer, weights["embedding"][inputs], layers, unroll=True)  # a fifth faster than the loop
    logits = rms_norm(x, weights["final_norm"]) @ weights["head"]  # [B, S, V]
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - chosen)


# Optimiser


def learning_rate(args: argparse.Namespace, step: jax.Array) -> jax.Array:
    """Linear warm-up to the peak, then a cosine down to a tenth of it at the last step."""
    progress = jnp.clip((step - args.warmup) / max(1, args.steps - args.warmup), 0.0, 1.0)
    cosine = 0.1 + 0.45 * (1.0 + jnp.cos(np.pi * progress))
    return args.lr * jnp.minimum(step / max(1, args.warmup), cosine)


def adamw(args: argparse.Namespace, state: State, gradient: Weights, step: jax.Array) -> State:
    """One update by the mean `gradient`, clipped to a norm of `args.clip`. Gains are not decayed."""
    beta1, beta2 = 0.9, 0.95
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
    scale = jnp.minimum(1.0, args.clip / (norm + 1e-6))
    rate = learning_rate(args, step)
    after: State = {"weights": {}, "m": {}, "v": {}}
    for name, weight in state["weights"].items():
        g = gradient[name] * scale
        after["m"][name] = m = beta1 * state["m"][name] + (1 - beta1) * g
        after["v"][name] = v = beta2 * state["v"][name] + (1 - beta2) * g * g
        update = (m / (1 - beta1**step)) / (jnp.sqrt(v / (1 - beta2**step)) + 1e-8)
        decay = 0.0 if name.endswith("norm") else args.weight_decay
        after["weights"][name] = weight - rate * (update + decay * weight)
    return after


def make_train_step(args: argparse.Namespace, mesh: Mesh) -> Any:
    """A compiled (state, tokens [B, S + 1] sharded by rows, step) -> (state, mean loss)."""
    everywhere, by_rows = PartitionSpec(), PartitionSpec("gang")

    def train_step(state: State, tokens: jax.Array, step: jax.Array) -> tuple[State, jax.Array]:
        loss, gradient = jax.value_and_grad(loss_of)(state["weights"], tokens)
        flat, unflatten = ravel_pytree((loss, gradient))  # one buffer, so one all-reduce per step
        loss, gradient = unflatten(jax.lax.pmean(flat, "gang"))
        return adamw(args, state, gradient, step.astype(jnp.float32)), loss

    specs = {"in_specs": (everywhere, by_rows, everywhere), "out_specs": everywhere}
    return jax.jit(jax.shard_map(train_step, mesh=mesh, check_vma=False, **specs), donate_argnums=0)


# Checkpoints


def leaves_of(state: State) -> list[tuple[str, Any]]:
    """All arrays of the state with their names, in the order of the names."""
    return sorted((f"{part}/{name}", leaf) for part, leaves in state.items() for name, leaf in leaves.items())


def save(directory: Path, state: State, loss: float, rank: int, world: int) -> None:
    """Write this rank's share, every world-th leaf; rank 0 adds what is not an array."""
    share = {name: np.asarray(leaf) for i, (name, leaf) in enumerate(leaves_of(state)) if i % world == rank}
    np.savez(directory / "leaves.npz", **share)
    if rank == 0:
        (directory / "meta.json").write_text(json.dumps({"loss": loss, "world_size": world}))


def load(resumed: forge_worker.Resume, like: State) -> tuple[State, float]:
    """The state and the loss at a checkpoint, saved by any number of ranks. The leaves must be those of `like`."""
    meta = json.loads((resumed.directory / "rank-0" / "meta.json").read_text())
    found: dict[str, np.ndarray] = {}
    for shard in resumed.shards():
        with np.load(shard / "leaves.npz", allow_pickle=False) as leaves:
            found.update(leaves)
    want = {name: (leaf.shape, leaf.dtype) for name, leaf in leaves_of(like)}
    have = {name: (leaf.shape, leaf.dtype) for name, leaf in found.items()}
    if len(resumed.shards()) != meta["world_size"] or have != want:
        odd = sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))
        raise ValueError(f"the checkpoint in {resumed.directory} is not one of this model: see {odd[:3]}")
    state = {part: {name: found[f"{part}/{name}"] for name in leaves} for part, leaves in like.items()}
    return state, meta["loss"]


def write_results(directory: Path, weights: Weights, summary: dict[str, Any]) -> None:
    """Leave the final weights and then the summary; each appears whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    np.savez(directory / "weights.tmp.npz", **weights)
    os.replace(directory / "weights.tmp.npz", directory / "weights.npz")
    (directory / "final.json.tmp").write_text(json.dumps(summary, indent=2) + "\n")
    os.replace(directory / "final.json.tmp", directory / "final.json")


# The run


def join_gang(rank: int, world: int) -> Mesh:
    """Connect to the other processes, one CPU device each. Every argument is explicit: JAX shall detect nothing."""
    if world > 1:
        fallback = f"{os.environ.get('MASTER_ADDR', '127.0.0.1')}:{os.environ.get('MASTER_PORT', '29500')}"
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM and not end
        jax.distributed.initialize(
            coordinator_address=os.environ.get("JAX_COORDINATOR_ADDRESS") or fallback,
            num_processes=world,
            process_id=rank,
            cluster_detection_method="deactivate",
            initialization_timeout=60,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_SECONDS,
            shutdown_timeout_seconds=60,
        )
    return Mesh(np.array(jax.devices()), ("gang",))


def main(args: argparse.Namespace) -> None:
    rank, world = forge_worker.rank(), forge_worker.world_size()
    mesh = join_gang(rank, world)
    replicated, by_rows = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("gang"))

    weights = initial_weights(args)
    zeros = {name: np.zeros_like(leaf) for name, leaf in weights.items()}
    state: State = {"weights": weights, "m": zeros, "v": zeros}
    step, loss = 0, float("nan")
    if resumed := forge_worker.resume():
        state, loss = load(resumed, like=state)
        step = resumed.step
    if rank == 0:
        size = sum(leaf.size for leaf in weights.values())
        start = f"resuming after step {step}" if step else "fresh start"
        print(f"world size {world}, {size:,} parameters, {start}", flush=True)

    text = read_text()
    train_step = make_train_step(args, mesh)
    state = jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(replicated, leaf, leaf.shape), state)
    batch = partial(make_batch, text, args, rank=rank, world=world)
    rows = batch(step + 1)
    while step < args.steps:
        began = time.perf_counter()
        step += 1
        tokens = jax.make_array_from_process_local_data(by_rows, rows)
        state, mean_loss = train_step(state, tokens, np.int32(step))
        rows = batch(step + 1)  # while the step computes
        loss = float(mean_loss)
        tokens_per_s = args.batch * args.seq / (time.perf_counter() - began)

        if rank == 0 and (step == 1 or step % args.log_every == 0 or step == args.steps):
            print(f"step {step} loss {loss:.4f} tokens/s {tokens_per_s:.0f}", flush=True)
        if forge_worker.should_checkpoint(step):
            with forge_worker.save(step) as directory:
                save(directory, state, loss, rank, world)
        forge_worker.step(step, loss=loss, tokens_per_s=tokens_per_s)

    final = {name: np.asarray(leaf) for name, leaf in sorted(state["weights"].items())}
    digest = hashlib.sha256(b"".join(leaf.tobytes() for leaf in final.values())).hexdigest()
    if rank == 0:
        if output := forge_worker.output_dir():
            write_results(output, final, {"steps": step, "loss": loss, "digest": digest, "world_size": world})
        print(f"final weights sha256:{digest}", flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    parsed = arguments()
    try:
        main(parsed)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # at once: a normal exit would first wait for peers that are gone
