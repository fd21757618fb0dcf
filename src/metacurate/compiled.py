"""How metacurate compiles its inner loops: Numba, without the interpreter lock, cached on disk."""

import logging
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on its first call and keep the machine code for later processes.

    Where no cache folder can be written, the function is compiled in each process, and a
    message says so. Floating point stays exact: no fast-math, so no reordering of sums.

    Args:
        function: a function in Numba's subset of Python.

    Returns:
        The function that compiles itself; it releases the interpreter lock while it runs.
    """
    return _compile(function, {})


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function into each of its compiled callers: for small ones in inner loops.

    Args:
        function: a function in Numba's subset of Python.

    Returns:
        The function, to be called by compiled ones.
    """
    return _compile(function, {"forceinline": True})


def _compile(function: Callable[..., Any], more: dict[str, Any]) -> Callable[..., Any]:
    options = {"nogil": True, "boundscheck": False, "error_model": "numpy", **more}
    try:
        return njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError as error:  # Numba's "no locator available"
        log.warning(
            "%s is compiled anew in each process (%s); set NUMBA_CACHE_DIR to a folder that "
            "can be written",
            function.__name__,
            error,
        )
        return njit(**options)(function)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(context: Any, address: Any) -> Any:
    """Ask for the cache line at an address, which will be read soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        read, keep, data = (ir.Constant(number, n) for n in (0, 3, 1))
        builder.call(function, [builder.inttoptr(arguments[0], pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.uint64), generate
