"""Models: what the suite, or a project, calls an architecture, and where its weights are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from gaudi_perf.vocabulary.architectures import Architecture, architecture_of, standin_of
from gaudi_perf.vocabulary.documents import Document, Name, decode_toml
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions

Scale = Literal["standin", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)

MODEL_NAME = r"[a-z0-9][a-z0-9._-]{0,79}"
"""What a model may be called: case ids begin with it."""
ModelName = Annotated[str, msgspec.Meta(pattern=rf"^{MODEL_NAME}\Z")]

_FORM = 'each model is a table [name] with hub = "owner/repository", directory = "..." or [name.configuration]'


class Model(Document, frozen=True):
    """A model: its published architecture, and the one that stands in for it on machines without an accelerator.

    Attributes:
        hub_id: its repository on the Hugging Face hub; empty if it has none.
        title: what people call it.
        notes: what its configuration names and is not done, as sentences.
    """

    name: ModelName
    title: Name
    hub_id: str
    full: Architecture
    standin: Architecture
    on_by_default: bool = True
    notes: list[str] = []
    gaudi_options: GaudiOptions = GaudiOptions()

    def gaudi_options_with(self, session: GaudiOptions, source: str) -> GaudiOptions:
        """The options that it has on Gaudi: the session's over its own over those of its family.

        Raises:
            UserError: its family has no such option, or two contradict each other; the sentence begins with the source.
        """
        family = self.full.of_family
        options = session.over(self.gaudi_options).over(family.gaudi_defaults)
        if reason := family.why_no_options(options):
            raise UserError(f"{source}: {self.name} is of the architecture {self.full.family}: {reason}")
        if "use_flash_attention" in family.gaudi and not options.use_flash_attention:  # of which the others are details
            details = dict.fromkeys(("flash_attention_recompute", "flash_attention_causal_mask"), False)
            return GaudiOptions(**details).over(options)
        return options

    def at(self, scale: Scale) -> Architecture:
        """The architecture that is measured at a scale."""
        return self.full if scale == "full" else self.standin

    def digest_at(self, scale: Scale) -> str | UnsetType:
        """What cases hold of the architecture; not set where the name says it."""
        return UNSET if self.known_by_name else self.at(scale).digest

    @property
    def known_by_name(self) -> bool:
        """Whether its name says what it is made of, in documents of every release: BLOOMZ's, nobody else's."""
        return self.full.family == "bloom" and shipped().get(self.name) == self


class ModelEntry(Document, frozen=True):
    """A table of a catalogue.

    Attributes:
        hub: the repository on the Hugging Face hub.
        directory: a checkpoint's, relative to the file.
        configuration: the published config.json, as far as it counts; else it is read from the directory or the hub.
        standin: values of the stand-in that the rule (docs/models.md) would choose otherwise.
        gaudi: its options on Gaudi, where they are not those of its family (docs/models.md).
    """

    title: str = ""
    hub: str = ""
    directory: str = ""
    configuration: dict[str, Any] | None = None
    standin: dict[str, Any] = {}
    on_by_default: bool = False
    gaudi: GaudiOptions = GaudiOptions()

    def model(self, name: str, source: str, configuration: object = None) -> Model:
        """The model of this name.

        Args:
            name: the table's.
            source: what to call the catalogue, or the file of the configuration, in sentences.
            configuration: what was read where the entry has none.

        Raises:
            UserError: its architecture is not known, or a value makes no sense.
        """
        fields = configuration if self.configuration is None else self.configuration
        full, notes = architecture_of(fields, source)
        try:
            standin = standin_of(full, self.standin)
        except UserError as error:
            raise UserError(f"{source}: {error}: mend [{name}.standin]") from None
        model = Model(
            name=name,
            title=self.title or name,
            hub_id=self.hub,
            full=full,
            standin=standin,
            on_by_default=self.on_by_default,
            notes=notes,
            gaudi_options=self.gaudi,
        )
        model.gaudi_options_with(GaudiOptions(), f"{source}: gaudi")
        return model


def decode_catalogue(data: bytes, source: str) -> dict[str, ModelEntry]:
    """Decode a catalogue, which is TOML; ``UserError`` names the source and the field."""
    entries = decode_toml(data, dict[str, ModelEntry], source, "catalogue of models", _FORM)
    for name in entries:
        if not re.fullmatch(MODEL_NAME, name):
            raise UserError(
                f"{source}: {name[:90]!r} is no name of a model: it takes lower case letters, digits, . _ and -"
            )
    return entries


@cache
def shipped() -> Mapping[str, Model]:
    """The models of the suite's own catalogue, by name."""
    data = (files(__package__) / "catalogue.toml").read_bytes()
    return {name: entry.model(name, f"catalogue.toml: {name}") for name, entry in decode_catalogue(data, "").items()}


def bloomz() -> list[Model]:
    """The models that are measured unless others are named."""
    return [model for model in shipped().values() if model.known_by_name]


def shipped_model(name: str) -> Model:
    """The model of that name in the suite's own catalogue; ``UserError`` lists those there are."""
    try:
        return shipped()[name]
    except KeyError:
        raise UserError(f"unknown model {name!r}: the models are {', '.join(shipped())}") from None
