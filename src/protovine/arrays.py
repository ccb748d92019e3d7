"""Named arrays that kernels take as one argument.

numba passes every array as seven or more numbers. A state of forty arrays is then three hundred arguments of every
call: slow to compile, and slow to unpack where Python calls a kernel. Here a kernel takes a *header* instead, one array
with the address and the shape of each, and its code sees the arrays by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from protovine.jit import inner_kernel, kernel

Header = NDArray[np.int64]


def header_of(arrays: list[NDArray[Any]]) -> Header:
    """Address and shape of each array, one after the other; valid as long as the arrays live and keep their memory.

    Raises
    ------
    ValueError
        An array is not C-contiguous, aligned and writable.
    """
    numbers: list[int] = []
    for array in arrays:
        if not array.flags.carray:
            raise ValueError(f"an array of a header must be C-contiguous, aligned and writable, got {array.flags}")
        numbers += [array.ctypes.data, *array.shape]
    return np.array(numbers, np.int64)


def owned(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy if its memory is another object's: unpickled arrays may lie in memory that is read-only.

    Examples
    --------
    >>> owned(np.frombuffer(b"abc", np.uint8)).flags.writeable
    True
    """
    return array if type(array) is np.ndarray and array.flags.owndata else np.array(array)


class ArraysType(types.Type):
    """The type that kernels see: an address of a header, with an attribute for each array."""

    def __init__(self, name: str, fields: Mapping[str, tuple[type, int]]) -> None:
        self.arrays = {
            field: types.Array(from_dtype(np.dtype(dtype)), ndim, "C") for field, (dtype, ndim) in fields.items()
        }
        ends = np.cumsum([1 + ndim for _, ndim in fields.values()]).tolist()
        self.offsets = dict(zip(fields, [0, *ends[:-1]], strict=True))
        super().__init__(name=f"{name}({', '.join(f'{field}: {array}' for field, array in self.arrays.items())})")


def view_of(name: str, fields: Mapping[str, tuple[type, int]]) -> Callable[[Header], Any]:
    """A function for kernels that turns a header into its arrays by name.

    Parameters
    ----------
    name : str
        Name of the type in numba's messages.
    fields : mapping
        Dtype and number of dimensions of each array, in the order of `header_of`.
    """
    made = ArraysType(name, fields)

    @intrinsic
    def view(typing: Any, header: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, values[0])
            return builder.bitcast(array.data, context.get_value_type(made))

        if header != types.Array(types.int64, 1, "C"):
            return None
        return made(header), generate

    function: Any = view
    result: Callable[[Header], Any] = function
    return result


@register_model(ArraysType)
class _Model(models.OpaqueModel):
    """A pointer."""


@infer_getattr
class _Attributes(AttributeTemplate):
    key = ArraysType

    def generic_resolve(self, made: ArraysType, field: str) -> Any:  # type: ignore[override]
        return made.arrays.get(field)


@lower_getattr_generic(ArraysType)  # type: ignore[untyped-decorator, no-untyped-call]
def _get(context: Any, builder: Any, made: ArraysType, pointer: Any, field: str) -> Any:
    """An array of a header as a value without owner."""
    kind = made.arrays[field]
    word = ir.IntType(64)
    header = builder.bitcast(pointer, word.as_pointer())

    def load(index: int, to: Any) -> Any:
        at = builder.gep(header, [ir.Constant(word, index)])
        value = builder.load(builder.bitcast(at, to.as_pointer()))
        # A header never changes while a kernel runs, so LLVM may read it once.
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    first = made.offsets[field]
    item = context.get_data_type(kind.dtype)
    size = context.get_abi_sizeof(item)
    shape = [load(first + 1 + axis, word) for axis in range(kind.ndim)]
    strides = [ir.Constant(word, size)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    array = context.make_array(kind)(context, builder)
    data = load(first, item.as_pointer())
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)  # type: ignore[no-untyped-call]
    return array._getvalue()


# numba's own ``target[:] = source`` compiles an error message about shapes, which takes longer than most kernels.


@inner_kernel
def assign(target: NDArray[np.float64], source: NDArray[np.float64]) -> None:
    """Copy a vector over one of the same length."""
    for k in range(target.shape[0]):
        target[k] = source[k]


@inner_kernel
def equal(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two vectors of the same length hold the same numbers; NaN is never the same."""
    same = True
    for k in range(first.shape[0]):
        same = same and first[k] == second[k]
    return same


@kernel
def all_within(x: NDArray[np.float64], most: float) -> bool:
    """Whether every value is within ±most; NaN is not."""
    for k in range(x.shape[0]):  # noqa: SIM110
        if not abs(x[k]) <= most:
            return False
    return True
