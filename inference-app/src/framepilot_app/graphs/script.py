"""Parts of a program as one call each into torch's interpreter, so that a batch runs without Python and its lock.

Called from Python one by one, the operators of a batch take the interpreter's lock back after each of them, and wait
for whatever thread has it; as a script, a batch takes it back once. Scripts are written in the text form of
TorchScript's graphs. Torch must not optimize them (`warm_up`): that takes tens of milliseconds.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

Outputs = tuple[torch.Tensor, ...]

_NUMBERS: Final = "List[Optional[number]]"


class NotScriptable(Exception):  # noqa: N818 - it is an answer, not an error
    """Something that the text form cannot say: what."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for the value of a slot in prepared arguments."""

    index: int


@dataclass(frozen=True, slots=True)
class Written:
    """Stands for a value that a script already has a name for."""

    name: str
    kind: str = "Tensor"


class Function:
    """A script that torch has taken, with the tensors that belong to it.

    A tensor that only Python still refers to becomes an object of Python's again, and for that torch takes Python's
    lock, in the middle of the batch. So while it runs, torch has a reference of its own to each of them (`kept`).

    Args:
        run: takes the values of the inputs, then `tensors`.
        tensors: those of the script.
        form: its text and that of the functions that it calls. Functions of equal forms differ in their tensors only.
        calls: the functions that it calls, whose tensors are among its own.
    """

    __slots__ = ("_kept", "form", "run", "runs", "tensors")

    def __init__(
        self,
        run: Callable[..., Outputs],
        tensors: tuple[torch.Tensor, ...],
        form: str,
        calls: tuple[Function, ...] = (),
    ) -> None:
        self.run = run
        self.tensors = tensors
        self.form = sys.intern(form)
        self.runs: tuple[Callable[..., Outputs], ...] = (run, *(each for call in calls for each in call.runs))
        """It and what it calls. Torch itself does not keep what is called, and crashes without."""
        self._kept = kept(tensors)

    def __call__(self, *values: torch.Tensor) -> Outputs:
        """Run it, with Python's lock released."""
        held = kept(values)
        outputs = self.run(*values, *self.tensors)
        del held
        return outputs


class Several:
    """Functions of one form in one call, each as it is by itself: a hundred of them wait for the lock once."""

    def __init__(self, function: Function, inputs: int, outputs: int) -> None:
        """`function` is one of them; `inputs` and `outputs` are how many values it takes and gives.

        Raises:
            RuntimeError: torch does not take the script.
        """
        self._runs = function.runs
        self._outputs = outputs
        tensors = len(function.tensors)
        given = [*(f"values[{inputs} * i + {k}]" for k in range(inputs))]
        own = [*(f"tensors[{tensors} * i + {k}]" for k in range(tensors))]
        results = "".join(f"o{k}, " for k in range(outputs))
        # Torch asks for the names of types as well, and knows them itself.
        names: defaultdict[str, Any] = defaultdict(lambda: None, program=function.run)
        self._unit = torch._C.CompilationUnit()  # noqa: SLF001 no public way
        self._unit.define(
            "def several(count: int, values: List[Tensor], tensors: List[Tensor]):\n"
            "    found = []\n"
            "    for i in range(count):\n"
            f"        {results}= program({', '.join([*given, *own])})\n"
            f"        found.extend([{results}])\n"
            "    return found\n",
            names.__getitem__,
        )
        self._run = self._unit.find_function("several")

    def __call__(self, functions: Sequence[Function], values: Sequence[Sequence[torch.Tensor]]) -> list[Outputs]:
        """What each gives for its values, with Python's lock released once."""
        flat = kept([value for each in values for value in each])
        tensors = kept([tensor for function in functions for tensor in function.tensors])
        found = iter(self._run(len(functions), flat, tensors))
        return [tuple(itertools.islice(found, self._outputs)) for _ in functions]


def kept(tensors: Sequence[torch.Tensor]) -> object:
    """A list of torch's own that refers to these."""
    return torch._C.ScriptList(list(tensors)) if tensors else None  # noqa: SLF001 no public way


@dataclass(slots=True)
class Script:
    """A graph that is being written. `slots` names the values that are there."""

    slots: dict[int, str]
    _inputs: tuple[str, ...]
    _lines: list[str] = field(default_factory=list)
    _tensors: list[torch.Tensor] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Sequence[int]) -> Script:
        """A script that is given the values of these slots."""
        slots = {slot: f"%s{slot}" for slot in inputs}
        return cls(slots, tuple(slots.values()))

    def call(
        self, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object] | None = None
    ) -> str:
        """A call of one of torch's operators (`torch.ops...`), defaults filled in; the name of its result.

        Raises:
            NotScriptable: an argument or the result has no text form here.
        """
        schema = getattr(function, "_schema", None)
        if schema is None or [str(returned.type) for returned in schema.returns] != ["Tensor"]:
            raise NotScriptable(f"{function} does not give one tensor")
        given = dict(kwargs or {})
        names = []
        for position, argument in enumerate(schema.arguments):
            if position < len(args):
                value = args[position]
            elif argument.name in given:
                value = given.pop(argument.name)
            elif argument.has_default_value():
                value = argument.default_value
            else:
                raise NotScriptable(f"{schema.name} lacks {argument.name}")
            names.append(self.value(value, str(argument.type)))
        return self.operation("Tensor", f"{schema.name}({', '.join(names)})")

    def operation(self, kind: str, text: str) -> str:
        """One line that defines a value of this type; its name."""
        name = f"%v{len(self._lines)}"
        self._lines.append(f"  {name} : {kind} = {text}")
        return name

    def value(self, value: object, formal: str = "") -> str:
        """The name of an argument; `formal` is the type that its operator declares, which empty lists need."""
        match value:
            case Slot(index):
                return self.slots[index]
            case Written(name):
                return name
            case torch.Tensor():
                self._tensors.append(value)
                return f"%w{len(self._tensors) - 1}"
            case None:
                return self._constant("NoneType", "prim::Constant()")
            case bool():
                return self._constant("bool", f"prim::Constant[value={int(value)}]()")
            case int():
                return self._constant("int", f"prim::Constant[value={value}]()")
            case float() if math.isfinite(value):
                return self._constant("float", f"prim::Constant[value={value!r}]()")
            case str() if value.replace("_", "").isalnum() or not value:
                return self._constant("str", f'prim::Constant[value="{value}"]()')
            case list() | tuple():
                return self._list(list(value), formal)
            case _:
                raise NotScriptable(f"no text form for {value!r}")

    def finish(self, outputs: Sequence[int]) -> Function:
        """A function from the values of the inputs to those of these slots.

        Raises:
            RuntimeError: torch does not take the script.
        """
        names = [self.slots[slot] for slot in outputs]
        kinds = ", ".join("Tensor" for _ in names)
        result = self.operation(f"({kinds})", f"prim::TupleConstruct({', '.join(names)})")
        given = [*self._inputs, *(f"%w{index}" for index in range(len(self._tensors)))]
        head = ", ".join(f"{name} : Tensor" for name in given)
        text = "\n".join([f"graph({head}):", *self._lines, f"  return ({result})\n"])
        run = torch._C._create_function_from_graph("program", torch._C.parse_ir(text))  # noqa: SLF001 no public way
        return Function(run, tuple(self._tensors), text)

    def _constant(self, kind: str, text: str) -> str:
        key = f"{kind} {text}"
        if key not in self._known:
            self._known[key] = self.operation(kind, text)
        return self._known[key]

    def _list(self, items: list[object], formal: str) -> str:
        kinds = {_item_kind(formal)} if not items or _NUMBERS in formal else {_kind(item) for item in items}
        if len(kinds) > 1:
            raise NotScriptable("a list of different types")
        (kind,) = kinds
        names = ", ".join(self.value(item) for item in items)
        return self.operation(f"{kind}[]", f"prim::ListConstruct({names})")


def _kind(item: object) -> str:
    match item:
        case Written(kind=kind):
            return kind
        case Slot() | torch.Tensor():
            return "Tensor"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case _:
            raise NotScriptable(f"a list of {type(item).__name__}")


def _item_kind(formal: str) -> str:
    for kind, declared in (("int", "List[int]"), ("float", "List[float]"), ("Scalar?", _NUMBERS)):
        if declared in formal:
            return kind
    raise NotScriptable(f"an empty list for {formal}")
