"""Freed memory is kept for what comes next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

CODE = """
import ctypes, mmap, resource
from braintumor_ext.backends.freed_memory import keep_freed_memory

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
SIZE = 64 * 2**20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = library.malloc(SIZE)
    ctypes.memset(place, 1, SIZE)
    library.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = [faults() for _ in range(3)][-1]
assert keep_freed_memory()
kept = [faults() for _ in range(3)][-1]
print(given_back, kept, SIZE // mmap.PAGESIZE)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's setting")
def test_an_allocation_of_the_same_size_gets_the_pages_of_the_freed_one():
    # in a process of its own: the setting is the process's, for good
    done = subprocess.run(
        [sys.executable, "-c", CODE], check=True, cwd=REPOSITORY, capture_output=True, text=True, timeout=200
    )
    given_back, kept, pages = map(int, done.stdout.split())
    assert kept < 0.01 * pages
    assert given_back > kept
