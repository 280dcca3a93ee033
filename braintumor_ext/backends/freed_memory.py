"""Memory that one batch frees serves the next."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let the process keep the memory that it frees; return whether the C library can (glibc's can).

    glibc maps each allocation above 32 MiB anew and gives it back when it is freed, so that every batch of larger
    feature maps pays for its pages again (https://man7.org/linux/man-pages/man3/mallopt.3.html). The process
    stays as large as its largest batch made it. The setting holds for the whole process and cannot be taken back.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, -1))
