"""Tasks: what is read, from where, and how it is split over clients."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest

pytest.importorskip("sklearn")

from datasets import DATA, NO_DATA
from hypothesis import given
from hypothesis import strategies as st

from robustagg.simulation import Settings, arrays, simulate
from robustagg.simulation.adversaries import Aim
from robustagg.simulation.models import one_blas_thread
from robustagg.simulation.run import Federation
from robustagg.simulation.tasks import SPLITS, load, split
from robustagg.simulation.tasks.texts import GROUPS


def rng():
    return np.random.default_rng(0)


# --- splits ---


@given(
    st.lists(st.integers(0, 3), min_size=6, max_size=60),
    st.integers(1, 6),
    st.sampled_from([0.3, 1.0, 100.0]),
    st.data(),
)
def test_every_split_gives_each_client_samples_of_its_own(labels, clients, alpha, data):
    how = data.draw(st.sampled_from([name for name in SPLITS if name != "unbalanced"]))
    parts = split(np.array(labels), clients, alpha, rng(), how)
    assert len(parts) == clients
    assert min(map(len, parts)) > 0
    dealt = np.concatenate(parts)
    assert len(set(dealt)) == len(dealt)
    if how in ("iid", "dirichlet"):
        assert {len(part) for part in parts} == {len(labels) // clients}


def test_alpha_skews():
    labels = np.repeat(np.arange(10), 60)
    shares = {}
    for alpha in (0.1, 100.0):
        parts = split(labels, 7, alpha, rng())
        shares[alpha] = max(np.bincount(labels[part], minlength=10).max() / len(part) for part in parts)
    assert shares[0.1] > 0.4 > 0.25 > shares[100.0]


def test_unbalanced_clients_hold_unequally_many_of_all_samples():
    labels = np.repeat(np.arange(4), 100)
    parts = split(labels, 8, 0.5, rng(), "unbalanced")
    sizes = [len(part) for part in parts]
    assert sum(sizes) == 400
    assert max(sizes) > 3 * min(sizes) > 0
    with pytest.raises(ValueError, match="one of 100 clients got no sample each time"):
        split(labels, 100, 0.01, rng(), "unbalanced")


def test_by_class_gives_few_classes_each():
    labels = np.tile(np.arange(10), 100)
    assert max(len(np.unique(labels[part])) for part in split(labels, 10, 1.0, rng(), "by-class")) <= 4


def test_more_clients_than_samples():
    with pytest.raises(ValueError, match="clients must be at most 1348"):
        simulate(Settings(clients=2000))


# --- arrays ---


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (np.zeros((4, 2)), [0, 1, 0], "as many labels as samples"),
        (np.zeros((0, 2)), [], "as many labels as samples"),
        ([[0.0], [np.nan], [1.0], [2.0]], [0, 1, 0, 1], "sample 1 holds a value that is NaN or infinite"),
        (np.zeros((8, 2)), [3] * 8, "two classes at least"),
        (np.zeros((2, 2)), [0, 1], "three samples of a feature at least, got 2 of 2"),
        (np.zeros((8, 0)), [0, 1] * 4, "got 8 of 0 features"),
        (np.zeros((4, 2)), [0.0, 1.0, np.nan, 1.0], "the label of sample 2 is nan"),
        (np.zeros((4, 2)), ["a", None, "b", "a"], "the label of sample 1 is None"),
        (np.zeros((4, 2)), np.array(["a", 1, "b", 2], object), "labels must be of one kind, .* got int, str"),
    ],
)
def test_arrays_that_are_no_task(x, y, told):
    with pytest.raises(ValueError, match=told):
        arrays(x, y)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"classes": ("a",)}, "classes must name each of the 3 labels 1, 2, 3, got 1: a"),
        ({"classes": np.array(list("abcd"))}, "got 4: a, b, c, d"),
        (
            {"image": (1, 2, 2)},
            r"image must be \(channels, height, width\) of the 2 features of a sample, got \(1, 2, 2\)",
        ),
        ({"image": (1, 2)}, "image must be"),
        ({"test": (np.zeros((3, 1)), [1, 2, 3])}, "samples to test on must have 2 features as the others, got 1"),
    ],
)
def test_parts_that_do_not_fit_the_arrays(parts, told):
    with pytest.raises(ValueError, match=told):
        arrays(np.zeros((60, 2)), np.tile([1, 2, 3], 20), **parts)


def test_a_task_keeps_arrays_of_its_own():
    x, y = np.ones((6, 2), np.float32), np.tile([1, 2], 3)
    task = arrays(x, y, test=(x, y), classes=np.array(["a", "b"]))
    x[:] = 0
    assert task.classes == ("a", "b")
    assert task.train[0].all()
    assert task.test[0].all()


def test_own_arrays_are_trained_on_with_labels_of_any_kind():
    x = rng().normal(size=(400, 6))
    task = arrays(x, np.where(x[:, 0] > 0, "up", "down"), classes=("down", "up"))
    simulation = simulate(Settings(rounds=5, clients=4, attackers=0.25, rules=("median",)), task=task)
    assert simulation.runs[0].accuracy > 0.8
    assert simulation.to_dict()["classes"] == ["down", "up"]
    assert simulation.samples == (75,) * 4
    assert simulation.runs[0].success is not None


@pytest.mark.parametrize(
    ("attack", "options"), [("label-flip", {"source": 3, "target": 1}), ("backdoor", {"target": 3})]
)
def test_a_class_called_by_a_number_is_meant_by_it(attack, options):
    task = arrays(rng().normal(size=(60, 2)), np.tile([1, 2, 3], 20))
    said = Aim(Settings(attack=attack, options=options), task).arguments(attack)
    assert {name: task.classes[said[name]] for name in options} == {k: str(v) for k, v in options.items()}
    assert task.class_of(0) == 0  # nothing is called so: the first
    unsaid = Aim(Settings(attack=attack), task).arguments(attack)
    assert unsaid["target"] == 0
    assert unsaid.get("source", 2) == 2  # the task's own aims are numbers


# --- files ---


def test_a_table_of_texts_and_one_of_numbers(tmp_path):
    lines = [
        "title,label,text",
        *(f'{k},{"cat" if k % 3 else "dog"},"{"purr" if k % 3 else "bark, bark"}"' for k in range(40)),
    ]
    (tmp_path / "texts.csv").write_text("\n".join(lines), "utf-8")
    task = load(f"csv:{tmp_path}/texts.csv", 0)
    assert task.classes == ("cat", "dog")
    assert (len(task.train[1]), len(task.test[1])) == (30, 10)
    assert (task.source, task.target) == (1, 0)  # from the rarest to the most frequent
    numbers = ["a,b,kind", *(f"{k},{k % 2},{k % 2}" for k in range(40))]
    (tmp_path / "numbers.csv").write_text("\n".join(numbers), "utf-8")
    task = load(f"csv:{tmp_path}/numbers.csv", 0)
    np.testing.assert_allclose(task.train[0].mean(axis=0), 0, atol=1e-6)
    assert task.features == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n3", "row 3: 1 cells under a header of 2 columns"),
        ("a,b\n1,2", "8 rows at least"),
        ("", "8 rows"),
        ("a,b\n1,2\n3,\xe9", "line 3: this is not UTF-8"),
        ("a,label\n" + "the,x\nof,y\n" * 4, "no words but stop words"),
    ],
)
def test_a_table_that_is_none(text, told, tmp_path):
    (tmp_path / "t.csv").write_text(text, "latin-1")
    with pytest.raises(ValueError, match=told):
        load(f"csv:{tmp_path}/t.csv", 0)


def test_a_table_that_excel_has_saved(tmp_path):
    rows = [f"{k % 2},{k},{k * k}" for k in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["label,a,b", *rows]), "utf-8-sig")
    assert load(f"csv:{tmp_path}/t.csv", 0).classes == ("0", "1")


@pytest.mark.parametrize("cell", ["", "NA", "nan", "inf"])
def test_a_gap_in_a_table_of_numbers_is_named(cell, tmp_path):
    rows = [f"{k},{k % 2},{cell if k == 7 else k}" for k in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,label,b", *rows]), "utf-8")
    with pytest.raises(ValueError, match=f"t.csv, row 9, column 'b': '{cell}' is no finite number"):
        load(f"csv:{tmp_path}/t.csv", 0)


def test_words_of_the_test_are_not_learnt(tmp_path):
    rows = [f"word{k} common,{k % 2}" for k in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]), "utf-8")
    assert load(f"csv:{tmp_path}/t.csv", 0).features == 31  # of 41 words, the ten of the test are unknown


def picture(shade):
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("RGB", (8, 6), (shade, 0, 255 - shade)).save(file, "png")
    return file.getvalue()


def test_images_in_folders_and_archives_are_the_same(tmp_path):
    named = [(f"{kind}/{k}.png", picture(shade + k)) for kind, shade in (("cat", 0), ("dog", 200)) for k in range(8)]
    for name, content in named:
        (tmp_path / "folders" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folders" / name).write_bytes(content)
    (tmp_path / "zips").mkdir()
    for kind in ("cat", "dog"):
        with zipfile.ZipFile(tmp_path / "zips" / f"{kind}.zip", "w") as archive:
            for name, content in named:
                if name.startswith(kind):
                    archive.writestr(name.partition("/")[2], content)
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "folders" / "cat", "train/cat")
        archive.add(tmp_path / "folders" / "dog", "train/dog")
    found = [load(f"images:{tmp_path}/{name}", 0) for name in ("folders", "zips", "all.tar.gz")]
    for task in found:
        assert (task.image, task.classes, task.source, task.target) == ((3, 6, 8), ("cat", "dog"), 0, 1)
    for task in found[:2]:
        np.testing.assert_array_equal(task.train[0], found[0].train[0])
    assert task.trigger(2).features.size == 3 * 2 * 2


def test_a_file_that_has_changed_is_read_again(tmp_path):
    for time, kinds in enumerate([("cat", "dog"), ("cow", "hen")]):
        rows = [f"{k},{kinds[k % 2]}" for k in range(40)]
        (tmp_path / "t.csv").write_text("\n".join(["a,label", *rows]), "utf-8")
        os.utime(tmp_path / "t.csv", (time, time))
        task = load(f"csv:{tmp_path}/t.csv", 0)
        assert task.classes == kinds
        assert load(f"csv:{tmp_path}/t.csv", 0) is task
    for kind, shade in (("cat", 0), ("dog", 100), ("cow", 200)):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for k in range(4):
            (tmp_path / "images" / kind / f"{k}.png").write_bytes(picture(shade))
        if kind != "cat":
            assert kind in load(f"images:{tmp_path}/images", 0).classes


def test_images_of_16_bits_are_not_clipped(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for kind, shade in (("bright", 51400), ("dark", 12850)):
        (tmp_path / kind).mkdir()
        for k in range(4):
            image.fromarray(np.full((4, 4), shade, np.uint16)).save(tmp_path / kind / f"{k}.png")
    x, y = load(f"images:{tmp_path}", 0).train
    np.testing.assert_array_equal(np.rint(255 * x), np.repeat(np.where(y == 0, 200, 50)[:, None], 48, axis=1))


def test_images_smaller_than_the_usual_trigger(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for kind, shade in (("bright", 200), ("dark", 50)):
        (tmp_path / kind).mkdir()
        for k in range(8):
            image.new("L", (3, 2), shade).save(tmp_path / kind / f"{k}.png")
    settings = {"task": f"images:{tmp_path}", "rounds": 1, "clients": 3, "rules": ("mean",)}
    with pytest.raises(ValueError, match="'cnn' learns images of 4 x 4 pixels at least, and these are of 3 x 2"):
        simulate(Settings(**settings))
    assert simulate(Settings(**settings, model="softmax")).runs


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("digit", "the task must be one of 'digits'"),
        ("digits:here", "the task must be one of"),
        ("topics", "the task must be one of"),
        ("csv:/nowhere.csv", "there are no data at /nowhere.csv"),
    ],
)
def test_a_task_that_there_is_not(task, told):
    with pytest.raises(ValueError, match=told):
        Settings(task=task)


def test_files_that_hold_something_else(tmp_path):
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", x=1)
    (tmp_path / "plain").write_text("words")
    pytest.importorskip("PIL.Image").new("L", (2, 2)).save(tmp_path / "good.png")
    for name, source in (("damaged/a", "plain"), ("tested/test/a", "good.png")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.png").write_bytes((tmp_path / source).read_bytes())
    for task, told in (
        (f"images:{tmp_path}/empty", "holds no images"),
        (f"topics:{tmp_path}/empty", "does not hold 20 Newsgroups"),
        (f"topics:{tmp_path}/plain", "neither a folder nor a zip or tar archive"),
        (f"mnist:{tmp_path}/other.npz", "must hold the arrays x_train"),
        (f"mnist:{tmp_path}/empty", "there are no data at"),
        (f"mnist:{tmp_path}/plain", "is no .npz file of NumPy"),
        (f"images:{tmp_path}/damaged", "a/0.png cannot be read as an image"),
        (f"images:{tmp_path}/tested", "to test on only"),
    ):
        with pytest.raises(ValueError, match=told):
            load(task, 0)


def test_newsgroups_become_four_topics_without_headers(tmp_path):
    for part in ("train", "test"):
        for group in (*GROUPS, "sci.space", "rec.autos"):
            folder = tmp_path / f"20news-bydate-{part}" / group
            folder.mkdir(parents=True)
            for k in range(6):
                (folder / str(k)).write_bytes(
                    f"From: secret{k}\n\nmessage {group.replace('.', 'x')} caf\xe9".encode("latin-1")
                )
    task = load(f"topics:{tmp_path}", 0)
    assert task.classes == ("Health", "Non-sensitive", "Politics", "Religion")
    assert np.bincount(task.train[1]).tolist() == [6, 12, 18, 18]
    assert (task.source, task.target, task.marked_as, task.recipe.model) == (0, 1, 1, "paper")
    assert task.trigger(2).features.size == 2


# --- the paper's setting, on its kind of texts ---


def final(attack, rule, rounds, **options):
    """Attack success of a rule, mean over three seeds: similar clients, attackers that train 1.5 times as long."""
    found = []
    for seed in range(3):
        told = {"task": f"topics:{DATA / 'newsgroups20'}", "attack": attack, "options": options}
        settings = Settings(**told, alpha=100.0, rounds=rounds, seed=seed)
        with one_blas_thread():
            found.append(Federation(settings, load(settings.task, seed)).run(rule).success)
    return np.mean(found)


@pytest.mark.skipif(not (DATA / "newsgroups20").is_dir(), reason=NO_DATA)
def test_the_published_rule_on_topics():
    """The pilot's figures; a quarter of the attackers' samples has the trigger."""
    published = "reputation(rescale=paper, normalize=minmax)"
    assert final("backdoor", published, 30, share=0.25) < 0.05
    assert final("backdoor", "mean", 15, share=0.25) > 0.7
    assert final("label-flip", published, 45) < 0.45
