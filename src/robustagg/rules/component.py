"""What rules and pre-aggregations have in common: parameters, a name in files, a condition, and f."""

from __future__ import annotations

import importlib
import os
import sys
from abc import ABC
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from robustagg import errors
from robustagg.protocol import Round
from robustagg.rules.checks import whole

if TYPE_CHECKING:
    from typing_extensions import Self

Needs: TypeAlias = tuple[int, int]
"""(a, b): n >= a f + b clients."""


class Component(ABC):
    """A dataclass of parameters that takes part in rounds."""

    _kinds: ClassVar[dict[str, type[Component]]] = {}

    needs: ClassVar[Needs | None] = None
    """What its f asks for, see :class:`Withstanding`; None: it has no f."""

    def __post_init__(self) -> None:  # noqa: B027 - most have nothing to check
        """Check the parameters; raises where one is out of range."""

    _ours: ClassVar[bool]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._ours = cls.__module__.startswith("robustagg.")
        Component._kinds[cls.label()] = cls

    @classmethod
    def label(cls) -> str:
        """Its name in files: the class's, with the module before it where that is not of this package."""
        return cls.__qualname__ if cls.is_ours() else f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def is_ours(cls) -> bool:
        """Whether it belongs to this package, whose primitives find a NaN by themselves."""
        return cls._ours

    @property
    def differences(self) -> bool:
        """Whether updates must be differences from the global model: on whole parameters it fails without a word."""
        return False

    @property
    def isometric(self) -> bool:
        """Whether the result turns with the updates: it sees lengths and angles alone, and remembers nothing."""
        return False

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def _of(cls, parameters: Mapping[str, Any]) -> Self:
        """The component that has these parameters."""
        return cls(**parameters)

    def withstood(self, m: int) -> int | None:
        """How many Byzantine clients among m admitted ones it withstands; None where it has no f."""
        return None

    def check(self, round: Round) -> None:  # noqa: B027 - most have nothing to check
        """Whether it can do this round; raises if not."""


def kind_of(label: str) -> type[Component]:
    """The class of this :meth:`Component.label`, if it is known here: nothing is imported."""
    if label not in Component._kinds:
        raise errors.unknown_component(label)
    return Component._kinds[label]


def imported(label: str) -> type[Component]:
    """The class that a person names as ``module:Class``: the module is imported, the current folder's before others."""
    sys.path.insert(0, os.getcwd())
    try:
        importlib.import_module(label.partition(":")[0])
    except ImportError as missing:
        raise errors.unknown_module(label, missing) from missing
    finally:
        sys.path.remove(os.getcwd())
    return kind_of(label)


@dataclass(eq=False)
class Withstanding(Component):
    """Withstands f Byzantine clients of n >= a f + b, (a, b) being what it needs.

    A client that is left out of a round is one of the f. The component does with the others what it can: it withstands
    as many of them as their number allows, at most f, which is never less than f without those left out.
    """

    needs: ClassVar[Needs | None] = (2, 1)

    f: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.f = whole("f", self.f)

    def needed(self) -> Needs | None:
        """What this very component needs, where that depends on its parameters."""
        return self.needs

    def withstood(self, m: int) -> int:
        needed = self.needed()
        if needed is None:
            return self.f
        a, b = needed
        return max(min(self.f, (m - b) // a), 0)

    def check(self, round: Round) -> None:
        super().check(round)
        needed, m = self.needed(), len(round.kept)
        if needed is not None:
            a, b = needed
            if m + round.lost < a * self.f + b or m < b:
                raise errors.too_few_clients(type(self).__name__, m, round.lost, condition(needed, self.f))


def condition(needed: Needs, f: int | None = None) -> str:
    """What must hold of n, in words, of a number f or in general."""
    a, b = needed
    times = f"{a if a > 1 else ''}f"
    if f is None:
        return f"n > {times}" if b == 1 else f"n >= {times} + {b}"
    return f"more than {times} = {a * f} clients" if b == 1 else f"at least {times} + {b} = {a * f + b} clients"
