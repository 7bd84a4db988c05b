"""Run Python programs that have their imports behind them.

The imports of a node or of the program cost two seconds of processor time. ``PreparedPython`` starts one process that
imports the libraries once. For each program, this process makes a copy of itself (a fork), which becomes the program.
``command`` replaces ``sys.executable``: it starts a small process that stands for the program. It hands over its
arguments, folder, variables and pipes, passes signals on, and exits as the program does.

A copy has no threads but its own. So do not import ONNX Runtime here: it starts threads, and waits for them when the
program exits. The threads of LTTng, which rclpy imports, do no harm. Use real processes for tests of imports and of
process groups.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HEADER = 8


class PreparedPython:
    """A process that has imported modules, and makes programs of its copies. Use it in a ``with`` block.

    Attributes:
        command: What stands for ``sys.executable`` in a command. Script files and ``-c`` are supported.
    """

    def __init__(self, folder: Path, modules: list[str]) -> None:
        path = folder / "programs"
        self.command = [sys.executable, "-I", "-S", __file__, "program", str(path)]
        self._server = subprocess.Popen(
            [sys.executable, __file__, "serve", str(path), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n", "the server cannot import its modules, see its error"

    def __enter__(self) -> PreparedPython:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.communicate()  # closes its input


def serve(path: str, modules: list[str]) -> list[str]:
    """Make programs until the input is closed. In a copy, return the arguments of its program."""
    import gc
    import importlib
    import selectors

    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    print("ready", flush=True)
    with selectors.DefaultSelector() as selector:
        for source in (server, sys.stdin):
            selector.register(source, selectors.EVENT_READ)
        while not any(key.fileobj is sys.stdin for key, _ in selector.select(1.0)):
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            server.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                connection, _ = server.accept()
                connection.settimeout(None)
                if not os.fork():
                    server.close()
                    return _make_program(connection)
                connection.close()
    sys.exit()


def _make_program(connection: socket.socket) -> list[str]:
    """Start a program, and return its arguments in it. The other side of the fork reports how it ends."""
    first, pipes, *_ = socket.recv_fds(connection, _HEADER, 3)
    content = b""
    while len(content) < int.from_bytes(first, "big"):
        content += connection.recv(1 << 16)
    request = json.loads(content)
    program = os.fork()
    if not program:
        connection.close()
        for number, pipe in enumerate(pipes):
            os.dup2(pipe, number)
        os.closerange(3, max(pipes) + 1)
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        return request["arguments"]
    for pipe in (0, 1, 2, *pipes):
        os.close(pipe)
    connection.send(program.to_bytes(_HEADER, "big"))
    connection.setblocking(False)
    os._exit(_watch(connection, program))


def _watch(connection: socket.socket, program: int) -> int:
    """Wait for the end of a program, and report it. Kill the program if its stand-in was killed."""
    import selectors

    end = os.pidfd_open(program)
    with selectors.DefaultSelector() as selector:
        for source in (connection, end):
            selector.register(source, selectors.EVENT_READ)
        if not any(key.fileobj == end for key, _ in selector.select()):
            os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    with contextlib.suppress(OSError):
        connection.send((os.waitstatus_to_exitcode(status) & 0xFFFFFFFF).to_bytes(_HEADER, "big"))
    return 0


def stand_in(path: str, arguments: list[str]) -> None:
    """Have a program made, pass signals on, and exit as it does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    content = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [len(content).to_bytes(_HEADER, "big")], [0, 1, 2])
        connection.sendall(content)
        program = int.from_bytes(connection.recv(_HEADER), "big")
        for number in (0, 1, 2):
            os.close(number)
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: os.kill(program, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        status = int.from_bytes(connection.recv(_HEADER), "big")
    code = status - (1 << 32) if status >> 31 else status
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def run_program(arguments: list[str]) -> None:
    """Run a script file or ``-c`` as Python does."""
    import runpy

    if arguments[0] == "-c":
        sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
        return
    sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    if mode == "program":
        stand_in(rest[0], rest[1:])
    else:
        run_program(serve(rest[0], rest[1:]))
