"""What is wrong inside a file of an update, told of strangers' files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from errno import EMFILE, ENFILE, ENOMEM

from robustagg.errors.kinds import HeaderTooLong, Unreadable
from robustagg.errors.words import shown


def cannot_open(fault: Exception) -> Exception:
    """Of a stranger's file, unless it is this machine that has nothing left to read it with."""
    if getattr(fault, "errno", None) in (EMFILE, ENFILE, ENOMEM):
        return fault
    return Unreadable(f"cannot be read: {getattr(fault, 'strerror', None) or fault}")


def not_regular() -> Unreadable:
    return Unreadable("not a regular file")


def file_changed() -> Unreadable:
    return Unreadable("the file changed while it was in use")


def file_truncated(offset: int) -> Unreadable:
    return Unreadable(f"the file ends at byte {offset}, in the middle of its data")


def unknown_format(suffix: str, known: Iterable[str]) -> Unreadable:
    return Unreadable(f"unknown format {shown(suffix)}; known are {', '.join(known)}")


def header_beyond_end(length: int, size: int) -> Unreadable:
    return Unreadable(f"a header of {length} bytes in a file of {size}")


def header_too_long(length: int, limit: int) -> HeaderTooLong:
    return HeaderTooLong(length, limit)


def npy_header_too_long(length: int, limit: int) -> Unreadable:
    return Unreadable(f"a header of {length} bytes, where {limit} are allowed")


def damaged_header(fault: object) -> Unreadable:
    if isinstance(fault, Exception):
        fault = f"{type(fault).__name__}: {fault}"
    return Unreadable(f"damaged header ({str(fault)[:200]})")


def bad_tensor_name(name: object) -> Unreadable:
    return Unreadable(f"tensor name {shown(name)} is empty, too long, or not safe as a path")


def duplicate_tensor(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} appears twice")


def bad_tensor_shape(name: str, shape: object) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has the impossible shape {shown(shape)}")


def unsupported_dtype(name: str, dtype: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has dtype {shown(dtype)}, which cannot be aggregated")


def pickled(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} holds pickled Python objects, which are never loaded")


def lying_size(name: str, expected: int, got: int) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} takes {expected} bytes by its shape and dtype, and {got} in the file")


def misplaced_tensor(name: str, begin: int, end: int) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} begins at byte {begin} of the data, where the one before ends at {end}")


def lying_total(expected: int, got: int) -> Unreadable:
    return Unreadable(f"the header describes {expected} bytes of data, and {got} follow")


def not_an_array(name: str) -> Unreadable:
    return Unreadable(f"{shown(name)} is not an array in NumPy's format")


def foreign_member(name: str) -> Unreadable:
    return Unreadable(f"the archive holds {shown(name)}, which is not an array")


def unreadable_member(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} is encrypted, or compressed by a method that NumPy does not use")


def misplaced_member(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} lies outside of its place in the archive")


def damaged_member(name: str, fault: Exception) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} cannot be decompressed: {fault}")


def member_ends(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has fewer bytes than its header says")


def member_goes_on(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has more bytes than its header says")


def wrong_checksum(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has the wrong checksum")


def other_tensors(missing: Sequence[str], extra: Sequence[str]) -> Unreadable:
    told = [f"lacks {shown(name)}" for name in missing[:3]] + [f"adds {shown(name)}" for name in extra[:3]]
    return Unreadable(f"not the tensors that most clients sent: {', '.join(told)}")


def other_values(name: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} holds other values than most clients sent, where all must be equal")


def other_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has shape {shown(shape)}, where most clients sent {expected}")


def other_dtype(name: str, dtype: str, expected: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} has dtype {dtype}, where most clients sent {expected}")


def not_what_it_says(suffix: str, what: str) -> Unreadable:
    return Unreadable(f"not a {suffix} file but {what}")


def no_model_in_folder(count: int) -> Unreadable:
    return Unreadable(f"a folder of {count} files that could be the model; one is wanted, or one index of its parts")


def bad_index(fault: str) -> Unreadable:
    return Unreadable(f"not an index of a model's parts: {fault}")


def leads_out(name: str) -> Unreadable:
    return Unreadable(
        f"{shown(name)} leads out of its folder, where neither links nor paths are followed; "
        "name the file itself, or copy the model with what its links stand for (cp -rL)"
    )


def misplaced_in_shards(name: str, shard: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} is not as the index has it, in {shown(shard)}")


def not_converted(fault: str) -> Unreadable:
    return Unreadable(f"cannot be read: {fault[:200]}")


def damaged_values() -> Unreadable:
    return Unreadable("its header is sound, but its data is damaged")


def converter_stopped(fault: str) -> Unreadable:
    return Unreadable(f"cannot be read within the limits set for strangers' files: {fault}")
