"""``robustagg aggregate``: one round over files."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from robustagg import Result, Rule, aggregate_files, errors
from robustagg.cli import arguments, screen
from robustagg.engine.ray import Ray
from robustagg.files import budget, senders
from robustagg.files.output import check as check_output
from robustagg.files.output import overwritten
from robustagg.ledger.reading import begun
from robustagg.memory.publish import Draft
from robustagg.rules.base import CERTIFY

_FILES = (
    "One file or folder per client: .safetensors, .bin, or their index, .npz, .npy, .pt, .pth, .h5, .hdf5 or .keras. "
    "The name without the suffix is the client's id."
)
_LEDGER = (
    "Keep what the rule remembers, and who got which weight and why, here; made if missing. Required by rules that "
    "remember clients, as the default, reputation, does."
)
_RULE = "How to aggregate, as in 'nnm(f=1) + median'; 'robustagg rules' lists the names."
_PARAM = "A parameter of the (last) rule, f=2 or window=none; repeatable. A ledger keeps those that it was made with."
_ROUND = "Number of the round; without it, the ledger's last one plus 1."
_IDS = "A client's id instead of its file's name; once per file, in the order of the files."
_COUNTS = "JSON object, client to number of training samples, to weigh by."
_CERTIFY = "Say how far the update can be from the coordinate-wise median; of the rules reputation does."
_REFERENCE = (
    "The global model's file, where the clients' files hold whole models: rules that take differences get them, "
    "and the update is a whole model again."
)
_RAY = (
    "Have a Ray cluster do the work: HOST:PORT, 'auto' for this machine's, 'local' for a new one. All its machines see "
    "the files and the update's folder under the same paths; --max-memory is then what each task may take."
)
_STRICT = (
    "Fail on an unusable file; otherwise its client is left out of the round. For a NaN in one: -p nonfinite=raise."
)

Files: TypeAlias = Annotated[list[Path], typer.Argument(help=_FILES, show_default=False, **arguments.READ)]
Out: TypeAlias = Annotated[Path, typer.Option("--out", "-o", help="Write the update here.", **arguments.WRITTEN)]
Ledger: TypeAlias = Annotated[Path | None, typer.Option("--ledger", "-l", help=_LEDGER, **arguments.WRITTEN)]
RuleName: TypeAlias = Annotated[str, typer.Option("--rule", "-r", metavar="NAME", help=_RULE)]
Parameters: TypeAlias = Annotated[list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help=_PARAM)]
Round: TypeAlias = Annotated[int | None, typer.Option("--round", min=0, help=_ROUND)]
Ids: TypeAlias = Annotated[list[str] | None, typer.Option("--id", help=_IDS)]
Counts: TypeAlias = Annotated[
    Path | None, typer.Option("--sample-counts", exists=True, dir_okay=False, help=_COUNTS, **arguments.READ)
]
Reference: TypeAlias = Annotated[
    Path | None, typer.Option("--reference", exists=True, help=_REFERENCE, **arguments.READ)
]
Memory: TypeAlias = Annotated[str, typer.Option("--max-memory", help="Memory to work in.")]
Cluster: TypeAlias = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help=_RAY)]
Certify: TypeAlias = Annotated[bool, typer.Option("--certify", help=_CERTIFY)]
Strict: TypeAlias = Annotated[bool, typer.Option("--strict", help=_STRICT)]


def aggregate(
    files: Files,
    out: Out,
    ledger: Ledger = None,
    rule: RuleName = "reputation",
    param: Parameters = None,
    round: Round = None,
    ids: Ids = None,
    sample_counts: Counts = None,
    reference: Reference = None,
    max_memory: Memory = "1 GiB",
    ray: Cluster = None,
    strict: Strict = False,
    certify: Certify = False,
    as_json: screen.Json = False,
) -> None:
    """Turn one round of clients' update files into one update.

    The ledger remembers the clients from round to round, where the rule does. The update and the ledger's new round
    appear when the round is complete; a round that fails or is stopped leaves both as they were.
    """
    made, asked = arguments.made_rule(rule, param or ())
    options: dict[str, Any] = {
        "ids": ids or None,
        "round": round,
        "strict": strict,
        "max_memory": max_memory,
        "reference": reference,
        "sample_counts": None if sample_counts is None else arguments.sample_counts(sample_counts),
        **({CERTIFY: True} if certify else {}),
    }
    with arguments.usage():
        if ledger is None and made.remembers and made.by_client:
            raise errors.ledger_needed(rule)
        _check(made, files, out, ledger, options)
    is_new = ledger is not None and not begun(ledger)
    if ledger is not None and not is_new:
        made = _continued(made, ledger, asked)
        if getattr(made, "rescale", None) == "paper" and "rescale" not in asked[-1]:
            screen.warn(f"{ledger} was made with rescale = 'paper', which one client can steer; a new ledger is not")
    with nullcontext() if ray is None else Ray(ray) as cluster:
        result = _aggregated(made, files, out, ledger, {**options, "executor": cluster})
    with screen.afterwards():
        if as_json:
            screen.say_json({**result.to_dict(), "out": str(out), "ledger": None if ledger is None else str(ledger)})
            return
        _show(result)
        screen.say(f"Update: {out}", *([] if ledger is None else [f"Ledger: {ledger}{' (new)' if is_new else ''}"]))


def _check(made: Rule[Any], files: list[Path], out: Path, ledger: Path | None, options: dict[str, Any]) -> None:
    """What can be told before any work to be none that is possible; raises then."""
    if CERTIFY in options and CERTIFY not in made.extras:
        raise errors.cannot_certify(type(made).__name__)
    if options["sample_counts"] is not None and not made.weighs_samples:
        raise errors.sample_counts_unused(type(made).__name__)
    budget.parse(options["max_memory"])
    senders(files, options["ids"])
    reference = options["reference"]
    read = [str(path) for path in (*files, reference) if path is not None]
    check_output(out, read)
    if ledger is not None and overwritten(ledger, [str(out), *read]):
        raise errors.ledger_is_another_file(ledger)


def _continued(made: Rule[Any], ledger: Path, asked: list[dict[str, Any]]) -> Rule[Any]:
    """The rule that a ledger remembers; what each member was asked for must not differ from its parameters."""
    rule = type(made).load(ledger)
    remembered = _members(rule)
    theirs, ours = ([member.get("rule") for member in members] for members in (remembered, _members(made)))
    if theirs != ours:
        raise errors.other_parameters([("members", theirs, ours)])
    given = ((member, k, v) for member, own in zip(remembered, asked, strict=True) for k, v in own.items())
    differences = [(k, member[k], v) for member, k, v in given if member[k] != v]
    if differences:
        raise errors.other_parameters(differences)
    return rule


def _members(rule: Rule[Any]) -> list[dict[str, Any]]:
    """The parameters of each member of a pipeline, or of the one rule."""
    members: list[dict[str, Any]] = rule.parameters.get("members", [rule.parameters])
    return members


def _aggregated(rule: Rule[Any], files: list[Path], out: Path, ledger: Path | None, options: dict[str, Any]) -> Result:
    """The round. The update gets its name while the ledger's save is open: stopped anywhere, it can be run again."""
    with screen.progress() as bars, Draft(out) as draft:
        bar = bars.add_task("Aggregating", note="")

        def progress(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        result = aggregate_files(rule, files, draft.path, progress=progress, **options)
        with nullcontext() if ledger is None else rule.saving(ledger):
            draft.publish()
    return result


def _show(result: Result) -> None:
    admitted = int(result.admitted.sum())
    screen.say(f"{result.rule}, round {result.round}: {admitted} of {len(result.clients)} clients admitted", "")
    found = result.to_dict()
    columns = {
        "client": found["clients"],
        "admitted": found["admitted"],
        "accepted": found["accepted"],
        "rejected": found["rejected"],
        "reputation": found["reputation"],
        "weight": found["weights"],
        "reason": found["reasons"],
    }
    shown = {name: values for name, values in columns.items() if values is not None}
    screen.table(list(shown), zip(*shown.values(), strict=True))
    screen.say("")
    if result.certificate is not None:
        l2, largest = result.certificate.l2, result.certificate.largest
        screen.say(f"From the median the update is at most {l2:.4g}, at no coordinate more than {largest:.4g}", "")
