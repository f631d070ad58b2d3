"""Which files can be used: the most common structure among them is the model's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.files.members import INFLATER
from robustagg.files.opener import Opener
from robustagg.files.storage import Readable
from robustagg.files.tensors import DEFLATED, Contents, Model, Tensor, in_common
from robustagg.inputs.policy import Described, Policy
from robustagg.protocol import Client

TENSOR = 1024  # bytes that a tensor's name and shape take, here and in the output's header


@dataclass(frozen=True)
class Entrants:
    """Who has sent which file, and what becomes of those that cannot be used."""

    clients: tuple[Client, ...]
    paths: tuple[str, ...]
    strict: bool
    reference: str | None = None
    """The file of the global model, where there is one."""

    def refused(self, i: int, fault: errors.Unreadable) -> dict[int, str]:
        """Why client i is left out; an error if nobody may be."""
        if self.strict:
            raise errors.unusable_file(self.clients[i], self.paths[i], fault)
        return {i: f"not admitted: {fault}"}


class Survey(NamedTuple):
    """The model, and who sent one."""

    model: Model
    files: dict[int, tuple[Readable, ...]]
    places: dict[int, NDArray[np.void]]
    """Where the tensors are in each client's files; those of one layout share an array."""
    excluded: dict[int, str]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.model.tensors

    def under(self, policy: Policy) -> Survey:
        """With what becomes of each tensor."""
        told = [Described((tensor.name,), tensor.votes, tensor.shape) for tensor in self.tensors]
        tensors = (replace(t, action=action) for t, action in zip(self.tensors, policy.actions(told), strict=True))
        return self._replace(model=self.model._replace(tensors=tuple(tensors)))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that this and reading with it take, about."""
        layouts = {id(places): places.nbytes for places in self.places.values()}
        inflaters = sum(INFLATER for places in self.places.values() if (places["kind"] == DEFLATED).any())
        return TENSOR * len(self.tensors) + sum(layouts.values()) + inflaters


class ModelFile(NamedTuple):
    """A file that is no client's, with the tensors of the model."""

    files: tuple[Readable, ...]
    places: NDArray[np.void]


class Looks(NamedTuple):
    """What the first look has found of a client: digests of the tensors, and of how its file holds them."""

    structure: bytes
    style: bytes


def survey(entrants: Entrants, opener: Opener) -> Survey:
    """Look into every file, twice: to find the most common structure (of several, the first), and who has it.

    Of those who have it, the most common order of tensors is the model's. Tables of contents are not kept meanwhile:
    hostile ones are as long as the opener allows.
    """
    looks: dict[int, Looks] = {}
    excluded: dict[int, str] = {}
    excesses: list[float] = []
    for i, path in enumerate(entrants.paths):
        try:
            looks[i] = _digests(opener.look(path)[1])
        except errors.Unreadable as fault:
            excluded |= entrants.refused(i, fault)
            if isinstance(fault, errors.HeaderTooLong):
                excesses.append(fault.excess)
    if len(excesses) > len(looks):  # then it is the budget
        raise errors.headers_too_long(len(excesses), sorted(excesses)[len(excesses) // 2])
    common = _most_common(look.structure for look in looks.values())
    style = _most_common(look.style for look in looks.values() if look.structure == common)
    found: Survey | None = None
    layouts: dict[bytes, NDArray[np.void]] = {}
    for i in sorted(looks, key=lambda i: looks[i] != (common, style)):
        try:
            files, contents = opener.look(entrants.paths[i])
            if found is None and _digests(contents) == (common, style):
                found = Survey(Model(contents.tensors, contents.order, contents.metadata), {}, {}, excluded)
            if found is None:
                raise errors.file_changed()
            _compare(contents.tensors, found.tensors)
            found.files[i], places = opener.in_c_order(files, contents)
        except errors.Unreadable as fault:
            excluded |= entrants.refused(i, fault)
        else:
            found.places[i] = layouts.setdefault(hashlib.sha256(places.data).digest(), places)
            shared = in_common(found.model.metadata, contents.metadata)
            found = found._replace(model=found.model._replace(metadata=shared))
    if found is None or not found.files:
        raise errors.nobody_admitted((entrants.clients[i], why) for i, why in excluded.items())
    return found


def model_file(path: str, opener: Opener, tensors: Sequence[Tensor]) -> ModelFile:
    """The server's own file of the model; raises where it is none."""
    try:
        files, contents = opener.look(path)
        _compare(contents.tensors, tensors)
        return ModelFile(*opener.in_c_order(files, contents))
    except errors.Unreadable as fault:
        raise errors.unusable_reference(path, fault) from None


def _most_common(digests: Iterable[bytes]) -> bytes:
    return next((digest for digest, _ in Counter(digests).most_common(1)), b"")


def _digests(contents: Contents) -> Looks:
    structure, style = hashlib.sha256(), hashlib.sha256(contents.order.data)
    for tensor in contents.tensors:
        structure.update(repr(tensor).encode())
        style.update(bytes([tensor.fortran]))
    return Looks(structure.digest(), style.digest())


def _compare(tensors: Sequence[Tensor], model: Sequence[Tensor]) -> None:
    """Raises where tensors are not those of the model."""
    theirs, ours = {tensor.name: tensor for tensor in tensors}, {tensor.name: tensor for tensor in model}
    missing, extra = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if missing or extra:
        raise errors.other_tensors(missing, extra)
    for name, tensor in ours.items():
        if theirs[name].shape != tensor.shape:
            raise errors.other_shape(name, theirs[name].shape, tensor.shape)
        if theirs[name].dtype != tensor.dtype:
            raise errors.other_dtype(name, theirs[name].dtype, tensor.dtype)
