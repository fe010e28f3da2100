"""An ONNX file as a torch module (onnx2torch) and as what it must agree with (ONNX Runtime), at pack time.

onnx2torch lacks `Pad` of opset 18 and later, and reads the amounts of an older one from a tensor while running, which
torch.export cannot trace. So for the conversion a `Pad` moves to a domain of our own, whose converter reads them
from the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
import onnx2torch
import onnxruntime
import torch
from onnx2torch.node_converters.registry import add_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult, get_const_value

from framepilot_app.graphs.conversion import ExportError

_DOMAIN: Final = "framepilot"
_PAD_MODES: Final = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A checked ONNX model with one image input. `shape`: channels, height, width."""

    proto: onnx.ModelProto
    path: Path
    shape: tuple[int, int, int]

    @classmethod
    def load(cls, path: Path, size: tuple[int, int] | None) -> OnnxModel:
        """Read a file; its batch becomes free, and its height and width `size`.

        Raises:
            ExportError: it is not ONNX, or does not have one N x C x H x W input of a known size.
        """
        try:
            proto = onnx.load(path)
            onnx.checker.check_model(proto)
        except Exception as error:  # protobuf, checker and file errors have no common base
            raise ExportError(f"not a sound ONNX file: {error}", str(path), "export the model again") from error
        initialised = {tensor.name for tensor in proto.graph.initializer}
        inputs = [value for value in proto.graph.input if value.name not in initialised]
        if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
            names = ", ".join(value.name for value in inputs)
            raise ExportError(f"takes {names}", str(path), "give a model that takes one N x C x H x W batch")
        dims = inputs[0].type.tensor_type.shape.dim
        channels = dims[1].dim_value
        height, width = size or (dims[2].dim_value, dims[3].dim_value)
        if min(channels, height, width) < 1:
            raise ExportError("does not state its channels, height and width", str(path), "say height and width")
        dims[0].dim_param = "batch"
        dims[2].dim_value = height
        dims[3].dim_value = width
        # Old files list their weights as inputs with a default; nobody gives them others here.
        for value in [value for value in proto.graph.input if value.name in initialised]:
            proto.graph.input.remove(value)
        # What the file states of later shapes was true of its own batch and size only.
        del proto.graph.value_info[:]
        for output in proto.graph.output:
            output.type.tensor_type.ClearField("shape")
        return cls(proto, path, (channels, height, width))

    def module(self) -> torch.nn.Module:
        """The model as a torch module.

        Raises:
            ExportError: an operator that onnx2torch cannot convert.
        """
        try:
            module: torch.nn.Module = onnx2torch.convert(_with_own_pads(self.proto))
        except Exception as error:  # converters raise what they like
            raise ExportError(
                f"cannot be converted: {error}", str(self.path), "export the model with common operators, or as .pt2"
            ) from error
        return module.eval()

    def reference(self) -> Callable[[torch.Tensor], list[torch.Tensor]]:
        """The model as ONNX Runtime runs it, on the CPU."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        image = session.get_inputs()[0].name
        return lambda batch: [torch.from_numpy(output) for output in session.run(None, {image: batch.numpy()})]


def _with_own_pads(proto: onnx.ModelProto) -> onnx.ModelProto:
    # Shapes first: nobody can infer them across an operator of another domain, and some converters want them.
    changed = onnx.shape_inference.infer_shapes(proto)
    changed.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    for node in changed.graph.node:
        # Until opset 10 the amounts are an attribute, which onnx2torch can convert.
        if node.op_type == "Pad" and not node.domain and len(node.input) > 1:
            node.domain = _DOMAIN
    return changed


class _Pad(torch.nn.Module):
    """Padding by amounts that are known beforehand, in torch's order: last dimension first."""

    def __init__(self, amounts: list[int], mode: str, value: float) -> None:
        super().__init__()
        self._amounts = amounts
        self._mode = mode
        self._value = value

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self._mode == "constant":
            return torch.nn.functional.pad(image, self._amounts, value=self._value)
        return torch.nn.functional.pad(image, self._amounts[:4], mode=self._mode)


def _convert_pad(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    names = [*node.input_values, "", "", ""][:4]
    _, pads_name, value_name, axes_name = names
    pads = get_const_value(pads_name, graph).tolist()
    begins, ends = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    mode = _PAD_MODES.get(node.attributes.get("mode", "constant"))
    if mode is None or axes_name or (mode != "constant" and any([*begins[:-2], *ends[:-2]])):
        raise NotImplementedError(f"Pad '{node.name}': its mode, axes or padded dimensions are not supported")
    amounts = [amount for pair in zip(reversed(begins), reversed(ends), strict=True) for amount in pair]
    value = float(get_const_value(value_name, graph)) if value_name else 0.0
    return OperationConverterResult(
        torch_module=_Pad(amounts, mode, value),
        onnx_mapping=OnnxMapping(inputs=(node.input_values[0],), outputs=node.output_values),
    )


add_converter(operation_type="Pad", version=1, domain=_DOMAIN)(_convert_pad)
