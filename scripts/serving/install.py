"""The servers' packages, where this machine lets us install them; its own services stay as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .private import NotServing

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = Path("/usr/sbin/policy-rc.d")


def install(package: str) -> None:
    """Install a Debian package of a server without letting it serve. Raises NotServing where that is not possible."""
    if shutil.which("apt-get") is None:
        raise NotServing(f"{package} is not installed, and there is no apt-get to install it with")
    if os.geteuid() != 0:
        raise NotServing(f"{package} is not installed, and only root may: apt-get install {package}")
    with _no_services():
        _run("apt-get", "update", "-q")
        _run("apt-get", "install", "-q", "-y", "--no-install-recommends", package)
    # It was not on this machine before, so nobody needs the service that comes with it, after a restart either.
    for command in (("systemctl", "disable", package), ("update-rc.d", package, "disable")):
        if shutil.which(command[0]):
            subprocess.run(command, capture_output=True, check=False, timeout=60)


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian asks this file whether a package may start its service: for the moment, none may."""
    was = POLICY.with_name("policy-rc.d.before-qtool")
    with suppress(FileNotFoundError):
        POLICY.rename(was)
    try:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink()
        with suppress(FileNotFoundError):
            was.rename(POLICY)


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotServing(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout)[-1000:]}")
