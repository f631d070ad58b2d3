"""Files of updates: which are asked for, and where results go."""

from __future__ import annotations

from collections.abc import Iterable

from robustagg.errors.kinds import Unreadable


def unreadable(path: object, fault: OSError) -> OSError:
    """A file of the caller's own; of the fault's kind."""
    return type(fault)(f"{path} cannot be read: {fault.strerror or fault}")


def bad_memory(size: object) -> ValueError:
    return ValueError(f"max_memory must be a positive number of bytes, or a size like '512 MiB', got {size!r}")


def too_little_memory(memory: int, least: int, clients: int) -> ValueError:
    return ValueError(f"max_memory is {memory} bytes; a round of this model with {clients} clients needs {least}")


def headers_too_long(clients: int, excess: float) -> ValueError:
    return ValueError(
        f"the headers of {clients} clients' files are longer than max_memory allows: it must be "
        f"{excess + 0.1:.1f} times as large"
    )


def not_a_list_of_paths(paths: object) -> TypeError:
    return TypeError(f"paths must be a list of paths, one for each client, got {paths!r}")


def ids_twice() -> ValueError:
    return ValueError("paths is a mapping from client to path, so leave out ids=")


def same_stem(stem: str, first: str, second: str) -> ValueError:
    return ValueError(f"{first} and {second} would both be client {stem!r}; say who sent what with ids= (--id)")


def unknown_output(path: object, known: Iterable[str]) -> ValueError:
    return ValueError(f"cannot write {path}: its suffix must be one of {', '.join(known)}")


def output_is_input(path: object) -> ValueError:
    return ValueError(f"{path} is one of the clients' files, and would be overwritten")


def not_an_empty_folder(path: object) -> ValueError:
    return ValueError(f"{path} is there already, and not an empty folder: say another, or remove it")


def no_file_name(client: object) -> ValueError:
    return ValueError(f"client id {client!r} cannot be the name of a file")


def same_file_name(first: object, second: object) -> ValueError:
    return ValueError(f"the files of clients {first!r} and {second!r} would have the same name")


def single_tensor_only(path: object, tensors: int) -> ValueError:
    return ValueError(f"cannot write {path}: a .npy file holds one tensor, and this model has {tensors}")


def reserved_name(path: object, name: str) -> ValueError:
    return ValueError(f"cannot write {path}: the format keeps the name {name!r} for itself, and a tensor has it")


def output_is_folder(path: object) -> ValueError:
    return ValueError(f"{path} is a folder: say the name of a file")


def unusable_file(client: object, path: str, fault: Unreadable) -> ValueError:
    return ValueError(f"client {client!r}, file {path}: {fault}")


def unusable_reference(path: object, fault: Exception) -> ValueError:
    return ValueError(f"the reference {path} cannot be used: {fault}")
