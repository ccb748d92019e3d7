"""Numbers in two bytes on the wire: bfloat16, the upper half of a float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def words(x: NDArray[np.float64]) -> NDArray[np.uint32]:
    """The bfloat16 of each number, as the low 16 bits: the nearest float32, cut off towards 0.

    Examples
    --------
    >>> [hex(word) for word in words(np.array([1.0, 0.1, -2.5]))]
    ['0x3f80', '0x3dcc', '0xc020']
    """
    return x.astype(np.float32).view(np.uint32) >> np.uint32(16)


def values(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The numbers that bfloat16 words stand for.

    Examples
    --------
    >>> values(words(np.array([1.0, 0.1, -2.5]))).tolist()
    [1.0, 0.099609375, -2.5]
    """
    return (words << np.uint32(16)).view(np.float32).astype(np.float64)
