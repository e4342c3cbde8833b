"""What one process does for all, and what every process must hear of it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from codir.errors import JointUserError, UserError
from codir.system import check_sharding, on_main

SCRIPT = """
import os, sys
from codir.errors import UserError
from codir.system import is_main_process, join_processes, leave_processes, on_main, speaks_for_all

join_processes(use_cpu=True)
rank = int(os.environ["RANK"])
done = []
assert on_main(lambda: done.append(rank) or {"rank": rank}) == {"rank": 0}
assert done == ([0] if rank == 0 else [])
assert is_main_process() == (rank == 0)


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__("words")


def fail(error):
    raise error


for error, kind in ((UserError("K", expected="a", got="b", do="c"), UserError), (Unsendable(1, 2), Exception)):
    try:
        on_main(fail, error)
    except kind as caught:
        assert str(error) in str(caught)
    else:
        raise AssertionError("a process went on after the main one had failed")
assert speaks_for_all() == (rank == 0)
leave_processes()
print(f"rank {rank} is done", flush=True)
"""
ALONE = """
import sys
from codir.system import join_processes, speaks_for_all
import os
join_processes(use_cpu=True)
if os.environ["RANK"] == "1":
    print("heard" if speaks_for_all() else "silent", flush=True)
    sys.exit(3)
import time
time.sleep(600)
"""


def launch(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "script.py").write_text(script)
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(tmp_path / "script.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=environment, timeout=300
    )


@pytest.mark.training
def test_a_process_that_goes_on_where_the_main_one_failed(tmp_path):
    ended = launch(tmp_path, SCRIPT)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.count("is done") == 2


@pytest.mark.training
def test_a_process_that_fails_alone_and_says_nothing(tmp_path):
    ended = launch(tmp_path, ALONE)
    assert ended.returncode != 0
    assert "heard" in ended.stdout


def test_an_error_of_one_process_that_waits_for_others():
    with pytest.raises(ZeroDivisionError):
        on_main(lambda: 1 / 0)


@pytest.mark.parametrize("joint", [False, True])
def test_an_error_that_does_not_survive_the_way_to_another_process(joint):
    error = UserError("K", expected="a", got="b", do="c", otherwise="d").of("whole")
    sent = JointUserError([error, error]) if joint else error
    received = pickle.loads(pickle.dumps(sent))
    assert type(received) is type(sent)
    assert str(received) == str(sent)
    assert vars(received).keys() == vars(sent).keys()


@pytest.mark.parametrize(
    ("fsdp", "deepspeed", "environment"),
    [
        ("full_shard", None, {}),
        (True, None, {}),
        (None, {"zero_optimization": {"stage": 2}}, {}),
        (None, "config.json", {}),
        (None, None, {"ACCELERATE_USE_FSDP": "true"}),
        (None, None, {"ACCELERATE_USE_FSDP": "1"}),
        (None, None, {"ACCELERATE_USE_DEEPSPEED": "True"}),
    ],
)
def test_a_way_to_shard_that_is_ignored(monkeypatch, fsdp, deepspeed, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"FSDP|DeepSpeed"):
        check_sharding(fsdp, deepspeed)


def test_data_parallelism_taken_for_sharding(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_sharding(None, None)
    check_sharding("", None)
