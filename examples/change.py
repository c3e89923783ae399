"""Change one module of the shop in the database: `python change.py URI`."""

import sys

import transaction

import persistmod

db = persistmod.open_db(sys.argv[1])
registry = persistmod.get_registry(db.open())

source = registry["shop.pricing"].source.replace(
    "    return sum(product.price for product in products)\n",
    "    total = sum(product.price for product in products)\n"
    "    return total * 9 // 10 if total >= 1000 else total\n",
)

with persistmod.importing(registry):
    print(registry.update("shop.pricing", source))
transaction.commit()
db.close()
