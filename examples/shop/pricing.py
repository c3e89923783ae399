"""What an order costs."""

from collections.abc import Iterable

from shop.catalog import Product


def compute_total(products: Iterable[Product]) -> int:
    """Add up the prices."""
    return sum(product.price for product in products)
