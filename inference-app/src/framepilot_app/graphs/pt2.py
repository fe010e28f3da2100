"""The graph of a `torch.export.save` archive as a torch module that runs listed ATen operators and nothing else.

The module is then exported anew like any other, which makes its batch dynamic and its operators functional. The schema
is that of torch/_export/serde/schema.py.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from framepilot_app.graphs.conversion import ExportError
from framepilot_app.graphs.operators import ALLOWED, GET_ITEM
from framepilot_app.graphs.pt2_archive import DTYPES, Json, Pt2Archive, as_int, as_list, as_object, as_text, damaged

READABLE: Final = (ALLOWED - {GET_ITEM}) | {
    f"aten.{name}"
    for name in (
        "_adaptive_avg_pool2d.default", "_log_softmax.default", "_native_batch_norm_legit_no_training.default",
        "_softmax.default", "_unsafe_view.default", "add_.Tensor", "clamp_.default", "contiguous.default",
        "conv2d.default", "conv2d.padding", "conv_transpose2d.input", "div_.Tensor", "dropout.default",
        "dropout_.default", "elu_.default", "expand_as.default", "feature_dropout.default", "hardsigmoid_.default",
        "hardswish_.default", "hardtanh_.default", "instance_norm.default", "leaky_relu_.default",
        "max_pool2d_with_indices.default", "mean.default", "mul_.Tensor", "native_group_norm.default",
        "native_layer_norm.default", "pad.default", "relu6.default", "relu6_.default", "relu_.default",
        "sigmoid_.default", "silu_.default", "squeeze.default", "squeeze_.dim", "sub_.Tensor", "sym_size.int",
        "tanh_.default", "unsqueeze_.default", "view.default",
    )
}  # fmt: skip
"""The allow-list, and what torch decomposes or makes functional into it."""

_NUMBERS: Final[Mapping[str, Callable[..., object]]] = {
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.floordiv": operator.floordiv,
}
"""What sizes are computed with."""

_CHECKS: Final = frozenset(
    {
        "torch.ops.aten._assert_scalar.default",
        "torch.ops.aten._assert_tensor_metadata.default",
        "torch.ops.aten.sym_constrain_range.default",
        "torch.ops.aten.sym_constrain_range_for_size.default",
    }
)

_MEMORY_FORMATS: Final = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}

Shape = tuple[int, int, int, int]


def read_pt2(path: Path) -> tuple[torch.nn.Module, Shape]:
    """The model of an archive, and the shape of an input: 2 x C x H x W.

    Raises:
        ExportError: it is damaged, holds something that only running code could read, or another operator or input.
    """
    archive = Pt2Archive.read(path)
    try:
        module, image = _module(archive)
        return module, _shape(archive, image)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


@dataclass(frozen=True, slots=True)
class _Name:
    """A value that was computed before, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class _Call:
    """One operator with its arguments; `results` names its outputs, one by one if there are several."""

    name: str
    function: Callable[..., object]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    results: tuple[str, ...]
    several: bool


class _ArchivedModule(torch.nn.Module):
    """Runs the calls of an archive's graph, in order."""

    def __init__(
        self,
        calls: Sequence[_Call],
        tensors: Mapping[str, tuple[str, torch.Tensor]],
        image: str,
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self._calls = tuple(calls)
        self._image = image
        self._outputs = tuple(outputs)
        self._stored: dict[str, str] = {}
        for name, (target, tensor) in tensors.items():
            # A prefix of our own: what the archive calls its tensors must not meet an attribute of a module.
            attribute = "t_" + target.replace(".", "_")
            if attribute in self._buffers:
                attribute += f"_{len(self._buffers)}"
            self._stored[name] = attribute
            self.register_buffer(attribute, tensor)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values: dict[str, object] = {name: getattr(self, attribute) for name, attribute in self._stored.items()}
        values[self._image] = image
        for call in self._calls:
            args = [_filled(argument, values) for argument in call.args]
            kwargs = {key: _filled(argument, values) for key, argument in call.kwargs.items()}
            result = call.function(*args, **kwargs)
            if call.several and isinstance(result, list | tuple):
                values.update(zip(call.results, result, strict=True))
            else:
                values[call.results[0]] = result
        outputs = (values[name] for name in self._outputs)
        return tuple(output for output in outputs if isinstance(output, torch.Tensor))


def _module(archive: Pt2Archive) -> tuple[_ArchivedModule, str]:
    graph = as_object(archive.graph_module["graph"])
    signature = as_object(archive.graph_module["signature"])
    tensors: dict[str, tuple[str, torch.Tensor]] = {}
    images: list[str] = []
    for spec in as_list(signature["input_specs"]):
        ((kind, content),) = as_object(spec).items()
        argument = as_object(as_object(content)["arg"])
        if kind == "user_input":
            images.append(as_text(as_object(argument["as_tensor"])["name"]))
        else:
            target = as_text(as_object(content)[_TARGETS[kind]])
            tensors[as_text(argument["name"])] = (target, archive.tensors[target])
    outputs = [
        as_text(as_object(as_object(as_object(content)["arg"])["as_tensor"])["name"])
        for spec in as_list(signature["output_specs"])
        for kind, content in as_object(spec).items()
        if kind == "user_output"
    ]
    if len(images) != 1:
        raise ValueError(f"takes {len(images)} inputs, not one image batch")
    nodes = [as_object(node) for node in as_list(graph["nodes"])]
    calls = [_call(node) for node in nodes if as_text(node["target"]) not in _CHECKS]
    return _ArchivedModule(calls, tensors, images[0], outputs), images[0]


_TARGETS: Final = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}


def _shape(archive: Pt2Archive, image: str) -> Shape:
    graph = as_object(archive.graph_module["graph"])
    sizes = as_list(as_object(as_object(graph["tensor_values"])[image])["sizes"])
    _, channels, height, width = [as_object(size) for size in sizes]
    return 2, as_int(channels["as_int"]), as_int(height["as_int"]), as_int(width["as_int"])


def _call(node: Mapping[str, Json]) -> _Call:
    target = as_text(node["target"])
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for value in as_list(node["inputs"]):
        entry = as_object(value)
        if entry.get("kind") == _KEYWORD:
            kwargs[as_text(entry["name"])] = _argument(entry["arg"])
        else:
            args.append(_argument(entry["arg"]))
    results: list[str] = []
    outputs = as_list(node["outputs"])
    for output in outputs:
        ((kind, content),) = as_object(output).items()
        results += [
            as_text(as_object(item)[key])
            for item in (as_list(content) if kind == "as_tensors" else [content])
            for key in (("as_name",) if kind == "as_sym_int" else ("name",))
        ]
    several = len(outputs) > 1 or "as_tensors" in as_object(outputs[0])
    return _Call(results[0], _function(target, results[0]), tuple(args), kwargs, tuple(results), several)


_KEYWORD: Final = 2


def _function(target: str, where: str) -> Callable[..., object]:
    if target in _NUMBERS:
        return _NUMBERS[target]
    op = target.removeprefix("torch.ops.")
    if op not in READABLE:
        raise ExportError(
            f"the operator '{target}' is not allowed", where, "export the model with the operators of CNNs only"
        )
    _, packet, overload = op.split(".")
    found: Callable[..., object] = getattr(getattr(torch.ops.aten, packet), overload)
    return found


def _argument(value: Json) -> object:
    ((kind, content),) = as_object(value).items()
    match kind:
        case "as_none" | "as_device" | "as_layout":
            return None
        case "as_tensor":
            return _Name(as_text(as_object(content)["name"]))
        case "as_tensors":
            return [_Name(as_text(as_object(item)["name"])) for item in as_list(content)]
        case "as_optional_tensor" | "as_sym_int":
            return _optional(content)
        case "as_optional_tensors" | "as_sym_ints":
            return [_optional(item) for item in as_list(content)]
        case "as_int" | "as_float" | "as_bool" | "as_string" | "as_ints" | "as_floats" | "as_bools":
            return content
        case "as_scalar_type":
            return DTYPES[as_int(content)]
        case "as_memory_format":
            return _MEMORY_FORMATS[as_int(content)]
        case _:
            raise ValueError(f"an argument of kind '{kind}'")


def _optional(value: Json) -> object:
    ((kind, content),) = as_object(value).items()
    match kind:
        case "as_tensor":
            return _Name(as_text(as_object(content)["name"]))
        case "as_name":
            return _Name(as_text(content))
        case "as_int":
            return as_int(content)
        case _:
            return None


def _filled(argument: object, values: Mapping[str, object]) -> object:
    match argument:
        case _Name(name):
            return values[name]
        case list():
            return [_filled(item, values) for item in argument]
        case _:
            return argument
