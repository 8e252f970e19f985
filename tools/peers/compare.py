"""Prints a table of two files of timing lines, case by case, with the ratio of the medians.

A ratio of times above 1 means that the second is faster; a ratio of memory above 1 that the second needs more.
Where both lines carry `check`, its relative difference is shown. Several lines for a case: the fastest counts. Cases with unequal threads are marked.

    python3 tools/peers/compare.py pytorch.jsonl dlm.jsonl
"""

import json
import pathlib
import sys


def read(path):
    best = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if line.lstrip().startswith("{"):
            row = json.loads(line)
            key = row["name"], row["batch"], row["len"]
            if key not in best or row["median_ms"] < best[key]["median_ms"]:
                best[key] = row
    return best


def main(first, second):
    left, right = read(first), read(second)
    name = lambda rows, path: next((r["peer"] for r in rows.values()), path)
    print(f"| case | batch x length | {name(left, first)} ms | {name(right, second)} ms | ratio | MiB | MiB | ratio | check differs by |")
    print("|---|---|---|---|---|---|---|---|---|")
    for key in left | right:
        a, b = left.get(key), right.get(key)
        cell = lambda r: f"{r['median_ms']:.2f}" if r else "-"
        ratio = f"{a['median_ms'] / b['median_ms']:.2f}" if a and b else "-"
        if a and b and a["threads"] != b["threads"]:
            ratio += f" (threads {a['threads']} and {b['threads']})"
        mib = [r.get("peak_mib") if r else None for r in (a, b)]
        memory = " | ".join(str(m or "-") for m in mib) + " | " + (f"{mib[1] / mib[0]:.2f}" if all(mib) else "-")
        gap = "-"
        if a and b and "check" in a and "check" in b:
            gap = f"{abs(a['check'] - b['check']) / max(abs(a['check']), 1e-12):.0e}"
        print(f"| {key[0]} | {key[1]} x {key[2]} | {cell(a)} | {cell(b)} | {ratio} | {memory} | {gap} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
