"""Workers survive whatever a task does, and count it."""

from __future__ import annotations

import queue
import sys

import pytest

from framepilot_app.modules.work import Workers


@pytest.mark.parametrize("fault", [lambda: 1 / 0, lambda: sys.exit(3)])
def test_a_task_that_fails_costs_neither_the_worker_nor_the_tasks_after_it(fault):
    done: queue.Queue[int] = queue.Queue()
    workers = Workers(1)
    workers.start()
    for number in range(3):
        workers.submit(fault)
        workers.submit(lambda number=number: done.put(number))
    workers.stop()
    assert [done.get_nowait() for _ in range(3)] == [0, 1, 2]
    assert workers.failed_tasks == 3


def test_tasks_that_come_together_are_each_run_once_whatever_the_others_do():
    done: queue.Queue[int] = queue.Queue()
    workers = Workers(3)
    workers.start()
    workers.submit_all([lambda: 1 / 0, *(lambda number=number: done.put(number) for number in range(10))])
    workers.submit_all([])
    workers.submit_all([lambda: done.put(10)])
    workers.stop()
    assert sorted(done.get_nowait() for _ in range(11)) == [*range(11)]
    assert (done.empty(), workers.failed_tasks) == (True, 1)
