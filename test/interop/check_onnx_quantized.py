"""Holds quantized ONNX folders against ONNX Runtime's own quantizer, byte by byte.

usage: check_onnx_quantized.py PLAIN_FOLDER FOLDER...

PLAIN_FOLDER is the same model in f32. Each matrix of a FOLDER must have the levels and scales that
ONNX Runtime makes of the plain one, in MatMulNBits and in GatherBlockQuantized. Prints one line a
folder; exit code 1 on a mismatch.
"""
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits

quantizers = {4: quantize_matmul_4bits, 8: quantize_matmul_8bits}


def load(folder: pathlib.Path):
    (path,) = (folder / "onnx").glob("*.onnx")
    graph = onnx.load(path).graph
    return graph.node, {t.name: numpy_helper.to_array(t) for t in graph.initializer}


def quantized(matrix, bits: int):
    """Levels and scales of [out, in]; the runtime takes [in, out] and turns it."""
    rows, columns = matrix.shape
    blocks = columns // 32
    levels = np.zeros((rows, blocks, 4 * bits), np.uint8)
    scales = np.zeros((rows, blocks), np.float32)
    zeros = np.zeros((rows, (blocks * bits + 7) // 8), np.uint8)
    turned = np.ascontiguousarray(matrix.T)
    quantizers[bits](levels, turned, scales, zeros, 32, rows, columns, True)
    return levels, scales


def check(folder: pathlib.Path, plain) -> str:
    nodes, weights = load(folder)
    count = 0
    for node in nodes:
        if node.domain != "com.microsoft":
            continue
        bits = next(a.i for a in node.attribute if a.name == "bits")
        table = node.op_type == "GatherBlockQuantized"
        data = weights[node.input[0 if table else 1]]
        scales = weights[node.input[2]]
        name = node.input[2].removesuffix(".scales")
        matrix = plain[name] if name.startswith("model.embed") else plain[name].T
        wanted_levels, wanted_scales = quantized(matrix, bits)
        assert data.tobytes() == wanted_levels.tobytes(), f"levels of {name} differ"
        wanted = wanted_scales.astype(scales.dtype)
        assert scales.tobytes() == wanted.tobytes(), f"scales of {name} differ"
        count += 1
    assert count > 0, "nothing is quantized"
    return f"{count} matrices have the runtime's bytes"


_, plain = load(pathlib.Path(sys.argv[1]))
failures = 0
for folder in map(pathlib.Path, sys.argv[2:]):
    where = f"onnxruntime {onnxruntime.__version__} {folder.parent.name}/{folder.name}"
    try:
        print(f"ok {where}: {check(folder, plain)}")
    except Exception as error:
        failures += 1
        print(f"FAILED {where}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
