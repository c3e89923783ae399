"""What the shop sells, read from `products.json` beside this module."""

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Product:
    """A thing that can be bought; the price is in cents."""

    name: str
    price: int


def _read_products() -> dict[str, Product]:
    text = resources.files("shop").joinpath("products.json").read_text(encoding="utf-8")
    return {name: Product(name, price) for name, price in json.loads(text).items()}


CATALOG = _read_products()
