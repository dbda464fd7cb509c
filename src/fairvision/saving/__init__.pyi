from ._load import load as load
from ._load import read_manifest as read_manifest
from ._onnx import export_onnx as export_onnx
from ._save import packed as packed
from ._save import save as save
