"""Two network namespaces of this machine, each with its own address, name and sshd."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class TwoHosts:
    """Names, addresses, the options of ssh between them, and the first process of each."""

    names: tuple[str, str]
    addresses: tuple[str, str]
    ssh: str
    first_processes: dict[str, int]

    def on(self, name: str) -> list[str]:
        """What runs a command on a host, where only that host's network and processes are seen."""
        there = ["nsenter", f"--target={self.first_processes[name]}", "--net", "--uts", "--mount", "--pid"]
        return [*there, "sh", "-c", 'cd "$0" && exec "$@"', str(ROOT)]


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no network namespaces: {' '.join(words)}: {done.stderr.strip()[:200]}")


@pytest.fixture
def two_hosts(tmp_path: Path) -> Iterator[TwoHosts]:
    """Two network namespaces joined by a veth pair, each with an sshd that takes this test's key only."""
    sshd = shutil.which("sshd") or ("/usr/sbin/sshd" if os.path.exists("/usr/sbin/sshd") else None)
    missing = [name for name in ("ip", "nsenter", "unshare", "ssh", "ssh-keygen", "pdsh") if shutil.which(name) is None]
    if sshd is None or missing:
        pytest.skip(f"not installed: {', '.join([*([] if sshd else ['sshd']), *missing])}")
    if os.getuid() != 0:
        pytest.skip("network namespaces need root")
    names = (f"gpa{os.getpid()}", f"gpb{os.getpid()}")
    addresses = ("10.231.77.1", "10.231.77.2")
    flags = ["-p 2222", f"-i {tmp_path / 'user'}", "-o StrictHostKeyChecking=no", "-o BatchMode=yes"]
    ssh = " ".join([*flags, "-o UserKnownHostsFile=/dev/null", "-o IdentitiesOnly=yes", "-F /dev/null"])
    hosts = TwoHosts(names, addresses, ssh, {})
    table = tmp_path / "hosts"
    lines = ("127.0.0.1 localhost", *(" ".join(each) for each in zip(addresses, names, strict=True)))
    table.write_text("\n".join(lines) + "\n")
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            run("ip", "netns", "add", name)
            servers.append(_booted(name, table))
            hosts.first_processes[name] = psutil.Process(servers[-1].pid).children()[0].pid
        run("ip", "link", "add", "gp0", "netns", names[0], "type", "veth", "peer", "name", "gp1", "netns", names[1])
        for name, address, link in zip(names, addresses, ("gp0", "gp1"), strict=True):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        for key in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key))
        Path("/run/sshd").mkdir(exist_ok=True)
        for name, address in zip(names, addresses, strict=True):
            options = {
                "ListenAddress": address, "Port": "2222", "HostKey": tmp_path / "host", "UsePAM": "no",
                "AuthorizedKeysFile": tmp_path / "user.pub", "PidFile": "none", "StrictModes": "no",
                "PermitRootLogin": "prohibit-password", "PasswordAuthentication": "no",
                "SetEnv": f"HOME={tmp_path}",  # what this user's shell does at a login may take long, or fail
            }  # fmt: skip
            words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
            servers.append(
                subprocess.Popen(
                    [*hosts.on(name), sshd, "-D", "-f", "/dev/null", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        for address in addresses:
            _wait_for_ssh(hosts, address)
        yield hosts
    finally:
        for server in servers:  # whatever runs on a host ends with its first process
            server.kill()
            server.wait()
        for name in names:
            _delete(name)


def _booted(name: str, table: Path) -> subprocess.Popen[bytes]:
    """A host's first process: with a name, a table of hosts and process numbers of its own."""
    become = 'hostname "$0" && mount --bind "$1" /etc/hosts && echo && exec sleep infinity'
    spaces = ["--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    words = ["nsenter", f"--net=/run/netns/{name}", "unshare", *spaces, "sh", "-c", become, name, str(table)]
    host = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert host.stdout is not None
    assert host.stdout.readline() == b"\n", "the host does not start"
    return host


def _delete(name: str) -> None:
    """Delete a namespace; while the last process of it ends, it is busy."""
    for _ in range(50):
        if subprocess.run(["ip", "netns", "delete", name], capture_output=True).returncode == 0:
            return
        if not Path("/run/netns", name).exists():
            return
        time.sleep(0.2)


def _wait_for_ssh(hosts: TwoHosts, address: str) -> None:
    for _ in range(300):
        words = [*hosts.on(hosts.names[0]), "ssh", *hosts.ssh.split(), address, "true"]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return
        time.sleep(0.2)
    pytest.fail(f"sshd takes no connection: {done.stderr.strip()[-200:]}")
