"""Every error text of the package, and the one signal that layers pass to each other.

Each function returns the exception for its caller to raise, so that a traceback ends where the fault was found.
A text names the client and the numbers; whoever reads it at night should need no debugger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class NonFinite(Exception):
    """A kernel met a NaN or an infinity. The engine finds out whose it is and runs the round again without them."""


class Unusable(Exception):
    """Clients' updates turned out to be unusable in the middle of a round. The engine begins it again without them."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class NoRound(ValueError):
    """No round can be held with the clients that are left."""


class Unreadable(Exception):
    """A file is not what an update has to be; its text says why. Its client is left out, or the caller told."""


class BackendUnavailable(ImportError):
    """A compute backend was asked for by name and cannot be loaded."""


class InvalidLedger(ValueError):
    """A file is not a ledger, or not one that this rule may continue."""


# --- backends and threads -------------------------------------------------------------------------------------------


def unknown_backend(name: object, known: Sequence[str]) -> ValueError:
    return ValueError(f"unknown backend {name!r}; choose one of {', '.join(known)}")


def backend_unavailable(name: str, cause: ImportError) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} is not available here: {cause}")


def bad_thread_count(count: object) -> ValueError:
    return ValueError(f"the number of threads must be an integer of at least 1, got {count!r}")


# --- parameters -----------------------------------------------------------------------------------------------------


def out_of_range(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} must be {allowed}, got {value!r}")


def not_one_of(name: str, value: object, options: Iterable[str]) -> ValueError:
    return ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")


def exclusive(first: str, second: str) -> ValueError:
    return ValueError(f"give {first} or {second}, not both")


# --- clients and their updates --------------------------------------------------------------------------------------


def no_clients() -> NoRound:
    return NoRound("no updates: a round needs at least one client")


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
    return Unreadable(f"a {type(value).__name__} has names for its rows and columns; send its to_numpy()")


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


def other_policy(theirs: object, ours: object) -> InvalidLedger:
    return InvalidLedger(f"the rounds before were held under the policy {theirs}, this one would be under {ours}")


def may_be_weights(client: object, path: Sequence[object], dtype: str, shape: tuple[int, ...]) -> TypeError:
    name = ".".join(map(str, path))
    return TypeError(
        f"client {client!r}{_at(path)}: a tensor of {dtype} and shape {shape} may be quantised weights, whose integers "
        "cannot be aggregated, and the clients do not agree on it; convert it to a floating dtype, or say what the "
        f"result shall hold: buffers={{{name!r}: 'median'}}, or 'max', 'min', 'first'"
    )


def no_agreement(path: Sequence[object], sent: Sequence[tuple[object, object]]) -> ValueError:
    told = ", ".join(f"client {client!r} sent {shown(value)}" for client, value in sent[:5])
    return ValueError(f"at {'.'.join(map(str, path))!r}: the clients do not agree on what is no tensor: {told}")


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


def non_finite_clients(clients: Sequence[object]) -> ValueError:
    return ValueError(f"NaN or infinite values in the update of {_listed(clients)}")


def non_finite_memory(rule: str) -> InvalidLedger:
    return InvalidLedger(
        f"NaN or infinite values in what {rule} remembers, and in nobody's update: its state is damaged"
    )


def non_finite_reference(name: str) -> ValueError:
    return ValueError(f"NaN or infinite values in {name}")


def nobody_admitted(reasons: Iterable[tuple[object, str]]) -> NoRound:
    told = "; ".join(f"client {client!r}: {reason}" for client, reason in list(reasons)[:5])
    return NoRound(f"no client's update can be used: {told}")


def _listed(clients: Sequence[object]) -> str:
    names = ", ".join(repr(client) for client in clients[:8])
    more = f" and {len(clients) - 8} more" if len(clients) > 8 else ""
    return f"client{'s' if len(clients) > 1 else ''} {names}{more}"


# --- a round --------------------------------------------------------------------------------------------------------


def bad_round(round: object) -> TypeError:
    return TypeError(f"round must be a non-negative integer, got {round!r}")


def round_not_later(round: int, last: int) -> ValueError:
    return ValueError(f"round {round} is not later than the last completed round, {last}")


def sample_count_length(got: int, clients: int) -> ValueError:
    return ValueError(f"{got} sample counts for {clients} clients")


def sample_count_missing(client: object) -> ValueError:
    return ValueError(f"no sample count for client {client!r}")


def bad_sample_count(client: object, count: object) -> ValueError:
    return ValueError(f"client {client!r}: a sample count must be finite and not negative, got {shown(count)}")


def sample_count_no_number(client: object, count: object) -> TypeError:
    return TypeError(f"client {client!r}: a sample count must be a number, got {shown(count)}")


def no_sample_counts(counts: object) -> TypeError:
    return TypeError(
        f"sample_counts must be a number for each client, in their order, or a mapping from client to number, "
        f"got {shown(counts)}"
    )


def no_samples() -> NoRound:
    return NoRound("the sample counts of all admitted clients are zero")


def sample_counts_unused(rule: str) -> ValueError:
    return ValueError(f"{rule} does not weigh by sample counts; leave sample_counts out")


def unknown_argument(rule: str, name: str) -> TypeError:
    return TypeError(f"{rule}.aggregate() got an unexpected keyword argument {name!r}")


def cannot_certify(rule: str) -> TypeError:
    return TypeError(f"{rule} certifies nothing; of the rules Reputation does (certify=True)")


def missing_argument(rule: str, name: str) -> TypeError:
    return TypeError(f"{rule}.aggregate() needs the keyword argument {name!r}")


def evidence_does_not_add(rule: str, evidence: object) -> TypeError:
    kind = type(evidence).__name__
    return TypeError(f"{rule}.observe returned evidence of type {kind}, which + does not add up but puts end to end")


def too_few_clients(rule: str, admitted: int, lost: int, condition: str) -> NoRound:
    left_out = f", {lost} left out" if lost else ""
    return NoRound(f"{rule} needs {condition}; {admitted} clients are admitted in this round{left_out}")


# --- distance rules and pre-aggregation -----------------------------------------------------------------------------


def reference_missing(client: object) -> ValueError:
    return ValueError(f"client {client!r}, the rule's reference, takes no part in this round")


def other_size(before: int, now: int) -> ValueError:
    return ValueError(f"the model has {now} coordinates, but had {before} in the round before")


def bad_pipeline(fault: str) -> TypeError:
    return TypeError(f"a pipeline is pre-aggregations and then one rule: {fault}")


def rows_without_clients(rule: str, member: str) -> ValueError:
    return ValueError(f"{rule} must know whose row is whose, but the rows that {member} makes are no single client's")


# --- saved state ----------------------------------------------------------------------------------------------------


def vector_cut_short(name: str, end: int) -> InvalidLedger:
    return InvalidLedger(f"{name} ends at byte {end}, before a vector that the rule remembers: it was written to since")


def no_vector(name: object) -> ValueError:
    return ValueError(f"member {name!r} is no vector of numbers as they were saved")


def bad_archive(fault: str) -> ValueError:
    return ValueError(f"an archive that no rule has written: {fault}")


def bad_state(fault: object) -> InvalidLedger:
    return InvalidLedger(f"this is not the state of a rule: {type(fault).__name__}: {str(fault)[:200]}")


def other_rule(expected: str, got: object) -> InvalidLedger:
    return InvalidLedger(f"this is the state of {shown(got)}, not of {expected!r}")


def unknown_component(label: object) -> InvalidLedger:
    return InvalidLedger(f"no rule {shown(label)} is known here; import the module that defines it first")


def not_a_rule(label: object) -> ValueError:
    return ValueError(f"{label!r} is no rule")


def unknown_module(label: object, missing: ImportError) -> ValueError:
    return ValueError(f"{label!r} cannot be imported: {missing}")


def other_parameters(differences: Iterable[tuple[str, object, object]]) -> InvalidLedger:
    told = ", ".join(f"{name} = {theirs!r} (here {ours!r})" for name, theirs, ours in differences)
    return InvalidLedger(
        f"written with other parameters: {told}; to continue it, make the rule with those (load() does), "
        "or begin a new one"
    )


# --- the ledger, in memory and on disk ------------------------------------------------------------------------------


def unknown_client(client: object) -> LookupError:
    return LookupError(f"client {client!r} has never taken part in a round")


def bad_ledger_state(fault: str) -> InvalidLedger:
    return InvalidLedger(f"this is not the state of a ledger: {fault}")


def no_ledger(path: object) -> FileNotFoundError:
    return FileNotFoundError(f"there is no ledger at {path}")


def not_a_ledger(path: object) -> InvalidLedger:
    return InvalidLedger(f"{path} is not a ledger")


def damaged_ledger(path: object, fault: object) -> InvalidLedger:
    return InvalidLedger(f"{path} is not a ledger, or a damaged one: {fault}")


def newer_ledger(path: object, version: int, known: int) -> InvalidLedger:
    return InvalidLedger(f"{path} was written by a newer robustagg (format {version}; this one reads up to {known})")


def unusable_ledger(path: object, fault: object) -> OSError:
    return OSError(f"the ledger {path} cannot be used now: {fault}")


def ledger_written_since(path: object, theirs: int | None, ours: int | None) -> InvalidLedger:
    return InvalidLedger(
        f"the ledger {path} (last round: {theirs}) was written by someone else since this memory "
        f"(last round: {ours}) was loaded from it or saved to it; load it again, or save to a new file"
    )


def bad_trail(round: object) -> ValueError:
    return ValueError(f"a line of round {shown(round)} is none that a rule has written")


# --- attacks and simulation -----------------------------------------------------------------------------------------


def honest_shape(shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"the honest rows must be two-dimensional (clients, coordinates), got shape {shape}")


def too_few_honest(rows: int, needed: int) -> ValueError:
    return ValueError(f"this attack needs at least {needed} honest rows, got {rows}")


def goal_shape(shape: tuple[int, ...], d: int) -> ValueError:
    return ValueError(f"goal must be one value per coordinate, shape ({d},), got {shape}")


def poisoned_shape(shape: tuple[int, ...], d: int) -> ValueError:
    return ValueError(f"the poisoned rows must have shape (attackers, {d}), as the honest ones, got {shape}")


def nobody_honest(clients: int, f: int) -> ValueError:
    return ValueError(f"{f} attackers of {clients} clients leave nobody honest to learn from")


def unknown_option(attack: str, option: str, known: Sequence[str]) -> ValueError:
    return ValueError(f"attack {attack!r} has no option {option!r}; it has {', '.join(known) or 'none'}")


def one_class(count: int) -> ValueError:
    return ValueError(f"there must be two classes at least to tell apart, got {count}")


def samples_and_labels(x: tuple[int, ...], y: tuple[int, ...]) -> ValueError:
    return ValueError(f"there must be as many labels as samples, (samples,) and (samples, ...), got {y} and {x}")


def samples_not_finite(sample: int) -> ValueError:
    return ValueError(f"sample {sample} holds a value that is NaN or infinite")


def clients_without_samples(clients: int, alpha: float, draws: int) -> ValueError:
    return ValueError(
        f"in {draws} unbalanced draws with alpha = {alpha:g} one of {clients} clients got no sample each time: "
        "take fewer clients or a larger alpha"
    )


def no_data(path: object) -> ValueError:
    return ValueError(f"there are no data at {path}")


def not_an_archive(path: object) -> ValueError:
    return ValueError(f"{path} is neither a folder nor a zip or tar archive")


def arrays_missing(path: object, needed: Iterable[str], found: Iterable[str]) -> ValueError:
    return ValueError(f"{path} must hold the arrays {', '.join(needed)}, it holds {', '.join(found) or 'none'}")


def not_newsgroups(path: object, missing: Sequence[str]) -> ValueError:
    return ValueError(
        f"{path} does not hold 20 Newsgroups as 20news-bydate-train/GROUP/ID and 20news-bydate-test/GROUP/ID: "
        f"there is no {', '.join(missing) or 'test set'}"
    )


def ragged_table(path: object, line: int, cells: int, columns: int) -> ValueError:
    return ValueError(f"{path}, row {line}: {cells} cells under a header of {columns} columns")


def small_table(path: object, rows: int, columns: int) -> ValueError:
    return ValueError(f"{path} must have a header, two columns and 8 rows at least, it has {columns} and {rows}")


def no_images(path: object, suffixes: Iterable[str]) -> ValueError:
    return ValueError(f"{path} holds no images ({', '.join(suffixes)}) in a folder or archive per class")


def bad_study(source: object, fault: str) -> ValueError:
    return ValueError(f"{source}: {fault}")


def study_exists(path: object) -> FileExistsError:
    return FileExistsError(f"{path} holds results already: go on with --resume (resume=True), or name another folder")


def no_study(folder: object) -> ValueError:
    return ValueError(f"there are no results of a study in {folder}")


def nothing_to_compare(folder: object) -> ValueError:
    return ValueError(f"no training of the study in {folder} has succeeded yet: there is nothing to compare")


def no_image_task(model: str, task: str) -> ValueError:
    return ValueError(f"the model {model!r} learns images, and the samples of {task!r} are none")


def converter_needs(suffix: str, package: str, version: str, install: str) -> ImportError:
    return ImportError(f"{suffix} files are read by {package} {version} or later: pip install '{install}'")


def optional_package(package: str, extra: str) -> ImportError:
    return ImportError(f"this needs {package}, which is not installed: pip install 'robustagg[{extra}]'")


# --- rules of the second wave ----------------------------------------------------------------------------------------


def measured_rows_must_be_sent(members: Sequence[str]) -> TypeError:
    return TypeError(
        f"a pipeline of {', '.join(members)}: Synthesis must come first, and be the only one that measures rows"
    )


def bad_record(name: str, allowed: str) -> ValueError:
    return ValueError(f"{name!r} of a rule's memory must be {allowed}")


# --- the command line -----------------------------------------------------------------------------------------------


def not_a_line_of_rules(text: str) -> ValueError:
    return ValueError(f"{text!r} is not of the form NAME, NAME(PARAMETER=VALUE, ...) or several of these joined by +")


def not_an_assignment(text: str) -> ValueError:
    return ValueError(f"{text!r} is not of the form NAME=VALUE")


def unknown_parameter(rule: str, name: str, known: Mapping[str, object]) -> ValueError:
    told = ", ".join(f"{name}={default}" for name, default in known.items())
    return ValueError(f"the rule {rule} has no parameter {name!r}; it has {told}")


def parameter_needed(rule: str, name: str) -> ValueError:
    return ValueError(f"the rule {rule} needs its parameter {name}: give {name}=VALUE")


def ledger_needed(rule: str) -> ValueError:
    return ValueError(f"the rule {rule} remembers the clients: say where with --ledger, or choose another --rule")


def ledger_unused(rule: str) -> ValueError:
    return ValueError(f"the rule {rule} remembers nothing: leave out --ledger")


def ledger_is_another_file(path: object) -> ValueError:
    return ValueError(f"--ledger {path} is the update's file or one of the clients', and would be overwritten")


def no_folder(path: object) -> ValueError:
    return ValueError(f"there is no folder {path}")


def not_writable(path: object) -> ValueError:
    return ValueError(f"{path} cannot be written: permission denied, or a read-only file system")


def bad_sample_counts(path: object, fault: str) -> ValueError:
    return ValueError(f"{path} must hold a JSON object, client to number of samples: {fault}")


def unrecorded(path: object, client: object | None, round: int | None) -> ValueError:
    asked = [f"client {client!r}"] * (client is not None) + [f"round {round}"] * (round is not None)
    return ValueError(f"the ledger {path} has no record of {' in '.join(asked)}")


# --- files of updates -----------------------------------------------------------------------------------------------


def bad_memory(size: object) -> ValueError:
    return ValueError(f"max_memory must be a positive number of bytes, or a size like '512 MiB', got {size!r}")


def too_little_memory(memory: int, least: int, clients: int) -> ValueError:
    return ValueError(f"max_memory is {memory} bytes; a round of this model with {clients} clients needs {least}")


def not_a_list_of_paths(paths: object) -> TypeError:
    return TypeError(f"paths must be a list of paths, one for each client, got {paths!r}")


def ids_twice() -> ValueError:
    return ValueError("paths is a mapping from client to path, so leave out ids=")


def same_stem(stem: str, first: str, second: str) -> ValueError:
    return ValueError(f"{first} and {second} would both be client {stem!r}; say who sent what with ids=")


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


def rule_expected(got: object) -> TypeError:
    return TypeError(f"aggregate_files() runs rules, got {shown(got)}; a pre-aggregation runs by preaggregate_files()")


def preaggregation_expected(got: object) -> TypeError:
    return TypeError(f"preaggregate_files() runs pre-aggregations, got {shown(got)}; a rule runs by aggregate_files()")


def single_tensor_only(path: object, tensors: int) -> ValueError:
    return ValueError(f"cannot write {path}: a .npy file holds one tensor, and this model has {tensors}")


def reserved_name(path: object, name: str) -> ValueError:
    return ValueError(f"cannot write {path}: the format keeps the name {name!r} for itself, and a tensor has it")


def output_is_folder(path: object) -> ValueError:
    return ValueError(f"{path} is a folder: say the name of a file")


def unusable_file(client: object, path: str, fault: Unreadable) -> ValueError:
    return ValueError(f"client {client!r}, file {path}: {fault}")


def shown(value: object) -> str:
    """What a stranger wrote, at a length that spares the reader."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def cannot_open(fault: Exception) -> Unreadable:
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


def header_too_long(length: int, limit: int) -> Unreadable:
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


def misplaced_in_shards(name: str, shard: str) -> Unreadable:
    return Unreadable(f"tensor {shown(name)} is not as the index has it, in {shown(shard)}")


def not_converted(fault: str) -> Unreadable:
    return Unreadable(f"cannot be read: {fault[:200]}")


def converter_stopped(fault: str) -> Unreadable:
    return Unreadable(f"cannot be read within the limits set for strangers' files: {fault}")


def worker_gone(package: str) -> OSError:
    return OSError(f"the process that reads files with {package} has ended: does 'import {package}' work?")


def unusable_reference(path: object, fault: Exception) -> ValueError:
    return ValueError(f"the reference {path} cannot be used: {fault}")


# --- truth discovery ------------------------------------------------------------------------------------------------


def no_answers(dropped: int) -> ValueError:
    return ValueError(f"no answers are left: all {dropped} were dropped" if dropped else "there are no answers")


def not_answers(got: object) -> TypeError:
    return TypeError(
        "answers are a table with columns, a mapping of columns, (items, workers, values), or the path of a CSV or "
        f"Parquet file; got {type(got).__name__}"
    )


def no_column(name: str, known: Iterable[object]) -> ValueError:
    return ValueError(f"there is no column {name!r}; there are {', '.join(repr(column) for column in known)}")


def uneven_columns(items: int, workers: int, values: int) -> ValueError:
    return ValueError(f"columns of different lengths: {items} items, {workers} workers, {values} values")


def bad_answer_id(what: str, row: int, got: object) -> TypeError:
    return TypeError(f"row {row}: the {what} must be a str or an int, got {got!r} ({type(got).__name__})")


def not_a_number(row: int, worker: object, item: object, value: object) -> ValueError:
    return ValueError(f"row {row}: worker {worker!r} answered item {item!r} with {value!r}, which is no number")


def non_finite_answer(row: int, worker: object, item: object, value: object) -> ValueError:
    return ValueError(f"row {row}: worker {worker!r} answered item {item!r} with {value}, which is not finite")


def answered_twice(worker: object, item: object, first: int, second: int) -> ValueError:
    return ValueError(f"worker {worker!r} answered item {item!r} twice, in rows {first} and {second}")


def too_many_answers(count: int) -> ValueError:
    return ValueError(f"{count} answers are more than the 2147483647 that fit")


def other_kind_of_answers(method: str, expected: str) -> ValueError:
    return ValueError(f"{method} takes {expected} answers")


def unknown_item(item: object) -> ValueError:
    return ValueError(f"nobody has answered item {item!r}")


def unknown_table(path: object) -> ValueError:
    return ValueError(f"{path} is no table of answers: its suffix must be .csv or .parquet")


def no_attack_on(what: str) -> ValueError:
    return ValueError(f"this attack is on numbers, not on {what}")


def worker_exists(worker: object) -> ValueError:
    return ValueError(f"worker {worker!r} has answered already")


def different_items() -> ValueError:
    return ValueError("two results of the same items are needed, or the items to compare")


def other_rules_ledger(path: object, rule: str) -> InvalidLedger:
    return InvalidLedger(f"the ledger {path} was not written by truth.{rule}")
