"""What each operator of a program is in ONNX: one small function for each, in the table `OPERATORS`.

Arguments are read as ATen's schema has them (torch's native_functions.yaml), operators written as ONNX's has them
(onnx.ai/onnx/operators). What ONNX would compute otherwise, even in a corner, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from framepilot_app.graphs.onnx_node import Arguments, Graph, NotInOnnx, Write
from framepilot_app.graphs.operators import BATCH_NORM, CONVOLUTION, IDENTITIES
from framepilot_app.graphs.program import Argument, DType, ParameterRef


def _one(op: str, **attributes: object) -> Write:
    """An operator of one tensor, without anything else."""

    def write(graph: Graph, node: Arguments) -> str:
        return graph.add(op, [graph.value(node.get(0, "self"))], **attributes)

    return write


def _two(op: str) -> Write:
    """An operator of two tensors, or of one and a number."""

    def write(graph: Graph, node: Arguments) -> str:
        node.only(2, "alpha", 1)
        if "rounding_mode" in node.node.kwargs:
            raise NotInOnnx("it rounds")
        return graph.add(op, [graph.value(node.get(0, "self")), graph.value(node.get(1, "other"))])

    return write


def _reduced(op: str) -> Write:
    def write(graph: Graph, node: Arguments) -> str:
        axes = graph.constant(np.array(node.integers(1, "dim"), np.int64))
        keep = int(bool(node.get(2, "keepdim", False)))
        if isinstance(node.get(3, "dtype"), DType):
            raise NotInOnnx("it changes the type")
        return graph.add(op, [graph.value(node.get(0, "self")), axes], keepdims=keep, noop_with_empty_axes=0)

    return write


def _with_number(op: str, name: str, attribute: str, default: float) -> Write:
    def write(graph: Graph, node: Arguments) -> str:
        return graph.add(op, [graph.value(node.get(0, "self"))], **{attribute: node.number(1, name, default)})

    return write


def _along(op: str) -> Write:
    def write(graph: Graph, node: Arguments) -> str:
        return graph.add(op, [graph.value(node.get(0, "self"))], axis=node.integer(1, "dim"))

    return write


def _clip(low: int | None, high: int | None, default: tuple[Argument, Argument] = (None, None)) -> Write:
    """Bounds at these positions."""

    def write(graph: Graph, node: Arguments) -> str:
        bounds = [
            "" if position is None or (bound := node.get(position, name, fallback)) is None else graph.value(bound)
            for position, name, fallback in ((low, "min", default[0]), (high, "max", default[1]))
        ]
        return graph.add("Clip", [graph.value(node.get(0, "self")), *bounds])

    return write


def _convolution(graph: Graph, node: Arguments) -> str:
    weight, bias = node.get(1, "weight"), node.get(2, "bias")
    if not isinstance(weight, ParameterRef) or graph.stored(weight).ndim != 4:
        raise NotInOnnx("its weight is not a stored one of an image")
    inputs = [graph.value(node.get(0, "input")), graph.value(weight)]
    inputs += [graph.value(bias)] if bias is not None else []
    transposed = bool(node.get(6, "transposed"))
    attributes: dict[str, object] = {
        "strides": node.pair(3, "stride"),
        "pads": node.pair(4, "padding") * 2,
        "dilations": node.pair(5, "dilation"),
        "group": node.integer(8, "groups"),
    }
    if transposed:
        attributes["output_padding"] = node.pair(7, "output_padding")
    return graph.add("ConvTranspose" if transposed else "Conv", inputs, **attributes)


def _batch_norm(graph: Graph, node: Arguments) -> str:
    inputs = [graph.value(node.get(position, "parameter")) for position in range(5)]
    return graph.add("BatchNormalization", inputs, epsilon=node.number(7, "eps", 1e-5))


def _linear(graph: Graph, node: Arguments) -> str:
    weight, bias = node.get(1, "weight"), node.get(2, "bias")
    turned = graph.constant(np.ascontiguousarray(graph.stored(weight).T))
    product = graph.add("MatMul", [graph.value(node.get(0, "input")), turned])
    return product if bias is None else graph.add("Add", [product, graph.value(bias)])


def _addmm(graph: Graph, node: Arguments) -> str:
    node.only(3, "beta", 1)
    node.only(4, "alpha", 1)
    first, second = graph.value(node.get(1, "mat1")), graph.value(node.get(2, "mat2"))
    return graph.add("Add", [graph.add("MatMul", [first, second]), graph.value(node.get(0, "self"))])


def _max_pool(graph: Graph, node: Arguments) -> str:
    node.only(5, "ceil_mode", False)
    kernel = node.pair(1, "kernel_size")
    return graph.add(
        "MaxPool",
        [graph.value(node.get(0, "self"))],
        kernel_shape=kernel,
        strides=node.pair(2, "stride") or kernel,
        pads=node.pair(3, "padding", (0, 0)) * 2,
        dilations=node.pair(4, "dilation", (1, 1)),
    )


def _average_pool(graph: Graph, node: Arguments) -> str:
    node.only(4, "ceil_mode", False)
    node.only(6, "divisor_override", None)
    kernel = node.pair(1, "kernel_size")
    return graph.add(
        "AveragePool",
        [graph.value(node.get(0, "self"))],
        kernel_shape=kernel,
        strides=node.pair(2, "stride") or kernel,
        pads=node.pair(3, "padding", (0, 0)) * 2,
        count_include_pad=int(bool(node.get(5, "count_include_pad", True))),
    )


def _adaptive_pool(graph: Graph, node: Arguments) -> str:
    if node.pair(1, "output_size") != [1, 1]:
        raise NotInOnnx("its output is not 1 x 1")
    return graph.add("GlobalAveragePool", [graph.value(node.get(0, "self"))])


def _silu(graph: Graph, node: Arguments) -> str:
    source = graph.value(node.get(0, "self"))
    return graph.add("Mul", [source, graph.add("Sigmoid", [source])])


def _gelu(graph: Graph, node: Arguments) -> str:
    return graph.add("Gelu", [graph.value(node.get(0, "self"))], approximate=node.get(1, "approximate", "none"))


def _prelu(graph: Graph, node: Arguments) -> str:
    slope = graph.stored(node.get(1, "weight"))
    return graph.add("PRelu", [graph.value(node.get(0, "self")), graph.constant(slope.reshape(-1, 1, 1))])


def _elu(graph: Graph, node: Arguments) -> str:
    node.only(2, "scale", 1)
    node.only(3, "input_scale", 1)
    return graph.add("Elu", [graph.value(node.get(0, "self"))], alpha=node.number(1, "alpha", 1.0))


def _softplus(graph: Graph, node: Arguments) -> str:
    node.only(1, "beta", 1)
    return graph.add("Softplus", [graph.value(node.get(0, "self"))])


def _reshape(graph: Graph, node: Arguments) -> str:
    shape = graph.constant(np.array(node.integers(1, "shape"), np.int64))
    return graph.add("Reshape", [graph.value(node.get(0, "self")), shape])


def _flatten(graph: Graph, node: Arguments) -> str:
    node.only(1, "start_dim", 1)
    node.only(2, "end_dim", -1)
    return graph.add("Flatten", [graph.value(node.get(0, "self"))], axis=1)


def _permute(graph: Graph, node: Arguments) -> str:
    dims = node.integers(1, "dims")
    order = [dim % len(dims) for dim in dims]
    return graph.add("Transpose", [graph.value(node.get(0, "self"))], perm=order)


def _cat(graph: Graph, node: Arguments) -> str:
    tensors = node.get(0, "tensors")
    if not isinstance(tensors, tuple):
        raise NotInOnnx("it does not take a list")
    return graph.add("Concat", [graph.value(each) for each in tensors], axis=node.integer(1, "dim", 0))


def _slice(graph: Graph, node: Arguments) -> str:
    start, end = node.get(2, "start") or 0, node.get(3, "end")
    bounds = (start, np.iinfo(np.int64).max if end is None else end, node.integer(1, "dim", 0))
    numbers = [graph.constant(np.array([bound], np.int64)) for bound in (*bounds, node.integer(4, "step", 1))]
    return graph.add("Slice", [graph.value(node.get(0, "self")), *numbers])


def _select(graph: Graph, node: Arguments) -> str:
    index = graph.constant(np.array(node.integer(2, "index"), np.int64))
    return graph.add("Gather", [graph.value(node.get(0, "self")), index], axis=node.integer(1, "dim"))


def _unsqueeze(graph: Graph, node: Arguments) -> str:
    axes = graph.constant(np.array([node.integer(1, "dim")], np.int64))
    return graph.add("Unsqueeze", [graph.value(node.get(0, "self")), axes])


def _pad(graph: Graph, node: Arguments) -> str:
    """Torch lists begin and end of the last dimension first; ONNX all begins, then all ends, of the axes it is told."""
    amounts = node.integers(1, "pad")
    before, after = amounts[::2], amounts[1::2]
    inputs = [
        graph.value(node.get(0, "self")),
        graph.constant(np.array([*before, *after], np.int64)),
        graph.value(node.number(2, "value", 0.0)),
        graph.constant(np.array([-1 - position for position in range(len(before))], np.int64)),
    ]
    return graph.add("Pad", inputs, mode="constant")


def _pixel_shuffle(graph: Graph, node: Arguments) -> str:
    source = graph.value(node.get(0, "self"))
    return graph.add("DepthToSpace", [source], blocksize=node.integer(1, "upscale_factor"), mode="CRD")


def _nearest(graph: Graph, node: Arguments) -> str:
    factors = node.get(2, "scale_factors")
    if not isinstance(factors, tuple):
        raise NotInOnnx("it names a size, no factors")
    scales = graph.constant(np.array([1, 1, *factors], np.float32))
    return graph.add(
        "Resize",
        [graph.value(node.get(0, "input")), "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


OPERATORS: Final[Mapping[str, Write]] = {
    **dict.fromkeys(IDENTITIES, _one("Identity")),
    BATCH_NORM: _batch_norm,
    CONVOLUTION: _convolution,
    "aten.abs.default": _one("Abs"),
    "aten.adaptive_avg_pool2d.default": _adaptive_pool,
    "aten.add.Scalar": _two("Add"),
    "aten.add.Tensor": _two("Add"),
    "aten.addmm.default": _addmm,
    "aten.amax.default": _reduced("ReduceMax"),
    "aten.amin.default": _reduced("ReduceMin"),
    "aten.avg_pool2d.default": _average_pool,
    "aten.bmm.default": _two("MatMul"),
    "aten.cat.default": _cat,
    "aten.clamp.default": _clip(1, 2),
    "aten.clamp_max.default": _clip(None, 1),
    "aten.clamp_min.default": _clip(1, None),
    "aten.constant_pad_nd.default": _pad,
    "aten.div.Scalar": _two("Div"),
    "aten.div.Tensor": _two("Div"),
    "aten.elu.default": _elu,
    "aten.exp.default": _one("Exp"),
    "aten.flatten.using_ints": _flatten,
    "aten.gelu.default": _gelu,
    "aten.hardsigmoid.default": _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "aten.hardswish.default": _one("HardSwish"),
    "aten.hardtanh.default": _clip(1, 2, (-1.0, 1.0)),
    "aten.leaky_relu.default": _with_number("LeakyRelu", "negative_slope", "alpha", 0.01),
    "aten.linear.default": _linear,
    "aten.log.default": _one("Log"),
    "aten.log_softmax.int": _along("LogSoftmax"),
    "aten.matmul.default": _two("MatMul"),
    "aten.max_pool2d.default": _max_pool,
    "aten.maximum.default": _two("Max"),
    "aten.mean.dim": _reduced("ReduceMean"),
    "aten.minimum.default": _two("Min"),
    "aten.mish.default": _one("Mish"),
    "aten.mm.default": _two("MatMul"),
    "aten.mul.Scalar": _two("Mul"),
    "aten.mul.Tensor": _two("Mul"),
    "aten.neg.default": _one("Neg"),
    "aten.permute.default": _permute,
    "aten.pixel_shuffle.default": _pixel_shuffle,
    "aten.pow.Tensor_Scalar": _two("Pow"),
    "aten.prelu.default": _prelu,
    "aten.reciprocal.default": _one("Reciprocal"),
    "aten.relu.default": _one("Relu"),
    "aten.reshape.default": _reshape,
    "aten.select.int": _select,
    "aten.sigmoid.default": _one("Sigmoid"),
    "aten.silu.default": _silu,
    "aten.slice.Tensor": _slice,
    "aten.softmax.int": _along("Softmax"),
    "aten.softplus.default": _softplus,
    "aten.sqrt.default": _one("Sqrt"),
    "aten.sub.Scalar": _two("Sub"),
    "aten.sub.Tensor": _two("Sub"),
    "aten.sum.dim_IntList": _reduced("ReduceSum"),
    "aten.tanh.default": _one("Tanh"),
    "aten.unsqueeze.default": _unsqueeze,
    "aten.upsample_nearest2d.vec": _nearest,
}
"""What is not here, or is refused by its function, is a reason to leave a program to an engine that runs it."""
