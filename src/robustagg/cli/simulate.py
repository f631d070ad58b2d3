"""``robustagg simulate``: federated training under attack, rules side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from robustagg import simulation
from robustagg.cli import arguments, screen

_DEFAULT = simulation.Settings()

Task: TypeAlias = Annotated[str, typer.Option("--task", "-t", help=f"What is learnt: {', '.join(simulation.TASKS)}.")]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", help=f"What learns it: {', '.join(simulation.MODELS)}; else the task's own."),
]
Device: TypeAlias = Annotated[
    str, typer.Option("--device", help=f"Where a network of torch is trained: {', '.join(simulation.DEVICES)}.")
]
Attack: TypeAlias = Annotated[
    str, typer.Option("--attack", "-a", help=f"What the attackers do: {', '.join(simulation.CHOICES)}.")
]
Payload: TypeAlias = Annotated[
    str, typer.Option("--payload", help="What attackers send whose attack is when or as whom they do (on-off, say).")
]
Options: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An argument of the attack or payload; repeatable."),
]
Adaptive: TypeAlias = Annotated[
    bool, typer.Option("--adaptive", help="Attackers try on a copy of the rule how strong they may be.")
]
Clients: TypeAlias = Annotated[int, typer.Option("--clients", "-n", help="How many clients.")]
Attackers: TypeAlias = Annotated[float, typer.Option("--attackers", help="Share of the clients that attack.")]
Rounds: TypeAlias = Annotated[int, typer.Option("--rounds", help="Rounds of training.")]
Rules: TypeAlias = Annotated[
    list[str],
    typer.Option("--rule", "-r", help="Repeatable; see 'robustagg rules'. Also 'nnm + krum(f=2)'."),
]
Alpha: TypeAlias = Annotated[
    float, typer.Option("--alpha", help="How alike the clients' data are: 0.1 very skewed, 100 nearly even.")
]
Split: TypeAlias = Annotated[
    str, typer.Option("--split", help=f"How samples are dealt out: {', '.join(simulation.SPLITS)}.")
]
Epochs: TypeAlias = Annotated[int, typer.Option("--epochs", help="A client's passes over its data in a round.")]
Effort: TypeAlias = Annotated[
    float,
    typer.Option("--effort", "--overtraining", help="How many times as long attackers with poisoned data train."),
]
Rate: TypeAlias = Annotated[
    float | None, typer.Option("--learning-rate", help="Of the clients. By default the task's own.")
]
Batch: TypeAlias = Annotated[int | None, typer.Option("--batch", help="Samples of a step. By default the task's own.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", "-s", help="Of all draws.")]
Target: TypeAlias = Annotated[float, typer.Option("--target-accuracy", help="Count the rounds until this is reached.")]
Out: TypeAlias = Annotated[Path, typer.Option("--out", "-o", **arguments.DRAWN)]


def simulate(
    task: Task = _DEFAULT.task,
    model: Model = _DEFAULT.model,
    device: Device = _DEFAULT.device,
    attack: Attack = _DEFAULT.attack,
    payload: Payload = _DEFAULT.payload,
    option: Options = None,
    adaptive: Adaptive = _DEFAULT.adaptive,
    clients: Clients = _DEFAULT.clients,
    attackers: Attackers = _DEFAULT.attackers,
    rounds: Rounds = _DEFAULT.rounds,
    rule: Rules = list(_DEFAULT.named_rules),  # noqa: B006 - typer reads it, nobody writes to it
    split: Split = _DEFAULT.split,
    alpha: Alpha = _DEFAULT.alpha,
    epochs: Epochs = _DEFAULT.epochs,
    effort: Effort = _DEFAULT.effort,
    learning_rate: Rate = _DEFAULT.learning_rate,
    batch: Batch = _DEFAULT.batch,
    seed: Seed = _DEFAULT.seed,
    target_accuracy: Target = _DEFAULT.target_accuracy,
    out: Out = Path("simulation.png"),
    as_json: screen.Json = False,
) -> None:
    """Train a model, with attackers among the clients, once with each rule; then once with nobody attacking."""
    with arguments.usage():
        settings = simulation.Settings(
            task=task,
            model=model,
            device=device,
            attack=attack,
            payload=payload,
            options=arguments.assigned(option or ()),
            adaptive=adaptive,
            clients=clients,
            attackers=attackers,
            rounds=rounds,
            rules=tuple(rule),
            split=split,
            alpha=alpha,
            epochs=epochs,
            effort=effort,
            learning_rate=learning_rate,
            batch=batch,
            seed=seed,
            target_accuracy=target_accuracy,
        )
    arguments.needed("sklearn", "scikit-learn")
    finished = _run(settings)
    simulation.picture(finished, out)
    if as_json:
        screen.say_json({**finished.to_dict(), "picture": str(out)})
        return
    screen.table(*finished.table())
    screen.say("", *finished.words(), f"Picture: {out}")


def _run(settings: simulation.Settings) -> simulation.Simulation:
    with screen.progress() as bars:
        bar = bars.add_task("Reading the data", total=settings.rounds * (len(settings.rules) + 1), note="")

        def progress(rule: str, record: simulation.RoundRecord) -> None:
            note = f"round {record.round} of {settings.rounds}, accuracy {record.accuracy:.1%}"
            bars.update(bar, advance=1, description=rule, note=note)

        return simulation.simulate(settings, progress)
