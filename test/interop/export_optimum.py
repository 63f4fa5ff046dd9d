"""Exports a folder of ours to ONNX with optimum's own exporter: export_optimum.py FOLDER OUT."""

import sys
import warnings

from optimum.exporters.onnx import main_export

warnings.filterwarnings("ignore")
folder, out = sys.argv[1:]
main_export(folder, output=out, task="text-generation-with-past")
print(f"ok optimum exports {folder}")
