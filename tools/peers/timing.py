"""What the peer scripts share: the input, the clock and the line they print."""

import json
import resource
import statistics
import time

import torch

MASK = 4


def input_ids(batch, length, vocab):
    """Row i, column j holds 5 + (7 i + 13 j) mod (vocab - 5)."""
    i, j = torch.arange(batch)[:, None], torch.arange(length)[None]
    return 5 + (7 * i + 13 * j) % (vocab - 5)


def median_ms(work, runs=10, seconds=3.0):
    """Median over at least `runs` runs and about `seconds`, after three runs that do not count."""
    for _ in range(3):
        work()
    times, start = [], time.perf_counter()
    while len(times) < runs or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return statistics.median(times) * 1e3, len(times)


def peak_mib():
    """The most memory this process has had (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


BEFORE = peak_mib()


def wanted(name, batch, length, case):
    return case in f"{name}/{batch}x{length}"


def report(name, batch, length, work, check, case=""):
    ms, runs = median_ms(work)
    peak = peak_mib() - BEFORE if case else None
    print(json.dumps({"peak_mib": peak, "peer": "pytorch", "name": name, "batch": batch, "len": length, "median_ms": round(ms, 3), "threads": torch.get_num_threads(),
                      "runs": runs, "check": check, "version": torch.__version__}), flush=True)
