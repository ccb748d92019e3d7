"""Engines that execute the runs of a sweep: processes on this machine (joblib's loky), or a Ray cluster."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from protovine.errors import ConfigError
from protovine.experiments.run.execute import execute
from protovine.experiments.sweep.database import Finished
from protovine.experiments.sweep.grid import Task, counted_versions, files_of, fingerprint_of, load
from protovine.interrupts import interrupts_blocked
from protovine.own import with_place

# Tasks submitted per worker: the next one is ready when one is finished.
AHEAD = 2
ENGINES = ("local", "ray")
_DIED = "the worker process died; it may have run out of memory"


def results(tasks: Sequence[Task], engine: str, jobs: int, address: str | None = None) -> Iterator[Finished]:
    """Yield finished tasks as they finish. An error of a run is part of its result and is not raised.

    The results do not depend on the engine. Closing the iterator ends its workers.

    Raises
    ------
    ConfigError
        The engine is unknown, not installed or cannot be reached.
    """
    check_engine(engine, address)
    return _in_ray(tasks, jobs, address) if engine == "ray" else _in_processes(tasks, jobs)


def check_engine(engine: str, address: str | None = None) -> None:
    """`ConfigError` if the engine is unknown or not installed."""
    if engine not in ENGINES:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}, got '{engine}'")
    if engine == "local" and address is not None:
        raise ConfigError("an address needs the engine ray")
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise ConfigError("the engine ray needs the optional part ray: pip install 'protovine[ray]'")


def attempt(task: Task) -> Finished:
    """Execute a task in this process."""
    started = time.perf_counter()
    made, error = None, None
    try:
        here = counted_versions()
        for name, wanted in task.versions:
            if here[name] != wanted:
                raise ConfigError(f"the worker has {name} {here[name]}, not {wanted}")
        if fingerprint_of(task.data, task.seed) != task.fingerprint:
            raise ConfigError(f"{task.data.source} differs between this worker and the sweep")
        if files_of(task.settings) != task.files:
            raise ConfigError("a file that the settings name differs between this worker and the sweep")
        made = execute(task.settings, task.key, task.seed, load(task.data, task.seed))
    except Exception as caught:
        error = with_place(caught)
    return Finished(task.key, task.seed, made, error, time.perf_counter() - started)


def _in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[Finished]:
    """Spawned processes. If one dies, the tasks that were running are executed again, one at a time."""
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    waiting = deque(tasks)
    suspects: deque[Task] = deque()
    while waiting or suspects:
        pool = ProcessPoolExecutor(max_workers=jobs, timeout=None, initializer=_start_worker, initargs=(os.getpid(),))
        running: dict[Future[Finished], Task] = {}
        try:
            while waiting or suspects or running:
                # Suspects run one at a time, so that a death shows which of them caused it.
                one_by_one = bool(suspects)
                source, room = (suspects, 1) if one_by_one else (waiting, AHEAD * jobs)
                with interrupts_blocked():  # Workers start here.
                    while source and len(running) < room:
                        task = source.popleft()
                        try:
                            running[pool.submit(attempt, task)] = task
                        except BrokenProcessPool:
                            source.appendleft(task)
                            break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                broken = []
                for future in done:
                    task = running.pop(future)
                    error = future.exception()
                    if error is None:
                        yield future.result()
                    elif isinstance(error, BrokenProcessPool):
                        broken.append(task)
                    else:
                        yield Finished(task.key, task.seed, None, f"{type(error).__name__}: {error}", 0.0)
                if broken or not done:
                    broken += running.values()
                    running = {}
                    if one_by_one:
                        yield Finished(broken[0].key, broken[0].seed, None, _DIED, 0.0)
                    else:
                        suspects.extend(broken)
                    break
        finally:
            pool.shutdown(wait=True, kill_workers=True)


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this worker with its parent: if that was killed, the worker would wait for work forever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _in_ray(tasks: Sequence[Task], jobs: int, address: str | None) -> Iterator[Finished]:
    """A running Ray cluster, or one that is started for the sweep."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends no usage statistics.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Imported by name, so that type checks do not depend on an optional package.
    ray: Any = importlib.import_module("ray")
    settings: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address:
        # Its workers find data sets through the environment. Those of a cluster started here inherit it; asked for in
        # a `runtime_env`, it would make Ray start all workers a second time.
        inherited = {name: os.environ[name] for name in ("PROTOVINE_DATA", "NUMBA_CACHE_DIR") if name in os.environ}
        settings |= {"address": address, "runtime_env": {"env_vars": inherited}}
    else:
        settings |= {"address": "local", "num_cpus": jobs, "include_dashboard": False}
    try:
        ray.init(**settings)
    except Exception as error:
        where = f"the Ray cluster at {address}" if address else "a local Ray cluster"
        text = " ".join(str(error).split())
        raise ConfigError(f"cannot reach {where}: {text}" if address else f"cannot start {where}: {text}") from None
    try:
        # Ray repeats a run once if its worker or machine dies.
        work = ray.remote(num_cpus=1, max_retries=1)(attempt)
        room = AHEAD * max(1, int(ray.cluster_resources().get("CPU", jobs)))
        waiting = deque(tasks)
        running: dict[Any, Task] = {}
        while waiting or running:
            while waiting and len(running) < room:
                task = waiting.popleft()
                running[work.remote(task)] = task
            for reference in ray.wait(list(running), num_returns=1)[0]:
                task = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError:
                    yield Finished(task.key, task.seed, None, _DIED, 0.0)
    finally:
        ray.shutdown()
