"""One notebook through papermill, in a process of its own; several at a time, each forked from a warm worker."""

import ctypes
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from typing import Any

from analysis_lib.errors import ClaimsError, ReportFailed
from analysis_lib.paths import ROOT, shown

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
INJECTED = "injected-parameters"  # tag of the cell that papermill puts in
TEXTS = {"text", "text/plain", "text/html"}  # what of an output may name a folder
WIDGET = "application/vnd.jupyter.widget-view+json"
Words = Sequence[tuple[str, str]]  # folders of this machine, and the word for each that outputs may show

LINUX = sys.platform == "linux"
GLANCE = 0.5  # seconds between two looks whether a notebook's process is alive and in time
DEATH_SIGNAL = 1  # prctl: what a process gets when its parent ends
# Several notebooks at a time leave no processor for threads within one, and a process with threads is not safely
# forked. A fixed hash seed keeps the order of sets.
SETTINGS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    "JE_ARROW_MALLOC_CONF": "background_thread:false", "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}  # fmt: skip


@contextmanager
def workers(jobs: int, ready: Callable[[], Any], env: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """Processes for `run_tasks`; each begins at once to call `ready`, a module's own function.

    A worker runs notebooks in copies of itself, so what `ready` imports is imported once. However the block ends,
    workers and notebooks end with it.
    """
    from unittest.mock import patch  # slow to import, and most runs start nothing

    others = set(multiprocessing.active_children())
    with patch.dict(os.environ, SETTINGS | env):
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _settle, (ready,))
        for _ in range(jobs):  # starts one worker each
            pool.submit(os.getpid)
    try:
        yield pool
    finally:
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
        pool.shutdown(cancel_futures=True)


def run_tasks(
    pool: ProcessPoolExecutor, tasks: Sequence[Any], make: Callable[[Any, Any], Any], words: Words, timeout: int
) -> Iterator[tuple[Any, Any, float, str]]:
    """`make(executed notebook, task)` for every task, in the order they finish; each ends after `timeout` seconds.

    A task has a `name`, a `notebook` (its path) and `parameters`; `make` is a module's own function. Yields task,
    result, seconds and, where it failed, one line that says so. Raises ReportFailed where no worker could begin.
    """
    try:
        futures = {pool.submit(_work, task, make, words, timeout): task for task in tasks}
    except BrokenExecutor:
        why = "one was killed, memory ran out, or a package is missing (make setup)"
        raise ReportFailed(f"no worker could begin: {why}") from None
    for future in as_completed(futures):
        task, error = futures[future], future.exception()
        why = "" if error is None else f"{task.name}: a worker died; see whether memory ran out"
        yield task, *((None, 0.0, why) if why else future.result())


def _settle(ready: Callable[[], Any]) -> None:
    ends_with_parent()
    if LINUX:
        ready()


def ends_with_parent() -> None:
    """Nothing is heard from this process, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    if LINUX:
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != multiprocessing.parent_process().pid:  # it ended before that
            os._exit(1)
    else:
        wait = multiprocessing.parent_process().join
        threading.Thread(target=lambda: wait() or os._exit(1), daemon=True).start()


def _work(task: Any, make: Callable[[Any, Any], Any], words: Words, timeout: int) -> tuple[Any, float, str]:
    """Result, seconds, failure of one notebook, which runs in a copy of this process.

    Elsewhere than on Linux system libraries may hold threads that no fork survives, and any library may have started
    one: then it runs in a new process, which imports for itself.
    """
    pipe, told = multiprocessing.Pipe(duplex=False)
    safe = LINUX and len(os.listdir("/proc/self/task")) == 1
    process = multiprocessing.get_context("fork" if safe else "spawn").Process(
        target=_run, args=(told, task, make, words)
    )
    process.start()
    told.close()
    where, end = "the kernel did not start", time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            alive = process.is_alive()  # asked, since what a dead one started may hold the pipe open
            while pipe.poll(GLANCE if alive else 0):
                said = pipe.recv()
                if not isinstance(said, str):
                    return said
                where = said
            if not alive:
                raise EOFError
        why = f"longer than {timeout} s"
    except (EOFError, OSError, pickle.UnpicklingError):
        why = "the kernel died; see whether memory ran out"
    finally:  # nothing in it, nor what it started, is needed any more
        process.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return None, 0.0, f"{task.name}: {shown(task.notebook)}, {where}: {why}"


def _run(pipe: Any, task: Any, make: Callable[[Any, Any], Any], words: Words) -> None:
    os.setpgid(0, 0)
    ends_with_parent()
    sys.path.insert(0, "")  # a notebook may import what lies beside it
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # else copies would draw alike
    begun = time.perf_counter()
    try:
        result = make(_clean(_execute(task, words, pipe.send), task.parameters, words), task)
        pipe.send((result, time.perf_counter() - begun, ""))
    except BaseException as error:
        why = str(error) if isinstance(error, ClaimsError) else f"{type(error).__name__}: {error}"
        pipe.send((None, 0.0, f"{task.name}: {why.splitlines()[0]}"))
        raise


def _execute(task: Any, words: Words, tell: Callable[[str], Any]) -> Any:
    """The executed notebook. Raises ReportFailed with notebook, cell and error."""
    from papermill import PapermillExecutionError, execute_notebook
    from papermill.engines import papermill_engines

    from analysis_lib.kernel import InProcess

    places: list[str] = []

    def begun(cells: list[Any]) -> None:  # counted as the source has them
        places.append(f"cell {sum(INJECTED not in cell.metadata.get('tags', ()) for cell in cells)}")
        tell(places[-1])

    papermill_engines.register("in-process", InProcess)
    try:
        return execute_notebook(
            task.notebook, None, task.parameters, engine_name="in-process", kernel_name="python3", language="python",
            cwd=task.notebook.parent, begun=begun, progress_bar=False,
        )  # fmt: skip
    except PapermillExecutionError as error:
        why = _without_paths(f"{error.ename}: {error.evalue}", words).strip().splitlines()[0]
    raise ReportFailed(f"{shown(task.notebook)}, {places[-1]}: {why}")


def _without_paths(text: str, words: Words) -> str:
    """Folders of this machine, names of cells and addresses in memory replaced by words."""
    for path, word in words:
        text = re.sub(rf"(?<![\w.~]){re.escape(path)}(?![\w-])", lambda _, word=word: word, text)
    return re.sub(r"(?<= at )0x[0-9a-f]{6,}", "…", re.sub(r"<ipython-input-(\d+)-\w+>", r"cell \1", text))


def _clean(notebook: Any, parameters: Mapping[str, Any], words: Words) -> Any:
    """The executed notebook without times, random ids and paths: equal inputs give equal bytes."""
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=KERNEL, language_info={"name": "python"}, parameters=parameters)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if INJECTED in cell.metadata.get("tags", ()):
            cell.id = INJECTED
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)  # it has a kernel's random ids, and a page has no kernel
            for part in (output, output.get("data", {})):
                part.update({key: _without_paths(part[key], words) for key in TEXTS & part.keys()})
    return notebook
