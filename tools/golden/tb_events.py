#!/usr/bin/env python3
"""Event files of TensorBoard: the golden one, and a look at those that this library wrote.

    python tools/golden/tb_events.py write crates/dlm-train/tests/golden/events.tfevents
    python tools/golden/tb_events.py read out/adapt/tensorboard

Needs the package tensorboard (2.21.0 made the golden file), whose own messages and record writer these are.
`read` prints the scalars and texts as TensorBoard sees them, files of a resumed run put together.
"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def events():
    """What `tests/tensorboard.rs` of dlm-train writes, at the same times."""
    yield event_pb2.Event(wall_time=1.5, file_version="brain.Event:2")
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    yield event_pb2.Event(wall_time=2.0, step=1, session_log=start)
    numbers = [("train/loss", 2.5), ("train/learning_rate", 1e-3), ("validation/bleu", 31.25)]
    scalars = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in numbers]
    yield event_pb2.Event(wall_time=3.25, step=300, summary=summary_pb2.Summary(value=scalars))
    text = "**ein Haus**\n\na house — " + "long " * 40
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=[text.encode()]
    )
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    metadata = summary_pb2.SummaryMetadata(plugin_data=plugin)
    value = summary_pb2.Summary.Value(tag="samples/0", tensor=tensor, metadata=metadata)
    yield event_pb2.Event(wall_time=4.0, step=70_000, summary=summary_pb2.Summary(value=[value]))


def write(path):
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events():
            writer.write(event.SerializeToString(deterministic=True))


def read(folder):
    seen = EventAccumulator(folder)
    seen.Reload()
    for tag in seen.Tags()["scalars"]:
        print(tag, [(point.step, round(point.value, 6)) for point in seen.Scalars(tag)])
    for tag in seen.Tags()["tensors"]:
        print(tag, [(point.step, point.tensor_proto.string_val[0].decode()) for point in seen.Tensors(tag)])


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](sys.argv[2])
