"""Behaves as ``docker run`` does, without docker: ``pretended_docker.py run [OPTIONS] IMAGE COMMAND...``.

The container is no descendant of the client and has a session of its own, so that no signal to the client reaches it,
and it goes on when the client is killed. It begins in another directory, with the variables of ``--env-file`` alone,
with nothing to read. ``--namespaces`` gives it a namespace of processes and of mounts of its own (``unshare``), in
which nothing is to be seen of what stands beside the directory of ``--volume``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

_NOT_STARTED = 125  # docker's own


def unshare() -> list[str]:
    """The words that begin a command in namespaces of its own."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, "--mount", "--pid", "--fork", "--mount-proc"]


def main() -> None:
    options = list(takewhile(lambda word: word.startswith("--"), sys.argv[2:]))
    words = sys.argv[2 + len(options) :][1:]
    told = {name: value for name, _, value in (option.partition("=") for option in options)}
    lines = Path(told["--env-file"]).read_text().splitlines()
    variables = {"PATH": os.defpath, **dict(line.split("=", 1) for line in lines)}
    volume = told["--volume"].split(":")[1]
    if "--namespaces" in told:
        script = (
            'set -e; exec 3<"$1"; mount -t tmpfs none "$(dirname "$1")"; mkdir "$1"; '
            'mount --no-canonicalize --bind /proc/self/fd/3 "$1"; exec 3<&-; shift; exec "$@"'
        )
        words = [*unshare(), "sh", "-c", script, "sh", volume, *words]
    ended, end = os.pipe()
    if os.fork() == 0:  # what starts containers, which is none of the client's
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.close(ended)
        os.chdir("/")
        try:
            status = subprocess.run(words, env=variables, stdin=subprocess.DEVNULL).returncode
        except OSError as error:
            print(error, flush=True)
            status = _NOT_STARTED
        os.write(end, str(status).encode())
        os._exit(0)
    os.close(end)
    sys.exit(int(os.read(ended, 16) or _NOT_STARTED))


if __name__ == "__main__":
    main()
