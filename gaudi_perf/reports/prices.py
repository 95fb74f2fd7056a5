"""What servers cost an hour, each price with its source and date. Prices change: the table says which one it used."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import Slug

_HABANA_ARTICLE = "https://huggingface.co/blog/habana-gaudi-2-bloom"
_PRICE_LISTINGS = "public code listings of AWS prices"
_DATA_RECEIPTS = "https://raw.githubusercontent.com/datareceipts/data-receipts/main/109-gpu-pricing/hyperscalers.json"


class Price(Document, frozen=True):
    """The price of a server on demand.

    Attributes:
        device: what the server has, as in baselines.
        devices: how many of them.
        offer: what it is sold as, and where.
        usd_per_hour: dollars an hour for the whole server.
        as_of: the day, or as much of it as is known (``2026-11-09``, ``2024``); the latest one counts.
        source: where the price was read.
    """

    device: Slug
    devices: PositiveInt
    offer: Name
    usd_per_hour: Annotated[float, msgspec.Meta(gt=0)]
    as_of: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?\Z")]
    source: Name


PRICES: tuple[Price, ...] = (
    Price(
        device="gaudi",
        devices=8,
        offer="AWS DL1",
        usd_per_hour=13.0,
        as_of="2023-03-28",
        source=f"'about 13', {_HABANA_ARTICLE}",
    ),
    Price(
        device="gaudi",
        devices=8,
        offer="AWS dl1.24xlarge, us-west-2 and us-east-1",
        usd_per_hour=13.10904,
        as_of="2024",
        source=_PRICE_LISTINGS,
    ),
    Price(
        device="a100-80gb",
        devices=8,
        offer="AWS p4de.24xlarge, us-east-1",
        usd_per_hour=40.9656,
        as_of="2025",
        source=f"{_PRICE_LISTINGS}, before the cut in the middle of 2025",
    ),
    Price(
        device="a100-80gb",
        devices=8,
        offer="AWS p4de.24xlarge, us-east-1",
        usd_per_hour=27.44705,
        as_of="2026-11-09",
        source=_DATA_RECEIPTS,
    ),
    Price(
        device="h100-80gb",
        devices=8,
        offer="AWS p5.48xlarge, us-east-1",
        usd_per_hour=55.04,
        as_of="2026-11-09",
        source=_DATA_RECEIPTS,
    ),
)
"""No public price of a Gaudi2 server was found."""


def price_of(device: str, prices: tuple[Price, ...] = PRICES) -> Price | None:
    """The latest price of a server with this device, or None where none is known; those given later count more."""
    known = [price for price in prices if price.device == device]
    return max(enumerate(known), key=lambda item: (item[1].as_of, item[0]))[1] if known else None


def parse_price(text: str, today: str) -> Price:
    """A price as it is given by hand: ``gaudi2=10.42`` for a server of 8, ``gaudi2=1.3/1`` for a server of 1.

    Args:
        text: device, dollars an hour of the server, and after a slash how many devices the server has.
        today: the day on which it is given.

    Raises:
        UserError: it is written otherwise, or is not above 0.
    """
    device, equals, rest = text.partition("=")
    dollars, slash, devices = rest.partition("/")
    try:
        if not equals:
            raise ValueError
        fields = {
            "device": device.strip(),
            "devices": int(devices) if slash else 8,
            "offer": "a server",
            "usd_per_hour": float(dollars),
            "as_of": today,
            "source": "given by hand",
        }
        price = msgspec.convert(fields, Price)
        if price.usd_per_hour == float("inf"):
            raise ValueError
    except (ValueError, msgspec.ValidationError):
        raise UserError(
            f"--price {text}: write a device and the dollars an hour of its server, as gaudi2=10.42 for a server of 8 "
            "devices or gaudi2=1.30/1 for a server of 1"
        ) from None
    return price


def usd_per_million_tokens(price: Price, devices: int, latency_s: float, tokens: int) -> float:
    """Dollars for a million new tokens, one request at a time; fewer devices than the server has cost their share.

    Args:
        price: of the server.
        devices: how many devices are used.
        latency_s: seconds of one generation.
        tokens: new tokens that it yields, of all prompts of the batch.
    """
    return price.usd_per_hour * devices / price.devices / 3600 * latency_s / tokens * 1e6
