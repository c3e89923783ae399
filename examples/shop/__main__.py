"""`persistmod run shop apple bread ...` prints the bill."""

import sys

from shop import Cart

cart = Cart()
for name in sys.argv[1:]:
    cart.put(name)
for product in cart.products:
    print(f"{product.name:10} {product.price / 100:6.2f}")
print(f"{'total':10} {cart.total / 100:6.2f}")
