"""``robustagg truth``: what a crowd's answers are worth, and what poisons them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer

from robustagg import errors, truth
from robustagg.cli import arguments, screen
from robustagg.files.output import overwritten
from robustagg.ledger.reading import begun
from robustagg.truth import compare as comparing
from robustagg.truth import pictures, tables, writing

app = typer.Typer(
    no_args_is_help=True, help="Truth discovery: what a crowd's answers are worth, and what poisons them."
)


def _table(path: Path | None) -> Path | None:
    """A table that is going to be written: better refused now than after the work."""
    arguments.in_a_folder(path)
    if path is not None:
        with arguments.usage():
            writing.check_suffix(path)
    return path


_USUAL = f"[default: {', '.join(comparing.COMPARED)}]"

TABLE: dict[str, Any] = {**arguments.WRITTEN, "callback": _table}

Answers: TypeAlias = Annotated[
    Path, typer.Argument(help="A CSV or Parquet file, an answer a row.", show_default=False, **arguments.READ)
]
Item: TypeAlias = Annotated[str, typer.Option("--item", help="The column of the items.")]
Worker: TypeAlias = Annotated[str, typer.Option("--worker", help="The column of the workers.")]
Value: TypeAlias = Annotated[str, typer.Option("--value", help="The column of the answers.")]
Categorical: TypeAlias = Annotated[bool, typer.Option("--categorical", help="Answers are categories, not numbers.")]
MethodName: TypeAlias = Annotated[
    str, typer.Option("--method", "-m", help=f"{', '.join(comparing.NAMES)}, and majority of categories.")
]
Attacked: TypeAlias = Annotated[str, typer.Option("--method", "-m", help=f"{', '.join(comparing.NAMES)}.")]
Params: TypeAlias = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the method; repeatable.")
]
Gold: TypeAlias = Annotated[
    Path | None, typer.Option("--gold", help="A CSV or Parquet file of true values.", **arguments.READ)
]
GoldValue: TypeAlias = Annotated[str | None, typer.Option("--gold-value", help="Its column of values.")]
Out: TypeAlias = Annotated[Path | None, typer.Option("--out", "-o", help="The estimates, .csv or .parquet.", **TABLE)]
Weights: TypeAlias = Annotated[
    Path | None, typer.Option("--weights", help="The workers' weights, .csv or .parquet.", **TABLE)
]
Ledger: TypeAlias = Annotated[
    Path | None,
    typer.Option("--ledger", help="Reputations over batches, with --method reputation.", **arguments.WRITTEN),
]
Low: TypeAlias = Annotated[
    float | None, typer.Option("--low", help="Least answer allowed; by default the least there is.")
]
High: TypeAlias = Annotated[float | None, typer.Option("--high", help="Largest; by default the largest there is.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", "-s", help="Of all draws.")]
AttackName: TypeAlias = Annotated[str, typer.Option("--attack", "-a", help="random, maximum or optimised.")]
Workers: TypeAlias = Annotated[int, typer.Option("--malicious", help="How many malicious workers.")]
Knowledge: TypeAlias = Annotated[float, typer.Option("--knowledge", help="Share of honest workers that they know.")]
Poisoned: TypeAlias = Annotated[Path, typer.Option("--out", "-o", help="All answers, .csv or .parquet.", **TABLE)]
Shares: TypeAlias = Annotated[str, typer.Option("--malicious", help="Shares of all workers, FIRST:LAST:STEP.")]
Methods: TypeAlias = Annotated[
    list[str] | None, typer.Option("--method", "-m", help=f"Repeatable: {', '.join(comparing.NAMES)}. {_USUAL}")
]
Attacks: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--attack", "-a", help=f"Repeatable: {', '.join(comparing.ATTACKS)}. [default: all]"),
]
Seeds: TypeAlias = Annotated[int, typer.Option("--seeds", min=1, help="Over how many seeds cells are averaged.")]
Steps: TypeAlias = Annotated[int, typer.Option("--steps", min=1, help="Of the attacks that search.")]
Picture: TypeAlias = Annotated[Path, typer.Option("--out", "-o", **arguments.DRAWN)]


@app.command(cls=arguments.Once)
def fit(
    answers: Answers,
    method: MethodName = "crh",
    param: Params = None,
    item: Item = "task",
    worker: Worker = "worker",
    value: Value = "label",
    categorical: Categorical = False,
    gold: Gold = None,
    gold_value: GoldValue = None,
    ledger: Ledger = None,
    out: Out = None,
    weights: Weights = None,
    as_json: screen.Json = False,
) -> None:
    """Estimate every item and weigh every worker.

    Estimates, weights and the ledger's new batch appear together, or all stay as they were.
    """
    with arguments.usage():
        _apart((out, weights, ledger), (answers, gold))
        if categorical and gold is not None:
            raise errors.no_distance()
        chosen = _chosen(method, param, ledger)
    with _stages("Reading", "Estimating", "Writing") as stage:
        claims = truth.Claims.of(answers, item=item, worker=worker, value=value, categorical=categorical)
        stage()
        result = chosen.fit(claims)
        known = None if gold is None else truth.gold_error(result, _gold(gold, item, gold_value))
        stage()
        estimated = {item: result.items, "estimate": result.estimates}
        weighed = {worker: result.workers, "weight": result.weights, "answers": result.answers}
        _publish(((out, estimated), (weights, weighed)), nullcontext() if ledger is None else chosen.saving(ledger))
        stage()
    if as_json:
        screen.say_json({**result.to_dict(), "gold": known})
        return
    screen.say(*str(result).splitlines())
    if known is not None:
        screen.say(f"Beside the gold of {known['items']:.0f} items: MAE {known['mae']:.4f}, RMSE {known['rmse']:.4f}")
    if out is not None:
        screen.say(f"Estimates: {out}")


@app.command(cls=arguments.Once)
def attack(
    answers: Answers,
    out: Poisoned,
    attack: AttackName = "optimised",
    malicious: Workers = 1,
    method: Attacked = "crh",
    param: Params = None,
    low: Low = None,
    high: High = None,
    knowledge: Knowledge = 1.0,
    seed: Seed = 0,
    item: Item = "task",
    worker: Worker = "worker",
    value: Value = "label",
    as_json: screen.Json = False,
) -> None:
    """Add the answers of malicious workers, and say how far they move the estimates."""
    kinds: dict[str, Any] = {
        "random": truth.attacks.random,
        "maximum": truth.attacks.maximum,
        "optimised": truth.attacks.optimised,
    }
    with arguments.usage():
        if attack not in kinds:
            raise errors.not_one_of("the attack", attack, kinds)
        _apart((out,), (answers,))
        victim = comparing.Fresh(method, **{"malicious": malicious, "seed": seed, **_parameters(method, param)})
    claims = truth.Claims.of(answers, item=item, worker=worker, value=value)
    options: dict[str, Any] = {"workers": malicious, "seed": seed, **_span(claims, low, high)}
    with screen.progress() as bars:
        running = bars.add_task("Searching", total=None, note="")
        if attack == "optimised":
            options["knowledge"] = knowledge
            options["progress"] = lambda step, error: bars.update(running, advance=1, note=f"error {error:.4g}")
        poisoned = kinds[attack](claims, victim.victim(), **options)
    before, after = victim.fit(claims), victim.fit(poisoned)
    moved = truth.estimation_error(before, after)
    writing.write_columns(out, dict(zip((item, worker, value), writing.answers(poisoned), strict=True)))
    if as_json:
        said = {"attack": attack, "method": before.method, "malicious": malicious, "estimation_error": moved}
        screen.say_json({**said, "answers": poisoned.size, "out": str(out)})
        return
    screen.say(
        f"{malicious} malicious workers, {poisoned.size - claims.size} answers: "
        f"{before.method} is moved by {moved:.4f} on average of the items",
        f"Answers: {out}",
    )


@app.command()
def compare(
    answers: Answers,
    gold: Gold = None,
    gold_value: GoldValue = None,
    malicious: Shares = "0:0.3:0.05",
    method: Methods = None,
    attack: Attacks = None,
    low: Low = None,
    high: High = None,
    seeds: Seeds = 1,
    steps: Steps = 40,
    out: Picture = Path("truth.png"),
    item: Item = "task",
    worker: Worker = "worker",
    value: Value = "label",
    as_json: screen.Json = False,
) -> None:
    """Methods, attacks and shares of malicious workers side by side, with and without defences."""
    with arguments.usage():
        shares = _shares(malicious)
        for name in method or ():
            comparing.estimator(name)
    claims = truth.Claims.of(answers, item=item, worker=worker, value=value)
    options: dict[str, Any] = {"methods": method} if method else {}
    options |= {"attack_names": attack} if attack else {}
    with screen.progress() as bars:
        running = bars.add_task("Comparing", total=None, note="")
        found = comparing.compare(
            claims,
            shares=shares,
            gold=None if gold is None else _gold(gold, item, gold_value),
            seeds=range(seeds),
            steps=steps,
            progress=lambda word: bars.update(running, advance=1, note=word),
            **_span(claims, low, high),
            **options,
        )
    pictures.picture(found, out)
    if as_json:
        screen.say_json({**found.to_dict(), "picture": str(out)})
        return
    screen.say("How far the attack moves the estimates, by the share of malicious workers:")
    screen.table(*found.table())
    if gold is not None:
        screen.say("", "Mean absolute error beside the gold:")
        screen.table(*found.table("mae"))
    screen.say("", f"Picture: {out}")


def _apart(written: Iterable[Path | None], read: Iterable[Path | None]) -> None:
    """Whether nothing that is written is read too, or written twice; raises if it is."""
    others = [str(path) for path in read if path is not None]
    for path in written:
        if path is not None:
            if overwritten(path, others):
                raise errors.written_twice(path)
            others.append(str(path))


def _publish(tables: Iterable[tuple[Path | None, dict[str, Any]]], saving: AbstractContextManager[None]) -> None:
    """Tables get their names while the ledger's save is open: what fails leaves all as they were."""
    with ExitStack() as drafts:
        made = [drafts.enter_context(writing.drafted(path, table)) for path, table in tables if path is not None]
        with saving:
            for draft in made:
                draft.publish()


def _chosen(name: str, param: list[str] | None, ledger: Path | None) -> Any:
    """The method; what the ledger remembers must not differ from the parameters that were asked for."""
    parameters = _parameters(name, param)
    if ledger is not None and name != "reputation":
        raise errors.ledger_unused(name)
    if name == "majority":
        return comparing.made(truth.MajorityVote, name, parameters)
    made = comparing.estimator(name, **{"malicious": 1, **parameters})
    if ledger is None or not begun(ledger):
        return made
    remembered = truth.Reputation.load(ledger)
    differences = [(k, getattr(remembered, k), v) for k, v in parameters.items() if getattr(remembered, k) != v]
    if differences:
        raise errors.other_parameters(differences)
    return remembered


def _parameters(name: str, param: list[str] | None) -> dict[str, Any]:
    """What was asked for; a defence's own parameters only where it is there."""
    parameters = arguments.assigned(param or ())
    for parameter, defence in (("malicious", "+mie"), ("seed", "+mwa")):
        if parameter in parameters and not name.endswith(defence):
            raise errors.no_parameter(name, parameter)
    return parameters


def _gold(path: Path, item: str, value: str | None) -> dict[Any, float]:
    """True values by item; where no column is named, that of the first besides the items."""
    table = tables.read(path, (item,))
    value = value or next((name for name in table if name != item), item)
    for name in (item, value):
        if name not in table:
            raise errors.no_column(name, table)
    try:
        known = truth.Claims.of((table[item], ["gold"] * len(table[item]), table[value]))
    except (TypeError, ValueError) as fault:
        raise errors.bad_gold(path, fault) from fault
    return dict(zip(known.items.tolist(), known.answers.values.tolist(), strict=True))


def _span(claims: truth.Claims, low: float | None, high: float | None) -> dict[str, Any]:
    values = claims.answers.values
    return {
        "low": float(values.min()) if low is None else low,
        "high": float(values.max()) if high is None else high,
    }


def _shares(text: str) -> list[float]:
    """FIRST:LAST:STEP, the last included; or one share."""
    try:
        parts = [float(part) for part in text.split(":")]
        first, last, step = parts if len(parts) == 3 else (parts[0], parts[0], 1.0)
        if not (len(parts) in (1, 3) and step > 0 and 0 <= first <= last < 1):
            raise ValueError
    except ValueError:
        raise errors.out_of_range("--malicious", text, "FIRST:LAST:STEP, between 0 and 1") from None
    return [round(first + k * step, 10) for k in range(int(np.floor((last - first) / step + 1e-9)) + 1)]


@contextmanager
def _stages(*names: str) -> Iterator[Callable[[], None]]:
    """A bar over the steps of a command."""
    with screen.progress() as bars:
        running = bars.add_task(names[0], total=len(names), note="")
        following = iter(names[1:])
        yield lambda: bars.update(running, advance=1, description=next(following, "Done"))
