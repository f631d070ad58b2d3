"""Clients and their updates, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from robustagg.errors.kinds import InvalidLedger, NoRound, Unreadable
from robustagg.errors.words import shown
from robustagg.names import LONGEST_ID


def wrong_dimensions(shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"updates given as one array must be two-dimensional (clients, coordinates), got shape {shape}")


def not_flat(shape: tuple[int, ...], client: object) -> ValueError:
    return ValueError(f"client {client!r}: an update must have at least one dimension, got shape {shape}")


def flat_updates_only() -> ValueError:
    return ValueError("this function takes flat updates, an (n, d) array or n one-dimensional tensors; got nested ones")


def clients_twice() -> ValueError:
    return ValueError("updates are a mapping from client to update; do not give clients= as well")


def client_count(clients: int, updates: int) -> ValueError:
    return ValueError(f"{clients} client ids for {updates} updates")


def bad_client_id(client: object) -> TypeError:
    return TypeError(f"a client id must be a str or an int, got {client!r} ({type(client).__name__})")


def long_client_id(client: object) -> ValueError:
    return ValueError(
        f"a client id must have at most {LONGEST_ID} characters or hexadecimal digits, got {shown(client)}"
    )


def duplicate_client(client: object, first: int, second: int) -> ValueError:
    return ValueError(f"client id {client!r} is given twice, for updates {first} and {second}")


def _at(path: Sequence[object]) -> str:
    return f", at {'.'.join(map(str, path))!r}" if path else ""


def not_a_tensor(client: object, path: Sequence[object], value: object, fault: Exception | None = None) -> TypeError:
    why = "" if fault is None else f", which holds no values that can be read ({str(fault)[:120]})"
    return TypeError(f"client {client!r}{_at(path)}: expected a tensor, got {type(value).__name__}{why}")


def not_a_tree(client: object, fault: Exception) -> TypeError:
    return TypeError(
        f"client {client!r}: the update cannot be taken apart ({type(fault).__name__}: {str(fault)[:120]})"
    )


def unusable_tensor(client: object, path: Sequence[object], fault: Unreadable) -> TypeError:
    return TypeError(f"client {client!r}{_at(path)}: {fault}")


def has_no_values(what: str, instead: str) -> Unreadable:
    return Unreadable(f"{what} cannot be aggregated; send {instead}")


def masked(values: int) -> Unreadable:
    return Unreadable(f"a masked array in which {values} values are masked; an update has no gaps")


def is_frame(value: object) -> Unreadable:
    return Unreadable(f"a {type(value).__name__} has names for its values; send its to_numpy()")


def frame_of_updates(value: object) -> TypeError:
    return TypeError(f"updates are a {type(value).__name__}; give its to_numpy(), with a client in each row")


def not_updates(value: object) -> TypeError:
    return TypeError(
        f"updates must be an (n, d) array, n updates, or a mapping from client to update, got {shown(value)}"
    )


def not_client_ids(value: object) -> TypeError:
    return TypeError(f"clients must be a list of ids, one for each update, got {shown(value)}")


def not_buffers(value: object) -> TypeError:
    return TypeError(f"buffers must be a mapping from pattern to action, got {shown(value)}")


def bad_buffer(pattern: object, action: object, known: Sequence[str]) -> ValueError:
    return ValueError(f"buffers: {pattern!r} must be a pattern like '*.running_mean', and {action!r} one of {known}")


REFERENCE_UNKNOWN = (
    "{} takes differences from the global model: say reference=True if replies are whole parameters, and "
    "reference=False if they are differences"
)


def not_a_policy(value: object) -> TypeError:
    return TypeError(f"policy must be a robustagg.Policy, got {shown(value)}")


def buffers_twice() -> TypeError:
    return TypeError("buffers are part of the policy: give policy=Policy(buffers=...)")


def not_texts(name: str, value: object) -> TypeError:
    return TypeError(f"a policy's {name} must be a list of texts, none of them empty, got {shown(value)}")


def nothing_included(patterns: Sequence[str]) -> ValueError:
    return ValueError(f"include: no tensor of the model that may vote fits {list(patterns)}")


def no_such_tie(name: str) -> ValueError:
    return ValueError(f"ties: the model has no tensor {name!r}")


def other_ties(one: str, other: str) -> ValueError:
    return ValueError(f"ties: {one!r} and {other!r} have other shapes or dtypes")


def no_lora(names: Sequence[str]) -> ValueError:
    return ValueError(f"lora='product': the model has no factors lora_A, but {', '.join(map(repr, names))}")


def no_lora_pair(name: str, shape: object, other: object) -> ValueError:
    return ValueError(f"lora='product': {name!r} of shape {shape} has no factor B that fits, but one of shape {other}")


def not_over_files(what: str) -> ValueError:
    return ValueError(f"{what} is for tensors in memory: in files each tensor has bytes of its own")


def not_in_pieces(what: str) -> ValueError:
    return ValueError(
        f"{what} is for updates that are here, an executor's workers have pieces of them: bring the adapters here, "
        "which are small, and leave out the executor"
    )


def lost_update(client: object, fault: Exception) -> ValueError:
    return ValueError(f"client {client!r}: its update cannot be had: {fault}")


def lost_argument(name: str, fault: Exception) -> ValueError:
    return ValueError(f"{name} cannot be had: {fault}")


def other_policy(theirs: object, ours: object) -> InvalidLedger:
    return InvalidLedger(f"the rounds before were held under the policy {theirs}, this one would be under {ours}")


def may_be_weights(client: object, path: Sequence[object], dtype: str, shape: tuple[int, ...]) -> TypeError:
    name = ".".join(map(str, path))
    return TypeError(
        f"client {client!r}{_at(path)}: a tensor of {dtype} and shape {shape} may be quantised weights, whose integers "
        "cannot be aggregated, and the clients do not agree on it; convert it to a floating dtype, or say what the "
        f"result shall hold: buffers={{{name!r}: 'median'}}, or 'max', 'min', 'first'"
    )


def no_agreement(path: Sequence[object], sent: Sequence[tuple[object, object]]) -> NoRound:
    told = ", ".join(f"client {client!r} sent {shown(value)}" for client, value in sent[:5])
    hint = "; a list of integers is none, numbers to aggregate are floats" if isinstance(sent[0][1], list) else ""
    return NoRound(f"at {'.'.join(map(str, path))!r}: the clients do not agree on what is no tensor: {told}{hint}")


def other_value(
    client: object, path: Sequence[object], value: object, reference: object, expected: object
) -> ValueError:
    return ValueError(f"client {client!r}{_at(path)}: {shown(value)}, but client {reference!r} sent {shown(expected)}")


def _has(reference: object) -> str:
    """What an update is compared with: another client's, or, without a name, the model."""
    return "the model has" if reference is None else f"client {reference!r} sent"


def other_kind(client: object, path: Sequence[object], kind: object, reference: object, expected: object) -> TypeError:
    return TypeError(f"client {client!r}{_at(path)}: {kind}, but {_has(reference)} {expected}")


def nobody_usable(faults: Sequence[Exception]) -> Exception:
    """What is said where nobody's update can be used."""
    if len(faults) == 1:
        return faults[0]
    kind = TypeError if all(isinstance(fault, TypeError) for fault in faults) else ValueError
    return kind(f"no client's update can be used: {'; '.join(map(str, faults[:5]))}")


def wrong_dtype(client: object, path: Sequence[object], dtype: object) -> TypeError:
    return TypeError(
        f"client {client!r}{_at(path)}: dtype {dtype} cannot be aggregated; "
        "updates must be float8, float16, bfloat16, float32 or float64"
    )


def only_integers(client: object, dtype: object) -> TypeError:
    return TypeError(f"client {client!r}: the update holds integers only ({dtype}); convert it to a floating dtype")


def mixed_dtypes(
    client: object, path: Sequence[object], dtype: object, reference: object, expected: object
) -> TypeError:
    return TypeError(f"client {client!r}{_at(path)}: dtype {dtype}, but {_has(reference)} {expected}")


def ragged(
    client: object, path: Sequence[object], shape: tuple[int, ...], reference: object, expected: tuple[int, ...]
) -> ValueError:
    return ValueError(f"client {client!r}{_at(path)}: shape {shape}, but {_has(reference)} {expected}")


def other_structure(
    client: object, missing: Sequence[Sequence[object]], extra: Sequence[Sequence[object]], reference: object
) -> ValueError:
    missing, extra = sorted(missing, key=str), sorted(extra, key=str)
    names = [f"lacks {'.'.join(map(str, path))!r}" for path in missing[:3]]
    names += [f"adds {'.'.join(map(str, path))!r}" for path in extra[:3]]
    whose = "the model" if reference is None else f"client {reference!r}"
    return ValueError(f"client {client!r}: not the structure of {whose}: {', '.join(names)}")
