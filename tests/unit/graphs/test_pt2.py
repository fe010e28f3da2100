"""A .pt2 archive is data: nothing in it runs, whatever it holds, unless its author is trusted."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.export import Dim

from framepilot_app.graphs import aten
from framepilot_app.graphs.export import ExportError, from_pt2
from support.networks import Residual, largest_difference

Records = dict[str, bytes]
CONSTANTS = "data/constants/model_constants_config.json"
WEIGHTS = "data/weights/model_weights_config.json"
SAMPLES = "data/sample_inputs/model.pt"
GRAPH = "models/model.json"


@pytest.fixture(scope="module")
def network() -> Residual:
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture(scope="module")
def archive(network: Residual, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "plain.pt2"
    exported = torch.export.export(network, (torch.randn(2, 3, 16, 24),), dynamic_shapes=({0: Dim("batch")},))
    torch.export.save(exported, path)
    return path


@pytest.fixture
def records(archive: Path) -> Records:
    with zipfile.ZipFile(archive) as opened:
        return {entry.filename.partition("/")[2]: opened.read(entry) for entry in opened.infolist()}


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A file that exists if, and only if, the archive's payload was executed."""
    return tmp_path / "executed"


def write(path: Path, records: Records) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in records.items():
            opened.writestr(f"model/{name}", content)
    return path


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.evidence,))


def pickled(evidence: Path) -> bytes:
    return pickle.dumps(Payload(evidence))


def saved(evidence: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(evidence), buffer)
    return buffer.getvalue()


def edit(records: Records, name: str, change: Callable[[dict], None]) -> None:
    document = json.loads(records[name])
    change(document)
    records[name] = json.dumps(document).encode()


def poison_sample_inputs(records: Records, evidence: Path) -> None:
    records[SAMPLES] = saved(evidence)


def poison_weight(records: Records, evidence: Path) -> None:
    records["data/weights/weight_0"] = saved(evidence)
    edit(records, WEIGHTS, lambda document: next(iter(document["config"].values())).update(use_pickle=True))


def poison_constant(records: Records, evidence: Path) -> None:
    records["data/constants/tensor_0"] = saved(evidence)
    entry = {"path_name": "tensor_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    edit(records, CONSTANTS, lambda document: document["config"].update(poison=entry))


def poison_opaque_object(records: Records, evidence: Path) -> None:
    records["data/constants/opaque_obj_0"] = pickled(evidence)
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    edit(records, CONSTANTS, lambda document: document["config"].update(poison=entry))


def poison_legacy_weights(records: Records, evidence: Path) -> None:
    records["data/weights/model.pt"] = saved(evidence)


POISONS = [
    poison_sample_inputs,
    poison_weight,
    poison_constant,
    poison_opaque_object,
    poison_legacy_weights,
]


@pytest.mark.parametrize("trust", [False, True])
def test_a_plain_archive_becomes_the_same_function(archive: Path, network: Residual, *, trust: bool) -> None:
    exported = from_pt2(archive, trust=trust)
    assert exported.max_abs_error < 1e-5
    batch = torch.randn(5, 3, 16, 24)
    with torch.inference_mode():
        assert largest_difference(aten.run(exported.program, exported.weights, batch), network(batch)) < 1e-5


def test_an_archive_of_decomposed_operators_is_read_too(network: Residual, tmp_path: Path) -> None:
    exported = torch.export.export(network, (torch.randn(2, 3, 16, 24),), dynamic_shapes=({0: Dim("batch")},))
    torch.export.save(exported.run_decompositions(), tmp_path / "decomposed.pt2")
    assert from_pt2(tmp_path / "decomposed.pt2").max_abs_error < 1e-5


@pytest.mark.parametrize("poison", POISONS)
def test_pickled_content_is_refused_and_never_executed(
    poison: Callable[[Records, Path], None], records: Records, evidence: Path, tmp_path: Path
) -> None:
    poison(records, evidence)
    path = write(tmp_path / "poisoned.pt2", records)
    with pytest.raises(ExportError, match=r"holds pickled content .*--trust"):
        from_pt2(path)
    assert not evidence.exists()


@pytest.mark.parametrize("poison", POISONS)
def test_the_payloads_of_these_tests_are_real(
    poison: Callable[[Records, Path], None], records: Records, evidence: Path, tmp_path: Path
) -> None:
    poison(records, evidence)
    path = write(tmp_path / "poisoned.pt2", records)
    with pytest.raises(ExportError):
        from_pt2(path, trust=True)
    assert evidence.exists()


def test_compiled_code_is_refused(records: Records, tmp_path: Path) -> None:
    records["data/aotinductor/model/model.so"] = b"\x7fELF"
    with pytest.raises(ExportError, match="holds compiled code"):
        from_pt2(write(tmp_path / "compiled.pt2", records))


@pytest.mark.parametrize(
    "target", ["torch.os.system", "torch.ops.aten.from_file.default", "_operator.call", "torch.ops.higher_order.cond"]
)
def test_a_graph_that_calls_anything_else_is_refused(target: str, records: Records, tmp_path: Path) -> None:
    edit(records, GRAPH, lambda document: document["graph_module"]["graph"]["nodes"][0].update(target=target))
    with pytest.raises(ExportError, match=f"'{target}' is not allowed"):
        from_pt2(write(tmp_path / "calls.pt2", records))


def test_size_expressions_are_not_evaluated(records: Records, evidence: Path, tmp_path: Path) -> None:
    code = f"__import__('pathlib').Path({str(evidence)!r}).touch()"
    records[GRAPH] = records[GRAPH].replace(
        b'"expr_str": "', b'"expr_str": "' + code.encode().replace(b'"', b"'") + b"#"
    )
    assert code.encode() in records[GRAPH]
    from_pt2(write(tmp_path / "expression.pt2", records))
    assert not evidence.exists()


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, CONSTANTS, "data/weights/weight_0"])
def test_an_archive_that_lacks_a_record_is_refused(name: str, records: Records, tmp_path: Path) -> None:
    del records[name]
    with pytest.raises(ExportError, match="damaged"):
        from_pt2(write(tmp_path / "lacking.pt2", records))


def test_a_tensor_that_is_larger_than_its_bytes_is_refused(records: Records, tmp_path: Path) -> None:
    records["data/weights/weight_0"] = b"\0" * 8
    with pytest.raises(ExportError, match="damaged"):
        from_pt2(write(tmp_path / "short.pt2", records))


def test_what_is_no_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.pt2"
    truncated.write_bytes(archive.read_bytes()[:-500])
    text = tmp_path / "text.pt2"
    text.write_text("no archive")
    for path in (truncated, text, tmp_path / "absent.pt2"):
        for trust in (False, True):
            with pytest.raises(ExportError):
                from_pt2(path, trust=trust)
