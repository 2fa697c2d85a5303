"""A container's read-only root, by Linux's Landlock: a program reads its image's files and writes to its volumes only.

On a node, a program sees its image's files and the pod's volumes. Here it is a process of this machine, so a link in a
repository that it clones could lead to any file of the user. Landlock needs no privileges, and holds across `exec`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls, with the same numbers on all architectures."""
GET_VERSION, PATH_BENEATH = 1, 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
READ = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule for a file, rather than a folder, may give."""
RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights the kernel's Landlock knows; later versions add none for files."""

DEVICES = ("/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero")
"""Every container may write to these; Git does not start without /dev/null."""
IMAGE = (
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/proc/self",
    "/proc/sys",
    "/sys/fs/cgroup",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
)
"""What a container has of these, or an image for Go programs: names, certificates and time zones."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@cache
def available() -> bool:
    """Whether the kernel has Landlock, as Linux has since 5.13 where it is not switched off."""
    return _version() > 0


def confine(readable: Iterable[str | Path], writable: Iterable[str | Path]) -> None:
    """Restrict this process, and the programs that it starts, for ever. Paths that do not exist are left out.

    For a child before `exec`: raises OSError, which ends it.
    """
    handled = (1 << RIGHTS_BY_VERSION.get(_version(), 16)) - 1
    ruleset = _Ruleset(handled)
    rules = _call(CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0)
    for paths, rights in ((readable, READ), (writable, handled)):
        for path in paths:
            _allow(rules, path, rights & handled)
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
    _call(RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str | Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        beneath = _PathBeneath(rights if os.path.isdir(path) else rights & OF_FILES, opened)
        _call(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(beneath), 0)
    finally:
        os.close(opened)


def _version() -> int:
    return LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), GET_VERSION)


def _call(number: int, *arguments: object) -> int:
    answer = LIBC.syscall(number, *arguments)
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"Landlock's system call {number} failed")
    return answer
