"""Catalogues and checkpoints: names, directories, repositories; what is malformed is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaudi_perf.stores.models import Catalogue
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import shipped

GPT2 = 'model_type = "gpt2", vocab_size = 5000, n_embd = 64, n_layer = 4, n_head = 4'
CONFIG = {"model_type": "gpt2", "vocab_size": 5000, "n_embd": 64, "n_layer": 4, "n_head": 4}


TWICE = json.dumps(CONFIG).replace("{", '{"n_layer": 1, "n_layer": 2, ', 1)


def catalogue(directory: Path, text: str) -> Catalogue:
    (directory / "models.toml").write_text(text)
    return Catalogue(directory)


def checkpoint(directory: Path, text: str | None = None) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG) if text is None else text)
    return directory


def test_names_of_the_suite_and_of_a_project(tmp_path: Path) -> None:
    mine = catalogue(tmp_path, f'[mine]\ntitle = "Mine"\nconfiguration = {{ {GPT2} }}\nstandin = {{ n_layer = 3 }}\n')
    assert mine.names == [*shipped(), "mine"]
    model = mine.model("mine")
    assert (model.title, model.full.layers, model.standin.layers) == ("Mine", 4, 3)
    assert not model.known_by_name and mine.model("bloomz7b").known_by_name
    assert not mine.model("gpt2").known_by_name


def test_a_name_of_the_suite_given_another_meaning_is_not_known_by_name(tmp_path: Path) -> None:
    mine = catalogue(tmp_path, f"[bloomz7b]\nconfiguration = {{ {GPT2} }}\n")
    assert mine.model("bloomz7b").full.family == "gpt2" and not mine.model("bloomz7b").known_by_name


def test_a_directory_by_its_path_and_in_a_catalogue(tmp_path: Path) -> None:
    place = checkpoint(tmp_path / "My Model+1")
    assert Catalogue().model(str(place)).name == "my-model-1"
    mine = catalogue(tmp_path, '[mine]\ndirectory = "My Model+1"\n')
    assert mine.model("mine").full == Catalogue().model(str(place)).full


def test_a_repository_from_the_hub_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    snapshot = tmp_path / "models--own--Tiny-GPT" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    checkpoint(snapshot)
    (tmp_path / "models--own--Tiny-GPT" / "refs").mkdir()
    (tmp_path / "models--own--Tiny-GPT" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    model = Catalogue().model("own/Tiny-GPT")
    assert (model.name, model.hub_id, model.full.layers) == ("tiny-gpt", "own/Tiny-GPT", 4)
    with pytest.raises(UserError, match=r"--model own/Other: its config.json cannot be fetched .* models.toml"):
        Catalogue().model("own/Other")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mine", "not a valid catalogue of models"),
        ("[mine]\nhubb = 'a/b'\n", "hubb"),
        ("[Mine]\nhub = 'a/b'\n", "'Mine' is no name of a model"),
        ("[mine]\ntitle = 'x'\n", "[mine]: has no configuration: add hub, directory or [mine.configuration]"),
        ("[mine]\ndirectory = 'nowhere'\n", "has no config.json"),
        ("[mine]\nconfiguration = { model_type = 'gpt2' }\n", "lacks vocab_size"),
        (f"[mine]\nconfiguration = {{ {GPT2}, layer_norm_epsilon = nan }}\n", "layer_norm_epsilon is nan"),
        (f"[mine]\nconfiguration = {{ {GPT2} }}\nstandin = {{ n_layer = -2 }}\n", "mend [mine.standin]"),
    ],
)
def test_a_malformed_catalogue_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as mistake:
        catalogue(tmp_path, text).model("mine")
    assert words in str(mistake.value) and "models.toml" in str(mistake.value) and "\n" not in str(mistake.value)


@pytest.mark.parametrize("text", ["{", '{"model_type": "gpt2"', "[" * 100_000, "[]", "", TWICE])
def test_a_malformed_configuration_is_one_sentence(tmp_path: Path, text: str) -> None:
    place = checkpoint(tmp_path / "c", text)
    with pytest.raises(UserError) as mistake:
        Catalogue().model(str(place))
    assert str(place) in str(mistake.value) and "\n" not in str(mistake.value)


def test_a_huge_configuration_is_not_read(tmp_path: Path) -> None:
    place = checkpoint(tmp_path / "c", "{" + " " * (2 << 20) + "}")
    with pytest.raises(UserError, match="has more than 1 MiB"):
        Catalogue().model(str(place))


@pytest.mark.parametrize("text", ["bloom7b", "a/b/c", "../x", "-x/y", "own/Tiny GPT"])
def test_what_is_no_model(text: str) -> None:
    with pytest.raises(UserError, match=r"is no model: name one of bloomz176b, .*, a directory .*owner/name"):
        Catalogue().model(text)


def test_what_was_found_has_a_name_and_no_two_have_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = checkpoint(tmp_path / "a" / "mine"), tmp_path / "b" / "mine"
    checkpoint(other, json.dumps({**CONFIG, "n_layer": 5}))
    models = Catalogue()
    assert models.model(str(one)) is models.model("mine")
    with pytest.raises(UserError, match=r"another model is called mine: write it into models.toml under another name"):
        models.model(str(other))
    with pytest.raises(UserError, match="another model is called gpt2"):
        models.model(str(checkpoint(tmp_path / "gpt2")))
