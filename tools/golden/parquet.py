"""Makes tests/fixtures/parquet/*.parquet: the same four records as Hugging Face exports write them.

snappy, gzip and plain differ in the codec alone and have two row groups; zstd is a codec that is not built in.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/parquet.py tests/fixtures/parquet
"""

import datetime
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

TURN = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema([
    ("inputs", pa.string()), ("targets", pa.large_string()), ("id", pa.int64()), ("score", pa.float64()),
    ("good", pa.bool_()), ("day", pa.date32()), ("messages", pa.list_(TURN)), ("raw", pa.binary()),
])


def record(inputs, targets, number, *turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"inputs": inputs, "targets": targets, "id": number, "score": number / 4, "good": number % 2 == 0,
            "day": datetime.date(2023, 8, number), "messages": messages, "raw": bytes([number, 255])}


RECORDS = [
    record("2 + 2 =", "4", 1, ("user", "Hi."), ("assistant", "Hello.")),
    record("Grüße, 世界", "line\nbreak", 2, ("user", "Bye."), ("assistant", "Goodbye.")),
    record("", "empty prompt", 3, ("assistant", "First.")),
    record(None, "no prompt", 4),
]

folder = pathlib.Path(sys.argv[1])
table = pa.Table.from_pylist(RECORDS, schema=SCHEMA)
for name, codec in [("snappy", "snappy"), ("gzip", "gzip"), ("plain", "none"), ("zstd", "zstd")]:
    pq.write_table(table, folder / f"{name}.parquet", compression=codec, row_group_size=3, store_schema=False)
