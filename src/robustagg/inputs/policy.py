"""Which tensors vote, and what becomes of those that are no weights: step counters, running statistics, codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array

RUNNING = {
    "*.running_mean": "median",  # torch
    "*.running_var": "median",
    "*.num_batches_tracked": "max",
    "*.batch_stats.*": "median",  # Flax
    "*.moving_mean": "median",  # Keras
    "*.moving_variance": "median",
}
"""BatchNorm's buffers."""
TIES = ("once", "each")
LORA = ("factors", "product")
ACTIONS = ("median", "max", "min", "first", "equal")
FEW = 16  # values that a counter may have; a larger integer tensor may well be quantised weights
SCALES = ("scale", "absmax", "scb")  # what stands beside such weights is called


class Described(NamedTuple):
    """A tensor of the model, without its values."""

    path: tuple[Any, ...]
    floating: bool
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Policy:
    """Which tensors take part in the vote, and what the result holds in place of the others.

    Patterns are those of :mod:`fnmatch`, on a tensor's dotted path, its prefixes stripped; ``*.name`` fits ``name``
    alone too. Of several patterns the first counts. What no word is said of: floating tensors vote; of integer tensors
    the small ones get the lower median, and those that may be weights must be equal.

    Parameters
    ----------
    include : sequence of str
        Only tensors that fit one of these vote; none: all do.
    exclude : sequence of str
        Tensors that fit one of these do not. Of what is not included or excluded the result holds the lower median.
    buffers : mapping from pattern to action
        What the result holds of buffers, which neither vote nor count as coordinates: "median" (the lower one), "max",
        "min", "first" (of the admitted clients), or "equal" (most must agree, others are left out). By default
        BatchNorm's, of torch, Flax and Keras: the median of running means and variances, which a minority cannot make
        negative, and the greatest count of batches.
    ties : "once", "each", or sequence of sequences of names
        Tensors that share their storage, in the model that an :class:`Intake` has (unless most replies hold other
        values in them) or else in every client's, count once and are tied again in the result; "each": they count as
        often as they are listed. By their names where replies have lost the storage: the first of them counts.
    strip : sequence of str
        Prefixes, of wrappers around the model, that names may have or lack; the result's are the model's.
    lora : "factors" or "product"
        Whether the factors A and B of LoRA adapters are tensors like others, or their products B A vote, and the result
        is factored again: see ``docs/tensors.md``.

    Raises
    ------
    TypeError, ValueError
        If a parameter is none of these.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> def site(mean, w):
    ...     return {"bn.running_mean": np.array([mean]), "w": np.array(w)}
    >>> sites = [site(0.0, [1.0, 2.0]), site(0.1, [1.1, 2.0]), site(900.0, [1.0, 2.1])]
    >>> ra.Medoid().aggregate(sites, policy=ra.Policy()).update
    {'bn.running_mean': array([0.1]), 'w': array([1., 2.])}
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    buffers: Mapping[str, str] = field(default_factory=RUNNING.copy)
    ties: str | Sequence[Sequence[str]] = "once"
    strip: Sequence[str] = ("module.", "_orig_mod.")
    lora: str = "factors"

    def __post_init__(self) -> None:
        if not isinstance(self.buffers, Mapping):
            raise errors.not_buffers(self.buffers)
        for pattern, action in self.buffers.items():
            if not isinstance(pattern, str) or action not in ACTIONS:
                raise errors.bad_buffer(pattern, action, ACTIONS)
        for name in ("include", "exclude", "strip"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        if isinstance(self.ties, str):
            if self.ties not in TIES:
                raise errors.not_one_of("ties", self.ties, [*TIES, "lists of names"])
        else:
            object.__setattr__(self, "ties", tuple(_texts("ties", names) for names in self.ties))
        if self.lora not in LORA:
            raise errors.not_one_of("lora", self.lora, LORA)

    @classmethod
    def of(cls, buffers: Mapping[str, str] | None, policy: Policy | None = None) -> Policy:
        """What a caller has said; without a word, nothing of all this."""
        if policy is None:
            return PLAIN if buffers is None else replace(PLAIN, buffers=buffers)
        if not isinstance(policy, Policy):
            raise errors.not_a_policy(policy)
        if buffers is not None:
            raise errors.buffers_twice()
        return policy

    def told(self) -> dict[str, Any] | None:
        """What a ledger keeps of it, ready for JSON; None where nothing is said."""
        if self is PLAIN or self == PLAIN:
            return None
        ties = self.ties if isinstance(self.ties, str) else [list(names) for names in self.ties]
        lists = {name: list(getattr(self, name)) for name in ("include", "exclude", "strip")}
        return {**lists, "buffers": dict(self.buffers), "ties": ties, "lora": self.lora}

    def check_for_files(self) -> None:
        """Whether it can be had over files; raises if not."""
        if self.lora == "product":
            raise errors.not_over_files("lora='product'")
        if not isinstance(self.ties, str):
            raise errors.not_over_files("a tie by names")

    # --- names ---

    def bare(self, name: Any) -> Any:
        """A name without its prefixes."""
        while isinstance(name, str):
            prefix = next((prefix for prefix in self.strip if name.startswith(prefix)), None)
            if not prefix:
                break
            name = name[len(prefix) :]
        return name

    def names(self, tree: Any) -> dict[Any, Any]:
        """A dict's own keys by their bare ones; none where nothing is to be stripped, or two would be one."""
        if not self.strip or not isinstance(tree, dict):
            return {}
        bare = {self.bare(key): key for key in tree}
        return bare if len(bare) == len(tree) and any(one != key for one, key in bare.items()) else {}

    def stripped(self, tree: Any) -> Any:
        """A tree with bare names."""
        names = self.names(tree)
        return {bare: tree[key] for bare, key in names.items()} if names else tree

    # --- what becomes of tensors ---

    def buffer(self, path: Sequence[Any]) -> str | None:
        """What the caller has said of a buffer."""
        name = self.name(path)
        return next((action for pattern, action in self.buffers.items() if fits(name, pattern)), None)

    def actions(self, model: Sequence[Described]) -> list[str | None]:
        """What becomes of each tensor of a model; None: it votes."""
        voting = sum(tensor.size for tensor in model if tensor.floating)
        integers = sum(tensor.size for tensor in model if not tensor.floating and tensor.size > 1)
        scaled = {_parent(t) for t in model if t.floating and any(word in t.name.lower() for word in SCALES)}
        actions = [self._action(tensor, integers > voting or _parent(tensor) in scaled) for tensor in model]
        if self.include and None not in actions:
            raise errors.nothing_included(self.include)
        return actions

    def _action(self, tensor: Described, suspect: bool) -> str | None:
        said = self._said(tensor.path) if self.buffers or self.include or self.exclude else None
        if said is not None or tensor.floating:
            return said
        return "equal" if tensor.size > FEW or (tensor.size > 1 and suspect) else "median"

    def _said(self, path: Sequence[Any]) -> str | None:
        name = self.name(path)
        if any(fits(name, pattern) for pattern in self.exclude):
            return "median"
        action = self.buffer(path)
        if action is None and self.include and not any(fits(name, pattern) for pattern in self.include):
            return "median"
        return action

    def name(self, path: Sequence[Any]) -> str:
        """A tensor's dotted path, bare."""
        return str(self.bare(".".join(map(str, path))))


def fits(name: str, pattern: str) -> bool:
    """Whether a dotted name is one of a pattern's."""
    return fnmatchcase(name, pattern) or fnmatchcase(f".{name}", pattern)


def _texts(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise errors.not_texts(name, given)
    texts = tuple(given)
    if not all(isinstance(text, str) and text for text in texts):
        raise errors.not_texts(name, given)
    return texts


PLAIN = Policy(buffers={}, ties="each", strip=())
"""Nothing is said."""


def _parent(tensor: Described) -> str:
    return tensor.name.rpartition(".")[0]


def reduced(action: str, rows: Array) -> Array:
    """(size,) what stands for the (m, size) values of the admitted clients: always values that somebody has sent.

    The median is the lower one; a NaN counts as more than any number, and is neither maximum nor minimum where there
    are numbers.
    """
    if action == "median":
        middle = (len(rows) - 1) // 2
        return np.asarray(np.partition(rows, middle, axis=0)[middle])
    if action == "max":
        return np.asarray(np.fmax.reduce(rows, axis=0))
    if action == "min":
        return np.asarray(np.fmin.reduce(rows, axis=0))
    return np.asarray(rows[0])
