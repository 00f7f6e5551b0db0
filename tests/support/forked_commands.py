"""The commands `tradebook` and `alembic`, which do not import tradebook anew: a second of CPU less for each.

`forked_commands` starts a process that has everything imported, and writes a script of each name. The script hands
its arguments, variables, folder and standard streams to that process, which forks a child that runs the command.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from alembic.config import main as alembic

from tests.support.checkout import ROOT
from tradebook.entrypoints import cli
from tradebook.entrypoints.cli.app import COMMANDS

_CLIENT: Final = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(4)], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.recv(3) or b"255"))
"""
_PROGRAMS: Final = {"tradebook": cli.main, "alembic": alembic}


@contextmanager
def forked_commands() -> Iterator[Path]:
    """Serve commands until the block ends; gives the folder of the scripts."""
    with tempfile.TemporaryDirectory(prefix="tradebook-commands-") as name:
        address = f"{name}/socket"
        for program in _PROGRAMS:
            script = Path(name, program)
            script.write_text(_CLIENT.format(python=sys.executable, address=address))
            script.chmod(0o755)
        command = [sys.executable, "-m", __name__, address]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            try:
                yield Path(name)
            finally:
                server.terminate()


def _serve(address: str) -> None:
    for entry in COMMANDS.values():
        import_module(f"{cli.__name__}.{entry.where.partition(':')[0]}")
    gc.freeze()  # a child would walk all objects at its end, and copy their pages: 0.4 s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(address)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            client, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                break
            client.close()
    size, streams, _, _ = socket.recv_fds(client, 4, 3)
    with client.makefile("rb") as asked:
        command, folder, environment = json.loads(asked.read(int.from_bytes(size)))
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        client.sendall(str(status % 256).encode())
        os._exit(0)
    client.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    program = os.path.basename(command[0])
    sys.argv = [program, *command[1:]]
    _PROGRAMS[program]()


if __name__ == "__main__":
    _serve(sys.argv[1])
