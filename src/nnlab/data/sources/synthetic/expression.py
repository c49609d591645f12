"""Formulas that a config gives: read by Python's parser, evaluated by what is in this file alone.

Only numbers, the names of the inputs, `pi`, `e`, the operators and the functions in the tables
below mean anything here; all else is refused when a formula is read.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.names import nearest

LONGEST = 500
"""Characters."""
DEEPEST = 100
"""Operations within operations."""

CONSTANTS: Mapping[str, float] = MappingProxyType({"pi": np.pi, "e": np.e})
OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Mod: operator.mod,
        ast.Pow: operator.pow,
        ast.UAdd: operator.pos,
        ast.USub: operator.neg,
    }
)
_TRIGONOMETRIC = (np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.arctan2, np.hypot)
_EXPONENTIAL = (np.exp, np.log, np.log2, np.log10, np.sinh, np.cosh, np.tanh, np.sqrt, np.cbrt)
_PIECEWISE = (np.sign, np.floor, np.ceil, np.minimum, np.maximum)
_ALL: tuple[np.ufunc, ...] = (*_TRIGONOMETRIC, *_EXPONENTIAL, *_PIECEWISE)
FUNCTIONS: Mapping[str, np.ufunc] = MappingProxyType(
    {"abs": np.absolute} | {function.__name__: function for function in _ALL}
)


class Expression:
    """A formula of the given names; raises `LawError` (formula) where it is none.

    Numbers are float64, so that no power of integers can grow without end.

    >>> Expression("2*x1**2 - 1", ["x1"])({"x1": np.array([0.0, 3.0])}).tolist()
    [-1.0, 17.0]
    """

    def __init__(self, text: str, names: tuple[str, ...] | list[str]) -> None:
        self.text = text.strip()
        self.names = tuple(names)
        if len(text) > LONGEST:
            raise self._error(f"a formula has at most {LONGEST} characters, not {len(text)}")
        try:
            self._root = ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            raise self._error(f"it is not a formula: {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise self._error("it is not a formula") from error
        self._check(self._root, 0)

    def __call__(self, values: Mapping[str, Array]) -> Array:
        """The formula for arrays `(n,)` by name: `(n,)`, or a number where it has no names in it.

        What is not defined is NaN or infinite there.
        """
        with np.errstate(all="ignore"):
            return np.asarray(self._value(self._root, values))

    def _check(self, node: ast.AST, depth: int) -> None:
        if depth > DEEPEST:
            raise self._error(f"operations lie at most {DEEPEST} deep in each other")
        match node:
            case ast.Constant(value=value) if type(value) in (int, float):
                self._number(node)
            case ast.Name(id=name):
                self._known(name, (*self.names, *CONSTANTS), "name")
            case ast.UnaryOp(op=op) if type(op) in OPERATORS:
                self._check(node.operand, depth + 1)
            case ast.BinOp(op=op) if type(op) in OPERATORS:
                self._check(node.left, depth + 1)
                self._check(node.right, depth + 1)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                self._known(name, tuple(FUNCTIONS), "function")
                needed = FUNCTIONS[name].nin
                if len(node.args) != needed:
                    raise self._error(f"{name} is of {needed} number(s), not {len(node.args)}")
                for argument in node.args:
                    self._check(argument, depth + 1)
            case _:
                part = ast.get_source_segment(self.text, node)
                raise self._error(
                    f"`{part}` is none of numbers, names, + - * / % **, parentheses and functions"
                )

    def _known(self, name: str, known: tuple[str, ...], what: str) -> None:
        if name not in known:
            some = known if len(known) < 30 else (*known[:5], "...", *known[-5:])
            raise self._error(
                f"it has no {what} {name}{nearest(name, known)}; it has {', '.join(some)}"
            )

    def _number(self, node: ast.Constant) -> np.float64:
        assert isinstance(node.value, int | float)
        try:
            number = np.float64(node.value)
        except OverflowError:
            number = np.float64(np.inf)
        if not np.isfinite(number):
            raise self._error("its numbers must be finite in 64 bits")
        return number

    def _value(self, node: ast.AST, values: Mapping[str, Array]) -> Any:
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name(id=name):
                return values[name] if name in values else np.float64(CONSTANTS[name])
            case ast.UnaryOp():
                return OPERATORS[type(node.op)](self._value(node.operand, values))
            case ast.BinOp():
                left, right = self._value(node.left, values), self._value(node.right, values)
                return OPERATORS[type(node.op)](left, right)
            case ast.Call(func=ast.Name(id=name)):
                return FUNCTIONS[name](*(self._value(one, values) for one in node.args))
        raise AssertionError(node)

    def _error(self, what: str) -> LawError:
        text = self.text if len(self.text) <= 60 else f"{self.text[:60]}..."
        return LawError(f"{what} (got formula={text})", "formula")
