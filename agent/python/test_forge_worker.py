"""Tests of forge_worker with a real abstract socket, real directories and real kills.

Run: python3 -m unittest discover agent/python
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

import forge_worker

_names = itertools.count()


class WorkerCase(unittest.TestCase):
    """Rank 1 of 2 in generation 7, with a checkpoint directory and a listening agent."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name) / "checkpoints"
        self.socket_name = f"forge-worker-test-{os.getpid()}-{next(_names)}"
        self.agent = self.listen()
        self.set_env(
            RANK="1",
            WORLD_SIZE="2",
            LOCAL_RANK="0",
            FORGE_GENERATION="7",
            FORGE_CHECKPOINT_DIR=str(self.root),
            FORGE_CHECKPOINT_EVERY="20",
            FORGE_SOCKET="@" + self.socket_name,
        )

    def set_env(self, **environment: str) -> None:
        """Make `environment` all there is beyond PATH, until the test ends."""
        environment["PATH"] = os.environ.get("PATH", "")
        patch = mock.patch.dict(os.environ, environment, clear=True)
        patch.start()
        self.addCleanup(patch.stop)

    def listen(self) -> socket.socket:
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(agent.close)
        agent.bind("\0" + self.socket_name)
        agent.setblocking(False)
        return agent

    def received(self) -> List[Dict[str, Any]]:
        """What the agent was told since the last call."""
        messages = []
        while True:
            try:
                messages.append(json.loads(self.agent.recv(forge_worker.MAX_DATAGRAM_BYTES + 1)))
            except BlockingIOError:
                return messages

    def tree(self) -> List[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


class Step(WorkerCase):
    def test_sends_one_datagram(self) -> None:
        forge_worker.step(3, loss=2.5, tokens=10)
        self.assertEqual(
            self.received(),
            [
                {
                    "v": 1,
                    "rank": 1,
                    "generation": 7,
                    "event": "step",
                    "step": 3,
                    "metrics": {"loss": 2.5, "tokens": 10.0},
                }
            ],
        )

    def test_leaves_out_what_json_cannot_say(self) -> None:
        forge_worker.step(3, loss=float("nan"), norm=float("inf"), rate=1.0)
        self.assertEqual(self.received()[0]["metrics"], {"rate": 1.0})

    def test_drops_metrics_that_do_not_fit(self) -> None:
        forge_worker.step(3, **{f"metric_{i}": float(i) for i in range(2000)})
        self.assertEqual(self.received(), [{"v": 1, "rank": 1, "generation": 7, "event": "step", "step": 3}])

    def test_never_blocks_when_the_agent_does_not_read(self) -> None:
        began = time.monotonic()
        for n in range(1, 5001):
            forge_worker.step(n, loss=1.0)
        self.assertLess(time.monotonic() - began, 5.0)
        told = [message["step"] for message in self.received()]
        self.assertEqual(told, list(range(1, len(told) + 1)))
        self.assertLess(len(told), 5000)
        forge_worker.step(5001)
        self.assertEqual([message["step"] for message in self.received()], [5001])

    def test_survives_and_finds_again_an_agent_that_restarts(self) -> None:
        forge_worker.step(1)
        self.agent.close()
        forge_worker.step(2)
        self.agent = self.listen()
        forge_worker.step(3)
        self.assertEqual([message["step"] for message in self.received()], [3])

    def test_never_raises(self) -> None:
        forge_worker.step(1, loss="no number")  # type: ignore[arg-type]
        with mock.patch.dict(os.environ, RANK="no number"):
            forge_worker.step(1)
        with mock.patch.dict(os.environ, FORGE_SOCKET="@" + "x" * 200):
            forge_worker.step(1)
        self.assertEqual(self.received(), [])


class Save(WorkerCase):
    def test_follows_the_interval(self) -> None:
        self.assertEqual([n for n in range(61) if forge_worker.should_checkpoint(n)], [20, 40, 60])

    def test_renames_when_complete_and_tells(self) -> None:
        with forge_worker.save(20) as directory:
            self.assertEqual(directory, self.root / "step-20" / "rank-1.tmp")
            (directory / "part").mkdir()
            (directory / "part" / "a.npy").write_bytes(b"abc")
            self.assertEqual(self.received(), [])
        self.assertEqual(
            self.tree(), ["step-20", "step-20/rank-1", "step-20/rank-1/part", "step-20/rank-1/part/a.npy"]
        )
        self.assertEqual(
            self.received(), [{"v": 1, "rank": 1, "generation": 7, "event": "checkpoint", "step": 20}]
        )

    def test_syncs_files_then_directories_then_renames_then_syncs_the_parents(self) -> None:
        calls = []
        sync, rename = forge_worker._sync, os.rename

        def record_sync(path: Any) -> None:
            calls.append("sync " + os.path.relpath(path, self.root))
            sync(path)

        def record_rename(old: Path, new: Path) -> None:
            calls.append("rename")
            rename(old, new)

        with mock.patch.object(forge_worker, "_sync", record_sync), mock.patch("os.rename", record_rename):
            with forge_worker.save(20) as directory:
                (directory / "part").mkdir()
                (directory / "part" / "a").write_bytes(b"a")
                (directory / "link").symlink_to("nowhere")
        self.assertEqual(
            calls,
            [
                "sync step-20/rank-1.tmp/part/a",
                "sync step-20/rank-1.tmp/part",
                "sync step-20/rank-1.tmp",
                "rename",
                "sync step-20",
                "sync .",
            ],
        )

    def test_removes_everything_when_the_block_raises(self) -> None:
        for error in (ValueError, KeyboardInterrupt):
            with self.subTest(error=error), self.assertRaises(error):
                with forge_worker.save(20) as directory:
                    (directory / "a").write_bytes(b"a")
                    raise error
            self.assertEqual(self.tree(), ["step-20"])
        self.assertEqual(self.received(), [])

    def test_keeps_a_shard_that_is_complete(self) -> None:
        for content in (b"first", b"second"):
            with forge_worker.save(20) as directory:
                (directory / "a").write_bytes(content)
        self.assertEqual(self.tree(), ["step-20", "step-20/rank-1", "step-20/rank-1/a"])
        self.assertEqual((self.root / "step-20/rank-1/a").read_bytes(), b"first")
        self.assertEqual(len(self.received()), 2)

    def test_clears_what_a_killed_predecessor_left(self) -> None:
        torn = self.root / "step-20" / "rank-1.tmp"
        torn.mkdir(parents=True)
        (torn / "torn").write_bytes(b"half")
        with forge_worker.save(20) as directory:
            self.assertEqual(list(directory.iterdir()), [])
            (directory / "a").write_bytes(b"a")
        self.assertEqual(self.tree(), ["step-20", "step-20/rank-1", "step-20/rank-1/a"])

    def test_killed_at_any_moment_leaves_only_complete_shards(self) -> None:
        script = """
            import forge_worker, itertools
            print("ready", flush=True)
            for n in itertools.count(1):
                with forge_worker.save(n) as directory:
                    for i in range(5):
                        (directory / str(i)).write_bytes(b"x" * 100_000)
        """
        environment = dict(os.environ, PYTHONPATH=str(Path(forge_worker.__file__).parent))
        for delay in (0.0, 0.003, 0.011, 0.023, 0.047):
            with subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(script)], env=environment, stdout=subprocess.PIPE
            ) as worker:
                assert worker.stdout is not None
                worker.stdout.readline()
                time.sleep(delay)  # the moment of the kill, not a wait for something
                worker.send_signal(signal.SIGKILL)
            for shard in self.root.glob("step-*/rank-1"):
                self.assertEqual([path.stat().st_size for path in shard.iterdir()], [100_000] * 5)


class ResumeFrom(WorkerCase):
    def test_none_at_a_fresh_start(self) -> None:
        self.assertIsNone(forge_worker.resume())

    def test_gives_step_and_shards_in_rank_order(self) -> None:
        for name in ("rank-0", "rank-10", "rank-2", "rank-3.tmp", "manifest.json"):
            (self.root / name).mkdir(parents=True)
        with mock.patch.dict(os.environ, FORGE_RESUME_DIR=str(self.root), FORGE_RESUME_STEP="40"):
            resumed = forge_worker.resume()
        assert resumed is not None
        self.assertEqual((resumed.step, resumed.directory), (40, self.root))
        self.assertEqual([path.name for path in resumed.shards()], ["rank-0", "rank-2", "rank-10"])

    def test_never_starts_afresh_by_mistake(self) -> None:
        missing = str(self.root / "missing")
        for environment, message in (
            ({"FORGE_RESUME_STEP": "40"}, "must be set together"),
            ({"FORGE_RESUME_DIR": missing}, "must be set together"),
            ({"FORGE_RESUME_DIR": missing, "FORGE_RESUME_STEP": "40"}, "is not a directory"),
            ({"FORGE_RESUME_DIR": "/", "FORGE_RESUME_STEP": "x"}, "FORGE_RESUME_STEP must be an integer and is 'x'"),
        ):
            with self.subTest(environment), mock.patch.dict(os.environ, environment):
                with self.assertRaisesRegex(RuntimeError, message):
                    forge_worker.resume()


class WithoutAnAgent(WorkerCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env()

    def test_does_nothing_harmful(self) -> None:
        self.assertEqual((forge_worker.rank(), forge_worker.world_size(), forge_worker.local_rank()), (0, 1, 0))
        self.assertIsNone(forge_worker.output_dir())
        self.assertIsNone(forge_worker.resume())
        self.assertFalse(forge_worker.should_checkpoint(20))
        forge_worker.step(1, loss=1.0)
        with forge_worker.save(20) as directory:
            (directory / "a").write_bytes(b"a")
        self.assertFalse(directory.exists())
        self.assertEqual(self.received(), [])


if __name__ == "__main__":
    unittest.main()
