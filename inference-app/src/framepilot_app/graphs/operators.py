"""The operators that a program may use, and nothing else: pure functions of tensors that CNNs are made of.

The list is what makes a program harmless data: no operator here reads or writes a file, draws random numbers, changes
its arguments, or looks at a value to decide a shape. Names are ATen's, without the namespace's `aten.`.
"""

from __future__ import annotations

from typing import Final

GET_ITEM: Final = "getitem"
"""One of the tensors that `SPLITS` give: (node, index)."""

IDENTITIES: Final = frozenset(
    {
        "aten.alias.default",
        "aten.clone.default",
        "aten.detach.default",
        "aten.lift_fresh_copy.default",
    }
)
"""Operators that give back their first argument's values, as nothing in a program writes and none of it trains."""

SPLITS: Final = frozenset(
    {
        "aten.chunk.default",
        "aten.split.Tensor",
        "aten.split_with_sizes.default",
        "aten.unbind.int",
    }
)
"""Operators that give a list of tensors; only `GET_ITEM` may use them."""

BATCH_NORM: Final = "aten.batch_norm.default"
"""(input, weight, bias, mean, variance, training, …): only without training, which would change mean and variance."""

CONVOLUTION: Final = "aten.convolution.default"
"""(input, weight, bias, stride, padding, dilation, transposed, output padding, groups)."""

_CONVOLUTION_AND_NORM: Final = frozenset(
    {
        BATCH_NORM,
        CONVOLUTION,
        "aten.group_norm.default",
        "aten.layer_norm.default",
        "aten.linalg_vector_norm.default",
    }
)

_POOLING: Final = frozenset(
    {
        "aten.adaptive_avg_pool2d.default",
        "aten.avg_pool2d.default",
        "aten.avg_pool3d.default",
        "aten.max_pool2d.default",
    }
)

_REDUCTION: Final = frozenset(
    {
        "aten.amax.default",
        "aten.amin.default",
        "aten.mean.dim",
        "aten.sum.dim_IntList",
    }
)

_ACTIVATION: Final = frozenset(
    {
        "aten.clamp.default",
        "aten.clamp_max.default",
        "aten.clamp_min.default",
        "aten.elu.default",
        "aten.gelu.default",
        "aten.hardsigmoid.default",
        "aten.hardswish.default",
        "aten.hardtanh.default",
        "aten.leaky_relu.default",
        "aten.log_softmax.int",
        "aten.mish.default",
        "aten.prelu.default",
        "aten.relu.default",
        "aten.sigmoid.default",
        "aten.silu.default",
        "aten.softmax.int",
        "aten.softplus.default",
        "aten.tanh.default",
    }
)

_ARITHMETIC: Final = frozenset(
    {
        "aten.abs.default",
        "aten.add.Scalar",
        "aten.add.Tensor",
        "aten.div.Scalar",
        "aten.div.Tensor",
        "aten.exp.default",
        "aten.log.default",
        "aten.maximum.default",
        "aten.minimum.default",
        "aten.mul.Scalar",
        "aten.mul.Tensor",
        "aten.neg.default",
        "aten.pow.Tensor_Scalar",
        "aten.reciprocal.default",
        "aten.rsqrt.default",
        "aten.rsub.Scalar",
        "aten.sqrt.default",
        "aten.sub.Scalar",
        "aten.sub.Tensor",
    }
)

_MATRIX: Final = frozenset(
    {
        "aten.addmm.default",
        "aten.bmm.default",
        "aten.linear.default",
        "aten.matmul.default",
        "aten.mm.default",
    }
)

SHAPE: Final = frozenset(
    {
        "aten._to_copy.default",
        "aten.cat.default",
        "aten.constant_pad_nd.default",
        "aten.expand.default",
        "aten.flatten.using_ints",
        "aten.permute.default",
        "aten.pixel_shuffle.default",
        "aten.pixel_unshuffle.default",
        "aten.reflection_pad2d.default",
        "aten.replication_pad2d.default",
        "aten.reshape.default",
        "aten.select.int",
        "aten.slice.Tensor",
        "aten.squeeze.dim",
        "aten.squeeze.dims",
        "aten.stack.default",
        "aten.t.default",
        "aten.transpose.int",
        "aten.unsqueeze.default",
        "aten.upsample_bilinear2d.vec",
        "aten.upsample_nearest2d.vec",
    }
)
"""What changes shape, type or place; many of them give views of what they take."""

ALLOWED: Final = (
    IDENTITIES
    | SPLITS
    | _CONVOLUTION_AND_NORM
    | _POOLING
    | _REDUCTION
    | _ACTIVATION
    | _ARITHMETIC
    | _MATRIX
    | SHAPE
    | {GET_ITEM}
)

_RANDOM: Final = frozenset(
    {"bernoulli", "dropout", "multinomial", "native_dropout", "normal", "rand", "rand_like", "randint", "randn"}
)
_BY_VALUE: Final = frozenset(
    {"bincount", "item", "masked_select", "nonzero", "repeat_interleave", "unique", "unique_consecutive", "where"}
)


def unshareable(op: str) -> str | None:
    """Why the value of an operator can be that of one program only; None: it can be shared.

    Only what is known to be a pure function is shared. Of those that no program may use now, the reason is said as
    well: a longer list of allowed operators must not make them common by mistake.
    """
    if op in ALLOWED:
        return None
    name = op.split(".")[1] if op.count(".") else op
    if name.endswith("_"):
        return f"{op} changes its argument in place"
    if name in _RANDOM:
        return f"{op} is random"
    if name in _BY_VALUE:
        return f"the shape of what {op} gives depends on values"
    return f"{op} is not known to be a pure function"
