"""No line of ours runs what a file holds, or asks the network for what nobody named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for part in ("src", "plugins", "examples") for path in (ROOT / part).rglob("*.py")
    if "tests" not in path.relative_to(ROOT).parts
)  # fmt: skip

#: Modules that run what they read. joblib's hash and Parallel are not its load.
UNPICKLE = {"_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}
#: Calls that are refused whatever their arguments, by how they are written.
REFUSED = {
    "eval", "exec", "compile", "__import__", "input", "joblib.load", "pd.read_pickle",
    "pandas.read_pickle", "os.system", "os.popen", "torch.jit.load", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "runpy.run_path", "runpy.run_module",
}  # fmt: skip
NETWORK = {"urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "huggingface_hub"}
FETCHES = {
    "torch.hub.load", "torch.hub.load_state_dict_from_url", "torch.hub.download_url_to_file",
    "hub.load", "hf_hub_download", "download_url", "urlopen", "urlretrieve", "load_url",
}  # fmt: skip


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def keyword(call: ast.Call, name: str) -> object:
    for given in call.keywords:
        if given.arg == name and isinstance(given.value, ast.Constant):
            return given.value.value
    return None


def of_our_own(call: ast.Call) -> bool:
    """``pickle.loads(pickle.dumps(x))``: a round trip, nothing from outside."""
    inner = call.args[0] if call.args else None
    return isinstance(inner, ast.Call) and dotted(inner.func) == "pickle.dumps"


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                loads = name == "pickle" and isinstance(node, ast.ImportFrom)
                loads = loads and {alias.name for alias in node.names} != {"UnpicklingError"}
                if name == "urllib.parse":  # which takes addresses apart, and opens none
                    continue
                if loads or name.partition(".")[0] in UNPICKLE | NETWORK:
                    yield f"line {node.lineno}: imports {name}"
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name == "torch.load" and keyword(node, "weights_only") is not True:
                yield f"line {node.lineno}: torch.load without weights_only=True"
            if name in ("np.load", "numpy.load") and keyword(node, "allow_pickle") is not False:
                yield f"line {node.lineno}: {name} without allow_pickle=False"
            if name.startswith("pickle.") and name != "pickle.dumps" and not of_our_own(node):
                yield f"line {node.lineno}: {name} of what may come from disk"
            if name in REFUSED | FETCHES or name.rpartition(".")[2] in ("unpickle", "urlopen"):
                yield f"line {node.lineno}: calls {name}"
            if keyword(node, "shell") is True or keyword(node, "trust_remote_code") is True:
                yield f"line {node.lineno}: {name} with a shell, or a stranger's code"


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 150
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == {"src", "plugins", "examples"}


def test_nothing_from_disk_is_run_and_nothing_is_fetched() -> None:
    found = {
        str(path.relative_to(ROOT)): list(faults(ast.parse(path.read_text("utf-8"))))
        for path in FILES
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=w)",
        "np.load(p)", "numpy.load(p, allow_pickle=True)", "pickle.load(file)",
        "pickle.loads(data)", "from dill import load", "from pickle import loads",
        "joblib.load(p)", "eval(text)", "exec(text)", "yaml.load(text)", "pd.read_pickle(p)",
        "import urllib.request", "from huggingface_hub import hf_hub_download", "import requests",
        "torch.hub.load('a/b', 'c')", "subprocess.run(x, shell=True)", "os.system(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_each_fault_is_found(line: str) -> None:
    assert len(list(faults(ast.parse(line)))) == 1


#: Who may ask for weights by name, and through what: torchvision's and timm's own downloads.
FETCHERS = {"src/fairvision/nn/backbones.py", "src/fairvision/nn/pretrained.py"}


def test_only_the_zoo_asks_for_pretrained_weights() -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            asks = isinstance(node, ast.Call) and (
                dotted(node.func).rpartition(".")[2]
                in ("get_model", "create_model", "get_state_dict")
                or any(k.arg in ("pretrained", "weights") and _asks(k.value) for k in node.keywords)
            )
            if asks:
                found.add(str(path.relative_to(ROOT)))
    assert found <= FETCHERS


def _asks(value: ast.AST) -> bool:
    """Whether a constant asks for weights; a variable's value is whoever called's."""
    return isinstance(value, ast.Constant) and value.value not in (None, False)
