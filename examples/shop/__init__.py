"""A shop that lives in the database: the example that `examples/demo.py` adds, runs and changes."""

from shop.cart import Cart
from shop.catalog import CATALOG, Product

__all__ = ["CATALOG", "Cart", "Product"]
