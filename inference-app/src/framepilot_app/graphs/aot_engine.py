"""AOTInductor: a program that torch's own compiler made a shared library of, called through its C interface.

Torch's bindings of such libraries hold the interpreter while they open one and while it runs, and a batch must not.
ctypes holds it only while the system maps the file (measured: half a millisecond), and lets go of it while the model is
made and while a batch runs. So neither is felt beside serving.

The interface is torch/csrc/inductor/aoti_runtime/interface.h. A handle is a pointer to a tensor of C++; whoever is
given one owns it.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterable
from ctypes import POINTER, c_char_p, c_size_t, c_void_p, py_object
from pathlib import Path
from typing import Final

import torch

from framepilot_app.graphs.aot_form import AOT_INDUCTOR
from framepilot_app.graphs.engine import Compiled, EngineError, Outputs, WholeBatches
from framepilot_app.graphs.file_engine import FileEngine
from framepilot_app.graphs.program import ImageInput

_HANDLES: Final = POINTER(c_void_p)
_FUNCTIONS: Final = {
    "AOTInductorGetLastError": (POINTER(c_char_p),),
    "AOTInductorModelContainerCreateWithDevice": (_HANDLES, c_size_t, c_char_p, c_char_p),
    "AOTInductorModelContainerDelete": (c_void_p,),
    "AOTInductorModelContainerGetNumOutputs": (c_void_p, POINTER(c_size_t)),
    "AOTInductorModelContainerRun": (c_void_p, _HANDLES, c_size_t, _HANDLES, c_size_t, c_void_p, c_void_p),
}
"""Of the library, and what each takes; all give 0 if they succeed."""

_pointer_in = ctypes.PYFUNCTYPE(c_void_p, py_object, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_capsule_of = ctypes.PYFUNCTYPE(py_object, c_void_p, c_char_p, c_void_p)(("PyCapsule_New", ctypes.pythonapi))


class _Library:
    """A library's model, which runs one batch at a time and goes with the last reference.

    The file stays mapped, as ctypes closes no library: its pages are the file's, and the system takes them back as it
    likes.
    """

    def __init__(self, file: Path) -> None:
        self._library = ctypes.CDLL(str(file))
        for name, arguments in _FUNCTIONS.items():
            getattr(self._library, name).argtypes = arguments
        self._model = c_void_p()
        self._call("ModelContainerCreateWithDevice", ctypes.byref(self._model), 1, b"cpu", None)
        weakref.finalize(self, self._library.AOTInductorModelContainerDelete, self._model).atexit = False
        count = c_size_t()
        self._call("ModelContainerGetNumOutputs", self._model, ctypes.byref(count))
        self._outputs = count.value

    def run(self, batch: torch.Tensor) -> Outputs:
        """Run one batch, in the memory format that it was compiled for."""
        inputs = (c_void_p * 1)(_handle(batch))
        outputs = (c_void_p * self._outputs)()
        self._call("ModelContainerRun", self._model, inputs, 1, outputs, self._outputs, None, None)
        return _tensors(outputs)

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, f"AOTInductor{name}")(*arguments):
            reason = c_char_p()
            self._library.AOTInductorGetLastError(ctypes.byref(reason))
            raise EngineError((reason.value or b"it does not say why").decode(errors="replace"))


def _handle(tensor: torch.Tensor) -> int | None:
    """A handle of a tensor, which whoever gets it owns."""
    address: int | None = _pointer_in(torch._C._aoti.unsafe_alloc_void_ptr_from_tensor(tensor), None)  # noqa: SLF001
    return address


def _tensors(handles: Iterable[int | None]) -> Outputs:
    """The tensors of handles, which are of no use afterwards. Torch's function for a single one leaks it."""
    capsules = [_capsule_of(handle, None, None) for handle in handles]
    return tuple(torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs(capsules))  # noqa: SLF001


def _open_model(file: Path, image: ImageInput, _threads: int) -> Compiled:
    """Open the library; it runs on as many threads as it was compiled for."""
    library = _Library(file)

    def run(batch: torch.Tensor) -> Outputs:
        return library.run(batch.contiguous(memory_format=torch.channels_last))

    return WholeBatches(image, file.stat().st_size, run)


ENGINE: Final = FileEngine(AOT_INDUCTOR, _open_model, tried_by_auto=False)
