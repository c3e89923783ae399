"""The cart of a customer."""

from shop.catalog import CATALOG, Product
from shop.pricing import compute_total


class Cart:
    """What a customer is about to buy."""

    def __init__(self) -> None:
        self.products: list[Product] = []

    def put(self, name: str) -> None:
        """Put one product in."""
        self.products.append(CATALOG[name])

    @property
    def total(self) -> int:
        """The price of everything, in cents."""
        return compute_total(self.products)
