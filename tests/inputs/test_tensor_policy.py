"""One policy says which tensors vote: buffers, tied tensors, prefixes; real modules of torch."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import robustagg as ra

torch = pytest.importorskip("torch", reason="torch tensors need torch")


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.head = torch.nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight


def network(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), Tied())


def site(seed: int, scanner: float = 1.0) -> dict[str, torch.Tensor]:
    """What an honest site sends: near the others', with the statistics of its own scanner."""
    model, drawn = network(0), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.01 * torch.randn(weights.shape, generator=drawn)
    model[1].running_mean += scanner * torch.randn(4, generator=drawn).abs()
    model[1].running_var *= scanner**2
    model[1].num_batches_tracked += seed
    return model.state_dict()


SITES = {f"s{i}": site(i, 1000.0 if i == 3 else 1.0) for i in range(1, 8)}


def test_an_honest_site_with_another_scanner_keeps_its_vote():
    """Its Krum score is 9e5 with running statistics, and that of the others without."""
    with_them = ra.MultiKrum(f=2).aggregate(SITES)
    without = ra.MultiKrum(f=2).aggregate(SITES, policy=ra.Policy())

    def scores(result):
        told = zip(result.clients, result.reasons, strict=True)
        return {client: float(re.search(r"score (\S+)", reason)[1]) for client, reason in told}

    assert scores(with_them)["s3"] > 1e5
    assert max(scores(without).values()) < 2 * min(scores(without).values())
    assert without.update["1.num_batches_tracked"] == 7
    variances = torch.stack([sent["1.running_var"] for sent in SITES.values()])
    assert torch.equal(without.update["1.running_var"], variances.median(dim=0).values)


def test_an_intake_has_the_default_policy_and_bare_rules_none():
    intake = ra.Intake("mean", like=network(0).state_dict())
    for client, sent in SITES.items():
        intake.add(client, sent)
    assert intake.close().update["1.running_var"].max() == 1
    assert ra.Mean()(SITES)["1.running_var"].max() > 1e5


@given(st.integers(1, 5), st.integers(0, 2**32))
def test_a_minority_makes_no_variance_negative(f, seed):
    drawn = np.random.default_rng(seed)
    n = 2 * f + int(drawn.integers(1, 4))
    trees = [{"bn.running_var": drawn.random(3) + 0.1, "w": drawn.normal(size=2)} for _ in range(n)]
    for tree in trees[:f]:
        tree["bn.running_var"] = drawn.choice([-1.0, -np.inf, np.nan, 1e300], 3)
    got = ra.Mean()(trees, policy=ra.Policy())["bn.running_var"]
    assert (got >= 0.1).all()
    assert (got <= 1.1).all()


def test_patterns_include_and_exclude(tmp_path):
    policy = ra.Policy(include=["3.*", "0.weight"], exclude=["*.embed.*"], buffers={"1.*": "max"}, ties="each")
    result = ra.MDA(f=2).aggregate(SITES, policy=policy)
    voted = {"0.weight", "3.head.weight"}
    alone = ra.MDA(f=2).aggregate({c: {k: v for k, v in s.items() if k in voted} for c, s in SITES.items()})
    for name, tensor in result.update.items():
        column = torch.stack([s[name] for s in SITES.values()])
        action = column.amax(0) if name.startswith("1.") else column.median(dim=0).values
        assert torch.equal(tensor, alone.update[name] if name in voted else action)
    for client, sent in SITES.items():
        np.savez(tmp_path / f"{client}.npz", **{name: tensor.numpy() for name, tensor in sent.items()})
    ra.aggregate_files(ra.MDA(f=2), sorted(tmp_path.glob("s*.npz")), tmp_path / "out.npz", policy=policy)
    with np.load(tmp_path / "out.npz") as written:
        for name, tensor in result.update.items():
            np.testing.assert_array_equal(written[name], tensor)


# --- ties -----------------------------------------------------------------------------------------------------------


def test_tied_tensors_count_once_and_are_tied_again():
    once = ra.Krum(f=2).aggregate(SITES, policy=ra.Policy())
    apart = {client: {k: v for k, v in sent.items() if k != "3.head.weight"} for client, sent in SITES.items()}
    alone = ra.Krum(f=2).aggregate(apart, policy=ra.Policy())
    assert once.reasons == alone.reasons
    assert once.update["3.head.weight"].data_ptr() == once.update["3.embed.weight"].data_ptr()
    assert torch.equal(once.update["3.embed.weight"], alone.update["3.embed.weight"])
    each = ra.Krum(f=2).aggregate(SITES, policy=ra.Policy(ties="each"))
    assert each.reasons != once.reasons


def test_a_negated_view_is_another_tensor():
    sent = [{"w": w, "minus": torch._neg_view(w)} for w in torch.arange(6.0).reshape(3, 2)]
    update = ra.Mean().aggregate(sent, policy=ra.Policy()).update
    assert update["minus"].tolist() == (-update["w"]).tolist() == [-2, -3]


def test_a_name_that_is_twice_in_a_tie_is_there_once():
    sent = [{"a": np.full(2, i), "b": np.full(2, i)} for i in (1.0, 3.0)]
    update = ra.Mean().aggregate(sent, policy=ra.Policy(ties=[["a", "b", "a"]])).update
    assert update["b"] is update["a"]


@pytest.mark.parametrize(
    ("mean", "weight"), [("batch_stats.bn.mean", "params.w"), ("bn.moving_mean", "w"), ("bn.moving_variance", "w")]
)
def test_batch_norm_of_flax_and_keras_does_not_vote(mean, weight):
    def site(i):
        tree = {}
        for name, value in ((mean, 10.0**i), (weight, float(i))):
            *nodes, leaf = name.split(".")
            node = tree
            for key in nodes:
                node = node.setdefault(key, {})
            node[leaf] = np.full(3, value)
        return tree

    intake = ra.Intake(ra.Krum(f=0), like=site(0), reference=False)
    for i in range(5):
        assert intake.add(i, site(i)) is None
    assert intake.close().reasons[2] == "selected: Krum score 18"


def test_replies_over_a_network_have_lost_the_storage_and_the_model_has_it():
    intake = ra.Intake(ra.Krum(f=2), like=network(0).state_dict())
    for client, sent in SITES.items():
        intake.add(client, {name: tensor.clone() for name, tensor in sent.items()})
    result = intake.close()
    assert result.reasons == ra.Krum(f=2).aggregate(SITES, policy=ra.Policy()).reasons
    assert result.update["3.head.weight"] is result.update["3.embed.weight"]


def test_one_clients_ties_are_nobodys():
    plain = {client: {k: v.clone() for k, v in sent.items()} for client, sent in SITES.items()}
    expected = ra.Mean().aggregate(plain, policy=ra.Policy())
    got = ra.Mean().aggregate({**plain, "s1": SITES["s1"]}, policy=ra.Policy())
    assert got.update["3.head.weight"] is not got.update["3.embed.weight"]
    assert torch.equal(got.update["3.head.weight"], expected.update["3.head.weight"])


def test_tensors_made_on_the_fly_are_not_tied_by_an_address_that_comes_again():
    class Lazy(Mapping):
        def __init__(self, *, made):
            self.made = made

        def __getitem__(self, key):
            return self.made(key)

        def __iter__(self):
            return iter("abc")

        def __len__(self):
            return 3

    def of_client(i):
        return Lazy(made=lambda name: Lazy(made=lambda _: np.full(3, "abc".index(name) * 4.0 + i, float8)))

    float8 = ml_dtypes.float8_e4m3fn
    trees = [of_client(i) for i in range(3)]
    update = ra.Median().aggregate(trees, policy=ra.Policy()).update
    assert [float(update[name]["a"][0]) for name in "abc"] == [1, 5, 9]


@pytest.mark.parametrize("policy", [ra.Policy(), ra.Policy(exclude=["*"]), ra.Policy(buffers={"*": "max"})])
def test_a_model_of_one_tensor_that_does_not_vote(policy):
    trees = [{"bn.running_mean": np.full(3, float(i))} for i in range(3)]
    expected = 2 if policy.buffers == {"*": "max"} else 1
    assert ra.Mean().aggregate(trees, policy=policy).update["bn.running_mean"].tolist() == [expected] * 3


def test_ties_by_name():
    trees = [{"a": np.full(3, i), "b": np.full(3, 10 * i), "c": np.full(2, i)} for i in (1.0, 2.0, 3.0)]
    update = ra.Median()(trees, policy=ra.Policy(ties=[["b", "a"]]))
    assert update["b"] is update["a"]
    assert update["a"].tolist() == [2, 2, 2]
    for ties, text in (([["a", "d"]], "no tensor 'd'"), ([["a", "c"]], "'a' and 'c' have other shapes")):
        with pytest.raises(ValueError, match=text):
            ra.Median()(trees, policy=ra.Policy(ties=ties))


# --- prefixes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_are_stripped_and_put_back_as_the_model_has_them(prefix):
    wrapped = {client: {prefix + k: v for k, v in sent.items()} for client, sent in SITES.items()}
    expected = ra.Krum(f=2).aggregate(SITES, policy=ra.Policy())
    for like, sent in ((network(0), wrapped), (torch.nn.DataParallel(network(0)), SITES)):
        model = like.state_dict()
        intake = ra.Intake(ra.Krum(f=2), like=model)
        for i, client in enumerate(SITES):
            assert intake.add(client, sent[client] if i % 2 else SITES[client]) is None
        result = intake.close()
        assert list(result.update) == list(model)
        assert result.reasons == expected.reasons
        like.load_state_dict(result.update)
    mixed = ra.Krum(f=2).aggregate({**SITES, "s2": wrapped["s2"]}, policy=ra.Policy(), reference=wrapped["s1"])
    assert list(mixed.update) == list(SITES["s1"])
    assert mixed.admitted.all()
    assert ra.Krum(f=2).aggregate({**SITES, "s2": wrapped["s2"]}).admitted.sum() == 6


def test_names_that_would_be_one_are_left_as_they_are():
    trees = [{"module.w": np.array([1.0]), "w": np.array([5.0])}] * 3
    assert ra.Mean()(trees, policy=ra.Policy()) == trees[0]


def test_some_names_with_a_prefix_and_some_without():
    trees = [{"module.b": np.array([i]), "a": np.array([-i])} for i in (1.0, 2.0, 3.0)]
    trees.append({"b": np.array([4.0]), "module.a": np.array([-4.0])})
    update = ra.Mean()(trees, policy=ra.Policy())
    assert {name: values.tolist() for name, values in update.items()} == {"module.b": [2.5], "a": [-2.5]}


# --- told -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["median", "reputation", "foolsgold", ["median"]])
def test_a_ledger_keeps_the_policy_and_refuses_another(rule, tmp_path):
    from robustagg import ledger

    path, options = tmp_path / "ledger", {"like": network(0).state_dict(), "ledger": tmp_path / "ledger"}
    options["reference"] = False
    for number in (1, 2):
        intake = ra.Intake(rule, **options)
        for client, sent in SITES.items():
            intake.add(client, sent)
        assert intake.close().round == number
    assert ledger.summary(path)["policy"] == ra.Policy().told()
    with pytest.raises(ra.InvalidLedger, match=r"'lora': 'factors'.*'exclude': \['0.bias'\]"):
        ra.Intake(rule, policy=ra.Policy(exclude=["0.bias"]), **options)
    loaded = ra.load(path)
    for policy in (None, ra.Policy(ties="each")):
        with pytest.raises(ra.InvalidLedger, match="under the policy"):
            loaded.aggregate(SITES, policy=policy)
    assert loaded.last_round == 2
    assert loaded.aggregate(SITES, policy=ra.Policy()).round == 3


def test_a_state_dict_keeps_the_policy():
    rule = ra.CenteredClipping()
    rule.aggregate(SITES, policy=ra.Policy())
    state = json.loads(json.dumps(rule.state_dict()))
    twin = ra.CenteredClipping()
    twin.load_state_dict(state)
    assert twin.state_dict() == state
    assert state["policy"] == ra.Policy().told()
    with pytest.raises(ra.InvalidLedger):
        twin.load_state_dict({**state, "policy": "none"})
    assert copy.deepcopy(twin).state_dict() == state


def test_a_rule_without_a_ledger_may_change_its_policy():
    rule = ra.Median()
    assert rule(SITES, policy=ra.Policy())
    assert rule(SITES)


TEXTS = st.lists(st.text(min_size=1, max_size=4), max_size=3)


@given(
    TEXTS,
    TEXTS,
    st.dictionaries(st.text(max_size=3), st.sampled_from(["median", "max", "min", "first", "equal"]), max_size=3),
    st.sampled_from(["once", "each"]) | st.lists(TEXTS, max_size=2),
    TEXTS,
    st.sampled_from(["factors", "product"]),
)
def test_what_is_told_makes_the_policy_again(include, exclude, buffers, ties, strip, lora):
    policy = ra.Policy(include, exclude, buffers, ties, strip, lora)
    told = policy.told()
    assert told is None or ra.Policy(**json.loads(json.dumps(told))) == policy


@pytest.mark.parametrize(
    "bad",
    [
        {"include": "w"},
        {"exclude": [3]},
        {"strip": [""]},
        {"ties": "twice"},
        {"ties": ["ab"]},
        {"lora": "sum"},
        {"buffers": {"w": "mean"}},
        {"buffers": ["w"]},
    ],
)
def test_a_policy_that_is_none(bad):
    with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
        ra.Policy(**bad)


def test_a_policy_that_cannot_be_had(tmp_path):
    with pytest.raises(TypeError, match="policy must be"):
        ra.Mean().aggregate([np.ones(2)], policy="all")
    with pytest.raises(TypeError, match="buffers are part of the policy"):
        ra.Mean().aggregate([np.ones(2)], policy=ra.Policy(), buffers={})
    with pytest.raises(ValueError, match=r"fits \['x.*'\]"):
        ra.Mean().aggregate(SITES, policy=ra.Policy(include=["x.*"]))
    np.savez(tmp_path / "a.npz", w=np.ones(2))
    for policy in (ra.Policy(lora="product"), ra.Policy(ties=[["w"]])):
        with pytest.raises(ValueError, match="in memory"):
            ra.aggregate_files(ra.Mean(), [tmp_path / "a.npz"], tmp_path / "out.npz", policy=policy)
