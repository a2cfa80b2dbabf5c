"""The training script's side of forge: report steps, save shards, find the place to resume.

The agent starts every worker with an environment that says who it is and where its files go, and puts this file on
``PYTHONPATH``. A training loop needs four calls::

    import forge_worker

    resumed = forge_worker.resume()                 # None at a fresh start
    first = load(resumed.directory) if resumed else 0
    for step in range(first + 1, last + 1):
        loss = train(step)
        if forge_worker.should_checkpoint(step):
            with forge_worker.save(step) as directory:
                write_my_shard(directory)
        forge_worker.step(step, loss=loss)

Nothing here needs the agent. Without its environment ``step`` tells nobody, ``should_checkpoint`` is False, a ``save``
is thrown away and ``resume`` is None, so the same script runs by hand.

How a shard becomes durable: the rank writes into ``step-<n>/rank-<r>.tmp``. When the ``with`` block ends well, every
file and directory in it is fsynced and the directory is renamed to ``rank-<r>``. The rename is the only mark of
completion: a process killed at any moment before it leaves a ``.tmp`` that nobody reads. The datagrams are hints that
spare the agent a poll; one that is lost loses no checkpoint.

Python 3.9 or newer, standard library only, so that it runs in whatever environment the job brings.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Union

__all__ = ["Resume", "local_rank", "output_dir", "rank", "resume", "save", "should_checkpoint", "step", "world_size"]

PROTOCOL_VERSION = 1
"""The ``v`` of every datagram. The agent ignores datagrams of a version it does not know."""

MAX_DATAGRAM_BYTES = 8192
"""Room for some 200 metrics, and an agent can read any datagram into one small buffer."""


# Who am I


def rank() -> int:
    """This process among all of the gang's, 0 <= rank < world_size. 0 outside forge and torchrun."""
    return _env_int("RANK", 0)


def world_size() -> int:
    """How many processes the gang has. 1 outside forge and torchrun."""
    return _env_int("WORLD_SIZE", 1)


def local_rank() -> int:
    """This process among those of its node; by convention the accelerator to use."""
    return _env_int("LOCAL_RANK", 0)


def output_dir() -> Optional[Path]:
    """Where rank 0 leaves files for the user (final weights, a summary), or None if nobody keeps them."""
    return _env_path("FORGE_OUTPUT_DIR")


# Telling the agent


def step(n: int, **metrics: float) -> None:
    """Report that training step `n` is done; `n` counts finished steps, so the first is 1.

    Every rank should call it at every step: the agent learns a step's usual length from it, and takes a long silence
    for a hang. Costs a few microseconds, never blocks and never raises. When the agent does not keep up the report is
    dropped. Metrics must be numbers; those that are not finite are left out, for JSON has no NaN.
    """
    _send("step", n, metrics)


# Checkpoints


def should_checkpoint(n: int) -> bool:
    """Whether to save after step `n`. The same answer on every rank."""
    every = _env_int("FORGE_CHECKPOINT_EVERY", 0)
    return every > 0 and n > 0 and n % every == 0


@contextlib.contextmanager
def save(n: int) -> Iterator[Path]:
    """Yield a directory for this rank's shard files of step `n`; make it durable when the block ends well.

    Every rank calls it for the same steps and writes what it owns, under any names, sub-directories included. If the
    block raises, what it wrote is removed and the exception goes on. A shard that is complete already (the rank saved
    it in an earlier life) is kept as it is and what the block writes is thrown away.

    Raises OSError when the shard cannot be made durable: there is then no checkpoint, and the caller should know.
    """
    root = _env_path("FORGE_CHECKPOINT_DIR")
    if root is None:
        with tempfile.TemporaryDirectory(prefix="forge-save-") as nowhere:
            yield Path(nowhere)
        return

    step_dir = root / f"step-{n}"
    final = step_dir / f"rank-{rank()}"
    scratch = step_dir / f"rank-{rank()}.tmp"
    shutil.rmtree(scratch, ignore_errors=True)  # left by a predecessor that was killed
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if not final.exists():
            _sync_tree(scratch)
            os.rename(scratch, final)
            _sync(step_dir)
            _sync(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # already renamed after a good save
    _send("checkpoint", n)


@dataclass(frozen=True)
class Resume:
    """A committed checkpoint to continue from."""

    step: int
    """Finished steps at the time of the checkpoint: continue with step + 1."""

    directory: Path
    """Holds rank-0/, rank-1/, ...: the shards of all ranks that saved it."""

    def shards(self) -> List[Path]:
        """The shard directories in rank order. There may be more or fewer than this run has ranks."""
        found = (path for path in self.directory.glob("rank-*") if path.name[len("rank-") :].isdigit())
        return sorted(found, key=lambda path: int(path.name[len("rank-") :]))


def resume() -> Optional[Resume]:
    """The checkpoint to continue from, or None at a fresh start.

    Raises RuntimeError if the environment names a checkpoint that cannot be read: to begin again at step 0 would
    silently throw work away.
    """
    directory = _env_path("FORGE_RESUME_DIR")
    finished = os.environ.get("FORGE_RESUME_STEP", "")
    if directory is None and not finished:
        return None
    if directory is None or not finished:
        raise RuntimeError("FORGE_RESUME_DIR and FORGE_RESUME_STEP must be set together, and only one of them is")
    if not directory.is_dir():
        raise RuntimeError(f"FORGE_RESUME_DIR names {directory}, which is not a directory")
    return Resume(step=_env_int("FORGE_RESUME_STEP", 0), directory=directory)


# How


def _env_int(name: str, default: int) -> int:
    """An integer of the environment; an empty value counts as absent."""
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise RuntimeError(f"the environment variable {name} must be an integer and is {text!r}") from None


def _env_path(name: str) -> Optional[Path]:
    """A path of the environment; an empty value counts as absent."""
    text = os.environ.get(name, "")
    return Path(text) if text else None


_socket: Optional[socket.socket] = None


def _send(event: str, n: int, metrics: Optional[Dict[str, float]] = None) -> None:
    """Send one datagram to the agent if there is one listening, and never let training notice.

    The socket stays unconnected and each datagram carries the address, so that reports go on by themselves when the
    agent restarts and listens again under the same name.
    """
    global _socket
    name = os.environ.get("FORGE_SOCKET", "")
    if not name:
        return
    with contextlib.suppress(Exception):  # a report is worth less than the step it reports
        address = "\0" + name[1:] if name.startswith("@") else name
        if _socket is None:
            _socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            _socket.setblocking(False)
        _socket.sendto(_encode(event, n, metrics), address)


def _encode(event: str, n: int, metrics: Optional[Dict[str, float]]) -> bytes:
    """The datagram as JSON. Metrics that would make it too long for one datagram are left out, all of them."""
    message: Dict[str, object] = {
        "v": PROTOCOL_VERSION,
        "rank": rank(),
        "generation": _env_int("FORGE_GENERATION", 0),
        "event": event,
        "step": int(n),
    }
    bare = json.dumps(message).encode()
    if metrics is None:
        return bare
    numbers = {key: float(value) for key, value in metrics.items()}
    message["metrics"] = {key: value for key, value in numbers.items() if math.isfinite(value)}
    full = json.dumps(message, allow_nan=False).encode()
    return full if len(full) <= MAX_DATAGRAM_BYTES else bare


def _sync_tree(directory: Path) -> None:
    """fsync every file and directory under `directory`, the innermost first, then itself."""
    for where, _, files in os.walk(directory, topdown=False):
        for name in files:
            path = os.path.join(where, name)
            if stat.S_ISREG(os.lstat(path).st_mode):  # a link or a pipe has no data of its own
                _sync(path)
        _sync(where)


def _sync(path: Union[str, Path]) -> None:
    """fsync a file or a directory by its path."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
