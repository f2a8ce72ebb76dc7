"""One notebook through papermill, in a process of its own; several at a time, forked from one that has all imports."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe, wait
from pkgutil import resolve_name
from typing import Any

from analysis_lib.errors import ClaimsError, ReportFailed
from analysis_lib.paths import ROOT, shown

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
INJECTED = "injected-parameters"  # tag of the cell that papermill puts in
TEXTS = {"text", "text/plain", "text/html"}  # what of an output may name a folder
Words = Sequence[tuple[str, str]]  # folders of this machine, and the word for each that outputs may show
Results = Iterator[tuple[Any, Any, float, str]]

LINUX = sys.platform == "linux"
DEATH_SIGNAL = 1  # prctl: what a process gets when its parent ends
DIED = "the kernel died; see whether memory ran out"
GLANCE = 0.2  # seconds between two looks for processes that died or take too long
SERVER = ("-P", "-c", "from analysis_lib.runner import serve; serve()")
# Several notebooks at a time leave no processor for threads within one, and a process with threads is not safely
# forked. A fixed hash seed keeps the order of sets. Figures become outputs of the cell that draws them.
SETTINGS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    "JE_ARROW_MALLOC_CONF": "background_thread:false", "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # fmt: skip


# ---- the run ---------------------------------------------------------------------------------------------------------


@contextmanager
def server(ready: Callable[[], Any], env: Mapping[str, str], python: str) -> Iterator[Callable[..., Results]]:
    """A process that calls `ready`, a module's own function, and runs notebooks in copies of itself.

    What `ready` imports is imported once. Given is `run(tasks, make, words, timeout, jobs)`, which yields for every
    task, in the order they finish, task, `make(executed notebook, task)`, seconds and, where it failed, one line that
    says so. A task has a `name`, a `notebook` (its path) and `parameters`; `make` is a module's own function, too.
    However the block ends, server and notebooks end with it. `python` is this very interpreter, activated or not.
    """
    command, pipe = [python, *SERVER, f"{ready.__module__}:{ready.__qualname__}"], subprocess.PIPE
    with tempfile.TemporaryFile() as said:
        try:
            env = os.environ | SETTINGS | env
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, env=env, start_new_session=True)
        except OSError as error:
            yield lambda tasks, *_: _failed(tasks, f"the kernel did not start: {error.strerror}")
            return
        try:
            yield partial(_results, process, said)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()  # which tells the server to end
            process.wait()
            process.stdout.close()


def _results(process: Any, said: Any, tasks: Sequence[Any], *how: Any) -> Results:
    left = {task.name: task for task in tasks}
    try:
        pickle.dump((tasks, *how), process.stdin)
        process.stdin.flush()
        while left:
            name, *result = pickle.load(process.stdout)
            yield left.pop(name), *result
    except (EOFError, OSError, pickle.UnpicklingError):
        said.seek(0)
        told = said.read().decode(errors="replace").strip().rpartition("\n")[2]
        yield from _failed(left.values(), told or "the process of all kernels was killed; see whether memory ran out")


def _failed(tasks: Sequence[Any], why: str) -> Results:
    yield from ((task, None, 0.0, f"{task.name}: {shown(task.notebook)}, {why}") for task in tasks)


# ---- the server ------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Forks a process for each notebook and ends those that take too long, until its input ends with the run.

    Elsewhere than on Linux system libraries may hold threads that no fork survives, and so may a library anywhere: then
    the copies import for themselves.
    """
    for ready in sys.argv[1:] if LINUX else ():
        resolve_name(ready)()
        if len(os.listdir("/proc/self/task")) > 1:
            os.execv(sys.executable, [sys.executable, *SERVER])
    tasks, make, words, timeout, jobs = pickle.load(sys.stdin.buffer)
    waiting, running = [*reversed(tasks)], []
    gc.freeze()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_Notebook(waiting.pop(), make, words, timeout))
        if 0 in wait([0, *(notebook.pipe for notebook in running)], GLANCE):
            break
        for notebook in [*running]:
            if (result := notebook.result()) is not None:
                running.remove(notebook)
                notebook.end()
                pickle.dump((notebook.task.name, *result), sys.stdout.buffer)
                sys.stdout.flush()
    for notebook in running:
        notebook.end()
    os._exit(0)


class _Notebook:
    """One notebook that runs."""

    def __init__(self, task: Any, make: Callable[[Any, Any], Any], words: Words, timeout: int) -> None:
        self.task, self.timeout, self.deadline = task, timeout, time.monotonic() + timeout
        self.where = "the kernel did not start"
        self.pipe, told = Pipe(duplex=False)
        self.process = get_context("fork").Process(target=_work, args=(task, make, words, told))
        self.process.start()
        told.close()

    def result(self) -> tuple[Any, float, str] | None:
        """What came of it; None while it runs."""
        dead, late = not self.process.is_alive(), time.monotonic() > self.deadline
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                if not isinstance(said, str):
                    return said
                self.where = said
        except (EOFError, OSError, pickle.UnpicklingError):
            dead = True
        why = DIED if dead else f"longer than {self.timeout} s"
        return (None, 0.0, f"{self.task.name}: {shown(self.task.notebook)}, {self.where}: {why}") if dead or late else None

    def end(self) -> None:
        """Kill it and what it started: nothing in it is needed any more."""
        self.process.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()


# ---- one notebook ----------------------------------------------------------------------------------------------------


def _work(task: Any, make: Callable[[Any, Any], Any], words: Words, pipe: Connection) -> None:
    os.setpgid(0, 0)
    if LINUX:
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
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
    """Folders of this machine and addresses in memory replaced by words."""
    for path, word in words:
        text = re.sub(rf"(?<![\w.~]){re.escape(path)}(?![\w-])", lambda _, word=word: word, text)
    return re.sub(r"(?<= at )0x[0-9a-f]{6,}", "…", text)


def _clean(notebook: Any, parameters: Mapping[str, Any], words: Words) -> Any:
    """The executed notebook without times, random ids and paths: equal inputs give equal bytes."""
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=KERNEL, language_info={"name": "python"}, parameters=parameters)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if INJECTED in cell.metadata.get("tags", ()):
            cell.id = INJECTED
        for output in cell.get("outputs", ()):
            for part in (output, output.get("data", {})):
                part.update({key: _without_paths(part[key], words) for key in TEXTS & part.keys()})
    return notebook
